"""The bytes of Flower messages, as the lengths of the objects that are sent.

Flower sends a Message as a tree of objects, each by itself. All of them but the root are the
*content*: records, arrays and their data, the same in every engine. The root is the *envelope*:
ids, times and types; Flower's random ids make it a few bytes longer or shorter from run to run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    no_object_id_recompute,
)


@dataclass(frozen=True)
class MessageSize:
    """Size of one or more messages in bytes."""

    content: int = 0
    envelope: int = 0

    @property
    def total(self) -> int:
        """All bytes of the Message objects."""
        return self.content + self.envelope

    def __add__(self, other: Self) -> "MessageSize":
        return MessageSize(self.content + other.content, self.envelope + other.envelope)


def measure(messages: Sequence[Message]) -> MessageSize:
    """Return the size of all messages together, in bytes.

    An object that several messages share, such as the model, is serialised once here and
    counted for every message that carries it.
    """
    lengths: dict[str, int] = {}
    size = MessageSize()
    with no_object_id_recompute():
        for message in messages:
            size += _measure_one(message, lengths)
    return size


def _measure_one(message: Message, lengths: dict[str, int]) -> MessageSize:
    objects = get_all_nested_objects(message)
    root = message.object_id
    for object_id, nested in objects.items():
        if object_id not in lengths:
            lengths[object_id] = len(nested.deflate())
    envelope = lengths[root]
    return MessageSize(sum(lengths[object_id] for object_id in objects) - envelope, envelope)
