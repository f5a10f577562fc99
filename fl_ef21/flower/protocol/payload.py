"""The payload of a reply: the message, for some methods the client's support, exact arrays.

With supports the payload begins with the length of the support's encoding, as a varint; it is 0
once the server has been told.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from fl_ef21.compressors import Dense, Message, Sparse, Support, Vector
from fl_ef21.compressors.form import Form
from fl_ef21.flower.protocol import ProtocolError
from fl_ef21.wire import decode, encode
from fl_ef21.wire.reader import Reader, varint

_SMALL: Final = 64
"""Bytes of the longest message that is worth remembering."""

SUPPORT: Final = "support"
"""Name of the owned coordinates, int64, in a client's state."""


@dataclass(frozen=True)
class Told:
    """A payload without its exact arrays, taken apart."""

    support: Support | None
    message: bytes


def decode_shared(
    data: bytes, size: int, support: Support | None = None, form: Form | None = None
) -> Message:
    """Return what ``decode`` does; equal small messages are decoded once and shared.

    In one process both ends decode a message, and the client a second time when it is
    acknowledged. The arrays of a shared message are read-only.

    Raises
    ------
    WireError
        As ``decode``.
    """
    if support is None and len(data) <= _SMALL:
        message = _decode_once(data, size)
        if form is not None and type(message) not in (Sparse, Dense):
            decode(data, size=size, form=form)  # may be shared, and yet not be due here
        return message
    return decode(data, size=size, support=support, form=form)


@lru_cache(maxsize=2**13)
def _decode_once(data: bytes, size: int) -> Message:
    message = decode(data, size=size)
    if type(message) is Sparse:  # mostly, and then in less time
        message.indices.setflags(write=False)
        message.values.setflags(write=False)
        return message
    for part in vars(message).values():
        if type(part) is np.ndarray:
            part.setflags(write=False)
    return message


def pack(message: bytes, support: Support | None) -> bytes:
    """Return the bytes for a method with supports; the support itself only if it is news."""
    told = b"" if support is None else encode_support(support)
    return varint(len(told)) + told + message


def unpack(payload: bytes, size: int) -> Told:
    """Take the bytes apart again.

    Raises
    ------
    ProtocolError, WireError
        If they are no such payload.
    """
    reader = Reader(payload)
    length = reader.varint("length of the support", 0, max(len(payload), 1))
    told = bytes(reader.take(length, "support"))
    support = decode_support(told, size) if told else None
    return Told(support, bytes(reader.take(reader.left, "message")))


def encode_support(support: Support) -> bytes:
    """Return a set of coordinates as a message of ones."""
    ones = np.ones(support.indices.size, np.float32)
    return encode(Sparse(support.size, support.indices, ones))


def decode_support(data: bytes, size: int) -> Support:
    """Return the coordinates that were encoded.

    Raises
    ------
    ProtocolError, WireError
        If they are no set of coordinates.
    """
    message = decode(data, size=size)
    if not isinstance(message, Sparse) or not message.indices.size:
        raise ProtocolError("a support is a sparse message of at least one coordinate")
    return Support(size, message.indices)


def owned(signal: Vector, known: Support | None) -> Support:
    """Return the coordinates that a client owns: those where its signal has ever been non-zero."""
    found = np.flatnonzero(signal)
    if known is not None:
        found = np.union1d(known.indices, found)
    return Support(signal.size, found if found.size else np.zeros(1, np.int64))


def on_support(message: Message, support: Support) -> Message:
    """Return a whole message as one on the support, outside of which it is zero."""
    if isinstance(message, Dense):
        return Sparse(support.size, support.indices, message.values[support.indices])
    return message
