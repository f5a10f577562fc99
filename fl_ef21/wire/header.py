"""The first bytes of every message: what follows, for which vector, in which codes."""

from functools import lru_cache
from typing import Final, NamedTuple

from fl_ef21.wire.error import WireError
from fl_ef21.wire.reader import Reader, varint

MAGIC: Final = b"\xef\x21"
VERSION: Final = 1
START: Final = MAGIC + bytes([VERSION])
"""First bytes of every message."""

MAX_SIZE: Final = 2**40
"""Largest dimension that a header may state: above any model, below any overflow."""

DENSE: Final = 0
SPARSE: Final = 1
LOW_RANK: Final = 2
PARTS: Final = 3
_KINDS: Final = ("dense", "sparse", "low-rank", "parts")
_FRESH: Final = 0x80
_COUNTED: Final = (SPARSE, LOW_RANK, PARTS)


class Header(NamedTuple):
    """What a message is.

    Layout: one bit for a fresh message, kind (three bits) and value code (low four), then the
    dimension d and, but for a dense message, a count as LEB128 varints: 2 to 13 bytes. In front
    of a whole message stand magic (2 bytes) and version (1).

    Attributes
    ----------
    kind : int
        Dense, sparse, low-rank or parts.
    value_code : int
        Twice the code of the values, plus 1 for float64.
    size : int
        Dimension d.
    entries : int
        Coordinates sent of a dense or sparse message; the rank; the number of parts.
    fresh : bool
        Whether the message takes the place of all before it.
    """

    kind: int
    value_code: int
    size: int
    entries: int
    fresh: bool = False


@lru_cache(maxsize=1024)  # one for each form of message: a run has few
def encode_header(header: Header) -> bytes:
    """Return the header's bytes."""
    first = header.kind << 4 | header.value_code | (_FRESH if header.fresh else 0)
    data = bytes([first]) + varint(header.size)
    return data + varint(header.entries) if header.kind in _COUNTED else data


def decode_start(reader: Reader) -> None:
    """Read magic and version.

    Raises
    ------
    WireError
        If the bytes are none of ours, or of another version.
    """
    if reader.skip(START):
        return
    magic = bytes(reader.take(min(2, reader.left), "magic"))
    if magic != MAGIC:
        raise WireError(f"magic is {magic.hex()!r} instead of {MAGIC.hex()!r}")
    version = reader.byte("version")
    if version != VERSION:
        raise WireError(
            f"version {version} is not read by this library, which reads version {VERSION}; "
            f"server and clients need the same version of fl-ef21"
        )


def decode_header(reader: Reader) -> Header:
    """Read a header.

    Raises
    ------
    WireError
        If the kind is unknown or a number out of range.
    """
    first = reader.byte("message kind")
    kind, value_code = (first & ~_FRESH) >> 4, first & 0x0F
    if kind >= len(_KINDS):
        raise WireError(
            f"message kind {kind} is unknown to this library, which knows {', '.join(_KINDS)}"
        )
    size = reader.varint("size", 1, MAX_SIZE)
    count = reader.varint("count", 0, size) if kind in _COUNTED else size
    return Header(kind, value_code, size, count, bool(first & _FRESH))
