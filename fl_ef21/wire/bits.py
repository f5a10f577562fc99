"""Whole numbers packed without gaps: of one width, or each of its own."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.wire.error import WireError

Numbers = NDArray[np.int64]

SPARE_BITS: Final = "bits behind the last packed number are not zero"

_FEW: Final = 64
"""Below, numbers stand end to end; from here on in planes, which are faster and end in whole bytes
each: up to two more in all."""


def packed_size(count: int, width: int) -> int:
    """Return the bytes that ``count`` numbers of ``width`` bits take."""
    if count < _FEW:
        return _bytes(count * width)
    return sum(_bytes(count * bits) for _, bits in _planes(width))


def pack(numbers: Numbers, width: int) -> bytes:
    """Pack the low ``width`` bits of numbers from 0 up.

    Fewer than 64 stand end to end, low bits first. More are cut into planes, low bits first: their
    bytes, then the four, two and one bits that are left of ``width``, as it has them.

    Examples
    --------
    >>> pack(np.array([1, 2, 3]), 2).hex()
    '39'
    >>> unpack(bytes.fromhex('39'), 3, 2)
    array([1, 2, 3])
    """
    if numbers.size < _FEW:
        return _pack_few(numbers, width)
    planes: list[bytes] = []
    for place in range(0, width, 8):
        octets = (numbers >> place if place else numbers).astype(np.uint8)
        for low, bits in _planes(min(width - place, 8)):
            planes.append(_pack_plane(octets >> np.uint8(low), bits))
    return b"".join(planes)


def unpack(data: bytes | memoryview, count: int, width: int) -> Numbers:
    """Unpack ``count`` numbers of ``width`` bits from exactly ``packed_size`` bytes.

    Raises
    ------
    WireError
        If the bits that fill the last byte are not zero.
    """
    if count < _FEW:
        return _unpack_few(data, count, width)
    raw, position = np.frombuffer(data, np.uint8), 0
    numbers = np.zeros(count if width == 0 else 0, np.int64)
    for place in range(0, width, 8):
        octets = np.zeros(count, np.uint8)
        for low, bits in _planes(min(width - place, 8)):
            length = _bytes(count * bits)
            octets |= _unpack_plane(raw[position : position + length], count, bits) << low
            position += length
        if place == 0:
            numbers = octets.astype(np.int64)
        else:
            numbers |= octets.astype(np.int64) << place
    return numbers


def _pack_few(numbers: Numbers, width: int) -> bytes:
    # One whole number of Python's: a few of them take less time than one call of numpy.
    joined, mask = 0, (1 << width) - 1
    for number in reversed(numbers.tolist()):
        joined = joined << width | number & mask
    return joined.to_bytes(_bytes(numbers.size * width), "little")


def _unpack_few(data: bytes | memoryview, count: int, width: int) -> Numbers:
    joined, mask = int.from_bytes(data, "little"), (1 << width) - 1
    if joined >> (count * width):
        raise WireError(SPARE_BITS)
    if count == 1:
        return np.array([joined], np.int64)
    return np.array([joined >> (place * width) & mask for place in range(count)], np.int64)


def _planes(width: int) -> Iterator[tuple[int, int]]:
    """Yield the place and the bits of every plane."""
    place = 0
    while place < width:
        bits = next(bits for bits in (8, 4, 2, 1) if place + bits <= width)
        yield place, bits
        place += bits


def _pack_plane(octets: NDArray[np.uint8], bits: int) -> bytes:
    """Pack the low ``bits`` of bytes: several neighbours into each, low bits first."""
    if bits == 8:
        return octets.tobytes()
    each = 8 // bits
    lanes = np.zeros(-(-octets.size // each) * each, np.uint8)
    np.bitwise_and(octets, 2**bits - 1, out=lanes[: octets.size])
    words = lanes.view(f"<u{each}")
    joined = words.copy()
    for lane in range(1, each):
        joined |= words >> words.dtype.type((8 - bits) * lane)
    return joined.astype(np.uint8).tobytes()


def _unpack_plane(raw: NDArray[np.uint8], count: int, bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return raw
    each = 8 // bits
    words = raw.astype(f"<u{each}")
    spread = words.copy()
    for lane in range(1, each):
        spread |= words << words.dtype.type((8 - bits) * lane)
    lanes = spread.view(np.uint8)
    lanes &= 2**bits - 1
    _require_zero(lanes[count:])
    return lanes[:count]


def _bytes(bits: int) -> int:
    return (bits + 7) // 8


def pack_varied(numbers: Numbers, widths: Numbers) -> bytes:
    """Pack numbers end to end, the i-th in ``widths[i]`` bits: at most 56, which with a shift of up
    to seven fit a word.

    Examples
    --------
    >>> data = pack_varied(np.array([1, 0, 5]), np.array([1, 0, 7]))
    >>> data.hex(), unpack_varied(data, np.array([1, 0, 7]))
    ('0b', array([1, 0, 5]))
    """
    starts = _starts(widths)
    bits = int(widths.sum())
    place, shift = starts >> 6, (starts & 63).astype(np.uint64)
    unsigned = numbers.astype(np.uint64)
    words = np.zeros(bits // 64 + 2, np.uint64)
    if numbers.size:
        # Numbers that begin in the same word are joined first; what sticks out goes to the next.
        first = np.flatnonzero(np.diff(place, prepend=-1))
        words[place[first]] = np.bitwise_or.reduceat(unsigned << shift, first)
        above = (unsigned >> np.uint64(1)) >> (np.uint64(63) - shift)
        words[place[first] + 1] |= np.bitwise_or.reduceat(above, first)
    return words.astype("<u8", copy=False).tobytes()[: _bytes(bits)]


def unpack_varied(data: bytes | memoryview, widths: Numbers) -> Numbers:
    """Unpack one number for every width from exactly the bytes that they take.

    Raises
    ------
    WireError
        If the bits that fill the last byte are not zero.
    """
    starts, bits = _starts(widths), int(widths.sum())
    padded = bytes(data) + bytes(8)
    # Every byte begins a word of eight; a number is found in the word that begins at its byte.
    words: NDArray[Any] = np.ndarray(len(data) + 1, "<u8", padded, strides=(1,))
    found = words[starts >> 3] >> (starts & 7).astype(np.uint64)
    if bits % 8:
        _require_zero(np.array([padded[len(data) - 1] >> (bits % 8)]))
    masks = (np.uint64(1) << widths.astype(np.uint64)) - np.uint64(1)
    numbers: Numbers = (found & masks).astype(np.int64)
    return numbers


def varied_size(widths: Numbers) -> int:
    """Return the bytes that numbers of these widths take, end to end."""
    return _bytes(int(widths.sum()))


def _starts(widths: Numbers) -> Numbers:
    starts: Numbers = np.cumsum(widths) - widths
    return starts


def _require_zero(spare: NDArray[Any]) -> None:
    if spare.any():
        raise WireError(SPARE_BITS)
