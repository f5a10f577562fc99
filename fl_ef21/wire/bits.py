"""Whole numbers of a fixed width, packed without gaps."""

import numpy as np
from numpy.typing import NDArray

from fl_ef21.wire.error import WireError


def packed_size(count: int, width: int) -> int:
    """Return the bytes that ``count`` numbers of ``width`` bits take, rounded up."""
    return (count * width + 7) // 8


def pack(numbers: NDArray[np.int64], width: int) -> bytes:
    """Pack numbers below 2^width, most significant bit first.

    Examples
    --------
    >>> pack(np.array([1, 2, 3]), 2).hex()
    '6c'
    >>> unpack(bytes.fromhex('6c'), 3, 2)
    array([1, 2, 3])
    """
    places = np.arange(width - 1, -1, -1)
    bits = (numbers[:, None] >> places) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def unpack(data: bytes | memoryview, count: int, width: int) -> NDArray[np.int64]:
    """Unpack ``count`` numbers of ``width`` bits from exactly ``packed_size`` bytes.

    Raises
    ------
    WireError
        If the bits that fill the last byte are not zero.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    if bits[count * width :].any():
        raise WireError("bits behind the last packed number are not zero")
    places = np.arange(width - 1, -1, -1)
    return bits[: count * width].reshape(count, width).astype(np.int64) @ (np.int64(1) << places)
