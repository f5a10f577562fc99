"""Messages of one coordinate: what stands in front of the value is written and read only once.

Top-1 on a small model sends the same few positions again and again, and then the codec takes longer
than the mathematics. The bytes are those of every other message.
"""

from functools import lru_cache
from math import frexp, isfinite
from typing import Any, Final

import numpy as np

from fl_ef21.compressors.message import Indices, Message, Sparse
from fl_ef21.wire.error import WireError
from fl_ef21.wire.header import (
    MAX_SIZE,
    SPARSE,
    START,
    Header,
    decode_header,
    decode_start,
    encode_header,
)
from fl_ef21.wire.indices import decode_indices, encode_indices
from fl_ef21.wire.reader import Reader
from fl_ef21.wire.values import DTYPES, RAW, dtype_number

_DTYPES: Final = tuple((dtype, dtype.newbyteorder("=")) for dtype in DTYPES)
"""How values travel, and how they are here."""

_ONE: Final = (1,)

_SHORTEST: Final = len(START) + 1 + DTYPES[1].itemsize
_LONGEST: Final = 32
"""Bytes below which no float64 and no header fit behind the start, and above which no message has
one coordinate: what is looked up must not keep large payloads."""


def encode_single(message: Message) -> bytes | None:
    """Encode a sparse message of one coordinate up to its checksum; ``None`` for any other."""
    if type(message) is not Sparse or message.step is not None:
        return None
    indices, values = message.indices, message.values
    if values.shape != _ONE or indices.shape != _ONE:
        return None
    front = _front(message.size, indices.item(), indices.dtype, values.dtype)
    # What cannot be sent, or may be shorter in another code than raw, takes the long way.
    if front is None or not isfinite(values.item()) or abs(frexp(values.item())[0]) in (0, 0.5):
        return None
    return front + values.tobytes()


@lru_cache(maxsize=2**12)
def _front(size: int, place: int, kind: np.dtype[Any], dtype: np.dtype[Any]) -> bytes | None:
    """Return the bytes in front of the value; ``None`` if the message is no right one."""
    if kind != np.int64 or dtype not in DTYPES or not 0 <= place < size <= MAX_SIZE:
        return None
    header = Header(SPARSE, 2 * RAW + dtype_number(dtype), size, 1)
    return START + encode_header(header) + encode_indices(np.array([place]), size)


def decode_single(body: bytes, size: int) -> Sparse | None:
    """Decode such a message for a vector of dimension ``size``; ``None`` for any other bytes.

    Its one position cannot be written: it is shared with other messages.
    """
    if not _SHORTEST <= len(body) <= _LONGEST:
        return None
    # The lowest bit of the header tells the dtype, and with it where the value begins.
    dtype, native = _DTYPES[body[len(START)] & 1]
    end = len(body) - dtype.itemsize
    indices = _place(body[:end], size)
    if indices is None:
        return None
    values = np.frombuffer(body, dtype, 1, end).astype(native)
    return Sparse(size, indices, values) if isfinite(values.item()) else None


@lru_cache(maxsize=2**12)
def _place(front: bytes, size: int) -> Indices | None:
    """Return the position, if this is what stands in front of one value."""
    reader = Reader(front)
    try:
        decode_start(reader)
        header = decode_header(reader)
        if header[:-1] != (SPARSE, 2 * RAW + (header.value_code & 1), size, 1) or header.fresh:
            return None
        indices = decode_indices(reader, 1, size)
        reader.finish()
    except WireError:
        return None
    indices.setflags(write=False)
    return indices
