"""The first bytes of every message: what follows, for which vector, in which codes."""

from dataclasses import dataclass
from typing import Final

from fl_ef21.wire.error import WireError

MAGIC: Final = b"\xef\x21"
VERSION: Final = 1
MAX_SIZE: Final = 2**40
"""Largest dimension that a header may state: above any model, below any overflow."""


@dataclass(frozen=True)
class Header:
    """Message kind, value code, dimension d and number of coordinates sent.

    Layout: magic (2 bytes), version (1), kind and value code (4 bits each), then d and, for a
    sparse message, k as LEB128 varints: 5 to 16 bytes.
    """

    kind: int
    value_code: int
    size: int
    count: int


DENSE: Final = 0
SPARSE: Final = 1


def encode_header(header: Header) -> bytes:
    """Return the header's bytes."""
    data = MAGIC + bytes([VERSION, header.kind << 4 | header.value_code]) + _varint(header.size)
    return data + _varint(header.count) if header.kind == SPARSE else data


def decode_header(data: bytes) -> tuple[Header, int]:
    """Read a header and return it with the position of the first byte behind it.

    Raises
    ------
    WireError
        If the bytes are no header, of another version or kind, or out of range.
    """
    if data[:2] != MAGIC:
        raise WireError(f"magic is {data[:2].hex()!r} instead of {MAGIC.hex()!r}")
    if len(data) < 4 or data[2] != VERSION:
        raise WireError(f"version is {data[2:3].hex()!r}; this library reads version {VERSION}")
    kind, value_code = data[3] >> 4, data[3] & 0x0F
    if kind not in (DENSE, SPARSE):
        raise WireError(f"message kind {kind} is unknown to this library")
    size, position = _read_varint(data, 4, "size", 1, MAX_SIZE)
    count = size
    if kind == SPARSE:
        count, position = _read_varint(data, position, "count", 0, size)
    return Header(kind, value_code, size, count), position


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _read_varint(data: bytes, position: int, field: str, low: int, high: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 42, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift > 0:
                raise WireError(f"{field} is written longer than needed")
            if not low <= number <= high:
                raise WireError(f"{field} {number} is outside [{low}, {high}]")
            return number, position
    raise WireError(f"{field} is cut short or too long")
