"""Records and messages without Flower's checks, for values that are known to be right.

Flower checks every key and value that goes into a record, and copies arrays on the way. That costs
more than a small problem's mathematics. What is made here are Flower's own classes, filled
directly; they travel as bytes like any others.
"""

import time
from functools import lru_cache
from typing import Any, Final, TypeGuard, TypeVar

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.constants import DEFAULT_TTL
from flwr.app.message.typeddict import TypedDict
from flwr.app.metadata import Metadata
from flwr.supercore.task_identity import TaskIdentity

from fl_ef21.flower.protocol.live import LiveArray
from fl_ef21.flower.protocol.meant import copy_meant

OURS: Final = "fl_ef21"
"""What names of records of this library begin with."""

Record = TypeVar("Record", ArrayRecord, ConfigRecord, MetricRecord, RecordDict)
Values = TypeVar("Values", ArrayRecord, ConfigRecord, MetricRecord)

_EMPTY: Final[dict[type[Any], dict[str, Any]]] = {
    kind: dict(kind().__dict__) for kind in (ArrayRecord, ConfigRecord, MetricRecord, RecordDict)
}


def entries(record: TypedDict[str, Any]) -> dict[str, Any]:
    """Return the dictionary inside a record, not a copy."""
    found: dict[str, Any] = record.__dict__["_data"]
    return found


def metadata(message: Message) -> dict[str, Any]:
    """Return a message's metadata as they are stored, names with an underscore in front."""
    found: dict[str, Any] = message.__dict__["_metadata"].__dict__
    return found


def content_of(message: Message) -> RecordDict:
    """Return the content of a message that is no error, in less time than ``message.content``."""
    found: RecordDict = message.__dict__["_content"]
    return found


def is_error(message: Message) -> bool:
    """Return ``message.has_error()``, in less time."""
    return message.__dict__["_error"] is not None


def held(content: RecordDict, kind: type[Record]) -> list[tuple[str, Record]]:
    """Return the records of a kind in a message's content, with their names."""
    return [
        (name, r)
        for name, r in content.__dict__["_data"].items()
        if type(r) is kind or (type(r) not in _EMPTY and _is(type(r), kind))  # type: ignore[arg-type]
    ]


@lru_cache(maxsize=64)
def _is(kind: type, wanted: type) -> bool:
    # Flower's classes are abstract, for which Python takes its time.
    return issubclass(kind, wanted)


def is_record(value: object, kind: type[Record]) -> TypeGuard[Record]:
    """Return ``isinstance(value, kind)``, in less time."""
    return _is(type(value), kind)  # type: ignore[arg-type]


def filled(kind: type[Record], values: dict[str, Any]) -> Record:
    """Return a record that holds ``values``, which is not copied and has to fit the kind."""
    record = kind.__new__(kind)
    record.__dict__ = inside = _EMPTY[kind].copy()
    inside["_data"] = values
    return record


def instruction_message(content: RecordDict, message_type: str, node_id: int) -> Message:
    """Return ``Message(content, node_id, message_type)`` of a type that is one of Flower's."""
    return _message(
        content,
        {
            "_run_id": TaskIdentity.run_id,
            "_message_id": "",
            "_src_node_id": TaskIdentity.node_id,
            "_dst_node_id": node_id,
            "_src_task_id": TaskIdentity.task_id,
            "_dst_task_id": None,
            "_reply_to_message_id": "",
            "_group_id": "",
            "_created_at": time.time(),
            "_ttl": DEFAULT_TTL,
            "_message_type": message_type,
            "_delivered_at": "",
        },
    )


def reply_message(content: RecordDict, reply_to: Message) -> Message:
    """Return ``Message(content, reply_to=reply_to)``."""
    asked = metadata(reply_to)
    now = time.time()
    return _message(
        content,
        {
            "_run_id": asked["_run_id"],
            "_message_id": "",
            "_src_node_id": asked["_dst_node_id"],
            "_dst_node_id": asked["_src_node_id"],
            "_src_task_id": asked["_dst_task_id"],
            "_dst_task_id": asked["_src_task_id"],
            "_reply_to_message_id": asked["_message_id"],
            "_group_id": asked["_group_id"],
            "_created_at": now,
            "_ttl": asked["_created_at"] + asked["_ttl"] - now,
            "_message_type": asked["_message_type"],
            "_delivered_at": "",
        },
    )


def _message(content: RecordDict, about: dict[str, Any]) -> Message:
    message, message_metadata = Message.__new__(Message), Metadata.__new__(Metadata)
    message_metadata.__dict__ = about
    message.__dict__ = {"_metadata": message_metadata, "_content": content, "_error": None}
    return message


def copy_records(records: RecordDict) -> RecordDict:
    """Return a copy of all records; what nobody can change is shared: live arrays, bytes."""
    return filled(
        RecordDict, {name: copy_record(record) for name, record in entries(records).items()}
    )


def own_records(state: RecordDict) -> dict[str, Any]:
    """Return this library's records in ``context.state`` by name."""
    return {name: r for name, r in entries(state).items() if name.startswith(OURS)}


def copied_state(state: RecordDict) -> dict[str, Any]:
    """Return copies of the records in ``context.state``; this library's own are shared.

    They are never changed, but replaced by others.
    """
    copied = dict(entries(state))
    for name in [name for name in copied if not name.startswith(OURS)]:
        copied[name] = copy_record(copied[name])
    return copied


def copy_record(record: Values) -> Values:
    """Return a copy of a record; what nobody can change is shared: live arrays, bytes."""
    meant = copy_meant(record)
    if meant is not None:
        return meant
    held = entries(record)
    if isinstance(record, ArrayRecord):
        arrays = {
            name: array if type(array) is LiveArray else _copy_array(array)
            for name, array in held.items()
        }
        return filled(ArrayRecord, arrays)
    copied = {name: v.copy() if isinstance(v, list) else v for name, v in held.items()}
    if isinstance(record, ConfigRecord):
        return filled(ConfigRecord, copied)
    return filled(MetricRecord, copied)


def _copy_array(array: Array) -> Array:
    # Shape and data may be a list or a memoryview, which Flower's constructor would refuse.
    copied = Array.__new__(Array)
    copied.dtype, copied.shape, copied.stype = array.dtype, array.shape, array.stype
    copied.data = array.data
    return copied
