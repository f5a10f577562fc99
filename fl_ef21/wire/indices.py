"""Sets of positions to bytes and back: fixed width or Golomb–Rice, whichever is shorter.

Golomb–Rice codes the gaps between positions in two streams: the low ``parameter`` bits of all
gaps packed, then the high parts as one unary bitmap (so many zeros, then a one). For uniformly
random sets it comes within about 1 % of the limit log2 C(d, k) (Golomb 1966, Rice 1979).
"""

from dataclasses import dataclass
from math import log, log2

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors.message import Indices
from fl_ef21.wire.bits import pack, packed_size, unpack
from fl_ef21.wire.error import WireError

FIXED = 0x80
"""Value of the code byte for fixed width; smaller values are the Golomb–Rice parameter."""


@dataclass(frozen=True)
class IndexBytes:
    """Encoded positions: the code byte, the packed part and the unary bitmap."""

    code: int
    packed: bytes
    unary: bytes


def encode_indices(indices: Indices, size: int) -> IndexBytes:
    """Encode strictly increasing positions below ``size`` with the shorter code."""
    gaps = np.diff(indices, prepend=-1) - 1
    sizes = {p: _rice_size(gaps, p) for p in _likely_parameters(indices.size, size)}
    parameter = min(sizes, key=sizes.__getitem__)
    if packed_size(indices.size, fixed_width(size)) <= sizes[parameter]:
        return IndexBytes(FIXED, pack(indices, fixed_width(size)), b"")
    return _encode_rice(gaps, parameter)


def fixed_width(size: int) -> int:
    """Return the bits of one position below ``size``."""
    return max(1, (size - 1).bit_length())


def packed_part(code: int, count: int, size: int) -> int:
    """Return the length in bytes of the packed part that the code byte announces.

    Raises
    ------
    WireError
        If the code byte is unknown or its parameter too large for ``size``.
    """
    if code != FIXED and code > fixed_width(size):
        raise WireError(f"index code {code:#04x} is unknown, or too large for size {size}")
    return packed_size(count, fixed_width(size) if code == FIXED else code)


def decode_indices(encoded: IndexBytes, count: int, size: int) -> Indices:
    """Decode ``count`` strictly increasing positions below ``size``.

    Raises
    ------
    WireError
        If the streams do not hold exactly such positions.
    """
    if encoded.code == FIXED:
        if encoded.unary:
            raise WireError(f"{len(encoded.unary)} bytes are left over behind the values")
        indices = unpack(encoded.packed, count, fixed_width(size))
    else:
        indices = _decode_rice(encoded, count, size)
    if count and (indices[-1] >= size or (np.diff(indices) <= 0).any()):
        raise WireError(f"indices are not strictly increasing below size {size}")
    return indices


def _likely_parameters(count: int, size: int) -> range:
    """Return the parameters worth trying: around log2(ln 2 · d/k), the best for uniform sets."""
    best = round(log2(max(1.0, log(2) * size / max(count, 1))))
    return range(max(0, best - 2), min(fixed_width(size), best + 1) + 1)


def _rice_size(gaps: NDArray[np.int64], parameter: int) -> int:
    """Return the exact length in bytes of both streams, without making them."""
    zeros = int(np.sum(gaps >> parameter))
    return packed_size(gaps.size, parameter) + packed_size(gaps.size + zeros, 1)


def _encode_rice(gaps: NDArray[np.int64], parameter: int) -> IndexBytes:
    remainders = pack(gaps & ((1 << parameter) - 1), parameter)
    ends = np.cumsum((gaps >> parameter) + 1)
    bitmap = np.zeros(ends[-1] if ends.size else 0, np.uint8)
    bitmap[ends - 1] = 1
    return IndexBytes(parameter, remainders, np.packbits(bitmap).tobytes())


def _decode_rice(encoded: IndexBytes, count: int, size: int) -> Indices:
    parameter = encoded.code
    # The bitmap holds a one for each position and at most size / 2^parameter zeros. The encoder
    # never picks a parameter that allows more than 9 zeros a position, so a decoder that refuses
    # those, and longer bitmaps, allocates O(k) whatever the bytes say.
    if size >> parameter > 9 * (count + 1):
        raise WireError(f"index parameter {parameter} is too small for {count} of {size}")
    if len(encoded.unary) > packed_size(count + (size >> parameter), 1):
        raise WireError(f"unary bitmap of {len(encoded.unary)} bytes is too long for size {size}")
    ones = np.flatnonzero(np.unpackbits(np.frombuffer(encoded.unary, np.uint8)))
    used = int(ones[-1]) + 1 if ones.size else 0
    if ones.size != count or packed_size(used, 1) != len(encoded.unary):
        raise WireError(f"unary bitmap holds {ones.size} positions instead of {count}")
    quotients = np.diff(ones, prepend=-1) - 1
    gaps = (quotients << parameter) + unpack(encoded.packed, count, parameter)
    return np.cumsum(gaps + 1) - 1
