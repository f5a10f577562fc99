"""Lengths of the objects that Flower would send, from their values alone.

An object is a head, ``<class> <ids of its children> <length of its body>`` and a zero byte, and a
body: JSON for arrays and their records, Protocol Buffers for values and for a message's metadata.
An id has 64 characters. All of this is that of the Flower series in ``flower/compatibility.py``;
tests compare it with the bytes.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE

from fl_ef21.flower.protocol import REPLY_STYPE
from fl_ef21.flower.protocol.instruction import Addressed, Common
from fl_ef21.flower.protocol.live import LiveArray
from fl_ef21.flower.protocol.meant import meant_by
from fl_ef21.flower.protocol.records import entries, metadata
from fl_ef21.flower.protocol.reply import Said, packed_length

_ID: Final = 64

_SAME: Final = itemgetter(
    "_run_id",
    "_src_node_id",
    "_dst_node_id",
    "_src_task_id",
    "_dst_task_id",
    "_group_id",
    "_message_type",
)
"""Of a message's metadata, what is the same in most messages between two nodes."""

_KINDS: Final = {
    "ArrayChunk": 0,
    "Array": 1,
    "ArrayRecord": 2,
    "ConfigRecord": 3,
    "MetricRecord": 4,
}
_PLACE: Final = 2**48
"""Objects of different kinds are told apart by a multiple of this in front of their lengths."""

_UINT64_FROM: Final = 2**63

_SHORT: Final = 0x80
"""Below, a length takes one byte."""

Lengths = tuple[int, tuple[int, ...]]
"""The length of all objects of a record together, and of each: kind times 2^48 plus length."""


class UnknownLengthError(Exception):
    """An object whose length only its bytes tell."""


def record_lengths(record: ArrayRecord | ConfigRecord | MetricRecord) -> Lengths:
    """Return the lengths of a record and of all that is in it, in bytes.

    Raises
    ------
    UnknownLengthError
        If the record is of a class, or holds a value, that is not covered here.
    """
    kind = type(record)
    if kind is ArrayRecord:
        said = meant_by(record, Said)
        if said is not None:
            return _reply_lengths(said.about.client, len(said.payload))
        arrays = tuple(
            [
                (name, a.dtype, tuple(a.shape), a.stype, _data_length(a))
                for name, a in entries(record).items()
            ]
        )
        return _array_record_lengths(arrays)
    if kind is ConfigRecord:
        addressed = meant_by(record, Addressed)
        if addressed is not None:
            ack = addressed.ack
            return _instruction_lengths(addressed.common, ack.seq, len(ack.digest))
        return _with_key("ConfigRecord", _values(entries(record)))
    if kind is MetricRecord:
        return _with_key("MetricRecord", _values(entries(record)))
    raise UnknownLengthError


@lru_cache(maxsize=4096)
def _with_key(kind: str, body: int) -> Lengths:
    key = _key(kind, 0, body)
    return key % _PLACE, (key,)


@lru_cache(maxsize=1024)  # clients of one round have mostly been heard equally often
def _instruction_lengths(common: Common, seq: int, digest_length: int) -> Lengths:
    values = {**common.entries, "seq": seq, "digest": bytes(digest_length)}
    return _with_key("ConfigRecord", _values(values))


@lru_cache(maxsize=4096)
def _reply_lengths(client: str, payload: int) -> Lengths:
    length = packed_length(client, payload)
    return _array_record_lengths((("", "uint8", (length,), REPLY_STYPE, length),))


def content_length(names: tuple[str, ...], records: tuple[Lengths, ...]) -> int:
    """Return the length of a message's content: of its records by name, and of what holds them.

    Raises
    ------
    UnknownLengthError
        If two of the objects may be one, which is sent once.
    """
    length = _content(names, records)
    if length is None:
        raise UnknownLengthError
    return length


@lru_cache(maxsize=4096)
def _content(names: tuple[str, ...], records: tuple[Lengths, ...]) -> int | None:
    keys = [key for _, objects in records for key in objects]
    if len(set(keys)) < len(keys):
        return None
    holder = _with_head(len("RecordDict"), len(names), _references(names))
    return holder + sum(length for length, _ in records)


def envelope_length(message: Message) -> int:
    """Return the length of the envelope of a message that carries no error."""
    about = metadata(message)
    reply_to, lives, dated = about["_reply_to_message_id"], about["_ttl"], about["_created_at"]
    return _envelope(_SAME(about), _text(reply_to), lives != 0, dated != 0)


@lru_cache(maxsize=2**14)
def _envelope(same: tuple[Any, ...], reply_to: int, lives: bool, dated: bool) -> int:
    """Return the length of an envelope by what is the same in most messages between two nodes."""
    run_id, source, destination, source_task, destination_task, group, kind = same
    numbers = sum(1 + _varint(number) for number in (run_id, source, destination) if number)
    tasks = sum(1 + _varint(n) for n in (source_task, destination_task) if n is not None)
    texts = _text_field(group) + _text_field(kind) + (_delimited(reply_to) if reply_to else 0)
    times = 9 * (lives + dated)
    return _with_head(len("Message"), 1, _delimited(numbers + tasks + texts + times))


def _data_length(array: Array) -> int:
    return array.data_length if type(array) is LiveArray else len(array.data)


@lru_cache(maxsize=4096)
def _array_record_lengths(
    arrays: tuple[tuple[str, str, tuple[int, ...], str, int], ...],
) -> Lengths:
    """Return the lengths for arrays by their names, dtypes, shapes, types and bytes of data."""
    names = tuple(name for name, *_ in arrays)
    keys = [
        key
        for _, dtype, shape, stype, length in arrays
        for key in _array_keys(dtype, shape, stype, length)
    ]
    keys.append(_key("ArrayRecord", len(names), _references(names)))
    return sum(key % _PLACE for key in keys), tuple(keys)


def _array_keys(dtype: str, shape: tuple[int, ...], stype: str, length: int) -> tuple[int, ...]:
    """Return the keys of an array and of its chunks."""
    starts = range(0, length, FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE)
    chunks = [min(FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE, length - start) for start in starts]
    about = {
        "dtype": dtype,
        "shape": shape,
        "stype": stype,
        "arraychunk_ids": list(range(len(chunks))),
    }
    array = _key("Array", len(chunks), len(json.dumps(about)))
    return (*(_key("ArrayChunk", 0, chunk) for chunk in chunks), array)


def _references(names: tuple[str, ...]) -> int:
    """Return the length of a mapping from names to ids."""
    return len(json.dumps(dict.fromkeys(names, "0" * _ID)))


def _key(kind: str, children: int, body: int) -> int:
    return _KINDS[kind] * _PLACE + _with_head(len(kind), children, body)


def _with_head(name: int, children: int, body: int) -> int:
    ids = (_ID + 1) * children - 1 if children else 0
    return name + ids + len(str(body)) + 3 + body


# Protocol Buffers


def _values(held: Mapping[str, Any]) -> int:
    """Return the length of the items of a ConfigRecord or MetricRecord."""
    # This runs for every value of every message: written out, and not in functions.
    body = 0
    for name, value in held.items():
        kind = type(value)
        if kind is float:
            length = 9
        elif kind is int:
            length = 1 + _varint(value if value >= _UINT64_FROM else _zigzag(value))
        elif kind is bytes or kind is str:
            length = len(value) if kind is bytes else _text(value)
            length += 2 if length < _SHORT else 1 + _varint(length)
        elif kind is bool:
            length = 2
        else:
            raise UnknownLengthError
        # An item is a name and a value, each behind a byte of type and its length.
        length += _name(name) + (2 if length < _SHORT else 1 + _varint(length))
        body += length + (2 if length < _SHORT else 1 + _varint(length))
    return body


def _delimited(length: int) -> int:
    """Return the length of a field of so many bytes: its type, their number, and they."""
    return length + (2 if length < _SHORT else 1 + _varint(length))


def _text_field(text: str) -> int:
    return _delimited(_text(text)) if text else 0


_name = lru_cache(maxsize=1024)(_text_field)


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _varint(number: int) -> int:
    return (number.bit_length() + 6) // 7 or 1


def _zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1
