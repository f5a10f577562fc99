"""The bytes of Flower messages, as the lengths of the objects that are sent.

Flower sends a Message as a tree of objects, each by itself. All of them but the root are the
*content*: records, arrays and their data, the same in every engine. The root is the *envelope*:
ids, times and types; Flower's random ids make it a few bytes longer or shorter from run to run.

Lengths are added up without making the bytes. Flower sends an object once where two are equal, and
equal ones have one length: where two lengths are equal, the bytes are made and compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    no_object_id_recompute,
)

from fl_ef21.flower.protocol.records import content_of, entries, is_error
from fl_ef21.flower.server.lengths import (
    Lengths,
    UnknownLengthError,
    content_length,
    envelope_length,
    record_lengths,
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

    An object that several messages share, such as the model, is serialised at most once here and
    counted for every message that carries it.
    """
    known: dict[int, Lengths] = {}
    content = envelope = 0
    others = []
    for message in messages:
        size = _added_up(message, known)
        if size is None:
            others.append(message)
        else:
            content += size[0]
            envelope += size[1]
    added_up = MessageSize(content, envelope)
    return added_up + measure_bytes(others) if others else added_up


def measure_bytes(messages: Sequence[Message]) -> MessageSize:
    """Return the same as :func:`measure`, by making all bytes."""
    lengths: dict[str, int] = {}
    size = MessageSize()
    with no_object_id_recompute():
        for message in messages:
            size += _measure_one(message, lengths)
    return size


def _added_up(message: Message, known: dict[int, Lengths]) -> tuple[int, int] | None:
    """Return content and envelope, or ``None`` if only the bytes tell.

    ``known`` are the lengths of records by identity: the messages hold them as long as it lives.
    """
    if is_error(message):
        return None
    inside = entries(content_of(message))
    try:
        each = []
        for record in inside.values():
            identity = id(record)
            lengths = known.get(identity)
            if lengths is None:
                lengths = known[identity] = record_lengths(record)
            each.append(lengths)
        return content_length(tuple(inside), tuple(each)), envelope_length(message)
    except UnknownLengthError:
        return None


def _measure_one(message: Message, lengths: dict[str, int]) -> MessageSize:
    try:
        objects = get_all_nested_objects(message)
    except ValueError:  # an integer of more than 64 bits, which cannot be sent, and is refused
        return MessageSize()
    root = message.object_id
    for object_id, nested in objects.items():
        if object_id not in lengths:
            lengths[object_id] = len(nested.deflate())
    envelope = lengths[root]
    return MessageSize(sum(lengths[object_id] for object_id in objects) - envelope, envelope)
