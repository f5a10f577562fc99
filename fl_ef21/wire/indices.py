"""Sets of positions to bytes and back, in the shortest of three codes.

*Fixed*: every position in ⌈log2 d⌉ bits, for tiny problems. *Rice*: gaps in two streams, the low
``p`` bits packed and the high parts as one unary bitmap (Golomb 1966, Rice 1979); for uniformly
random sets it comes within about 1 % of the limit log2 C(d, k), and p = 0 is the plain bitmap.
*Classes*: gaps by their leading bits, which get a Huffman code, and the bits behind them, packed;
it adapts to clustered sets, which lie far below that limit (the idea is Elias's gamma code, 1975,
with a learned code for its lengths). Of more than half of all positions the others are coded.
"""

from functools import lru_cache
from math import log, log2
from typing import Final

import numpy as np

from fl_ef21.compressors.message import Indices
from fl_ef21.wire.bits import (
    Numbers,
    pack,
    pack_varied,
    packed_size,
    unpack,
    unpack_varied,
    varied_size,
)
from fl_ef21.wire.column import decode_column, encode_column
from fl_ef21.wire.error import WireError
from fl_ef21.wire.reader import Reader, varint

CLASSES: Final = 0x40
FIXED: Final = 0x80
COMPLEMENT: Final = 0xC0
"""Values of the code byte, to which a parameter is added: of Rice 0 to 40, of classes 0 to 2."""

FINEST: Final = 2
"""Leading bits behind the first that classes can hold: quarters of an octave."""

_MOST_ZEROS: Final = 9
"""The encoder picks no Rice parameter that allows more zeros for a position in the bitmap."""

_FEW: Final = 64
"""Fewer gaps tell nothing about their distribution that pays for a Huffman table."""

_LEAST_RICE: Final = 2
"""Bytes of the shortest Rice code, beside the code byte."""

_SAMPLE: Final = 1024

_PAYS: Final = 0.97
"""Classes are tried from an expected saving of 3 % on: below, the time is worth more."""


def encode_indices(indices: Indices, size: int) -> bytes:
    """Encode strictly increasing positions below ``size``; none or all take no bytes."""
    if indices.size in (0, size):
        return b""
    if indices.size == 1:
        return _encode_one(indices.item(), size)
    return _encode(indices, size)


@lru_cache(maxsize=2**12)
def _encode_one(place: int, size: int) -> bytes:
    """Return the code of one position: the clients of a small model send the same ones often."""
    return _encode(np.array([place], np.int64), size)


def _encode(indices: Indices, size: int) -> bytes:
    if 2 * indices.size > size:
        return bytes([COMPLEMENT]) + encode_indices(_others(indices, size), size)
    fixed = packed_size(indices.size, fixed_width(size))
    if indices.size < _FEW and fixed <= _LEAST_RICE:
        return bytes([FIXED]) + pack(indices, fixed_width(size))
    gaps = indices.copy()
    gaps[1:] -= indices[:-1]
    gaps[1:] -= 1
    # What is longer than a sample is judged by one: the codes' lengths then differ by more than
    # the sample errs, or hardly at all.
    sample = gaps[:: max(1, gaps.size // _SAMPLE)]
    parameter, rice = _best_rice(sample, gaps.size, size)
    if gaps.size >= _FEW:
        finest, classes = _best_classes(sample, gaps.size)
        if classes < _PAYS * min(fixed, rice):
            coded = _encode_classes(gaps, finest)
            if len(coded) < min(fixed, rice):
                return coded
    if rice < fixed:
        coded = _encode_rice(gaps, parameter)
        # A sample can mislead; the plain bitmap is what many positions take at the most.
        if 8 * len(coded) > size + 64:
            coded = _encode_rice(gaps, 0)
        if len(coded) <= fixed:
            return coded
    return bytes([FIXED]) + pack(indices, fixed_width(size))


def decode_indices(reader: Reader, count: int, size: int) -> Indices:
    """Decode ``count`` strictly increasing positions below ``size``.

    Raises
    ------
    WireError
        If the bytes do not hold exactly such positions.
    """
    if count == 0:
        return np.zeros(0, np.int64)
    if count == size:
        return np.arange(size)
    code = reader.byte("index code")
    if code == COMPLEMENT:
        if 2 * count <= size:
            raise WireError(f"index code {code:#04x} stands for more than half of all positions")
        return _others(_decode(reader, reader.byte("index code"), size - count, size), size)
    return _decode(reader, code, count, size)


def fixed_width(size: int) -> int:
    """Return the bits of one position below ``size``."""
    return (size - 1).bit_length() or 1


def _decode(reader: Reader, code: int, count: int, size: int) -> Indices:
    if code == FIXED:
        width = fixed_width(size)
        indices = unpack(reader.take(packed_size(count, width), "indices"), count, width)
        if count > 1 and (indices[1:] <= indices[:-1]).any():
            raise WireError(f"indices are not strictly increasing below size {size}")
    elif code <= fixed_width(size):
        indices = _decode_rice(reader, code, count, size)
    elif CLASSES <= code <= CLASSES + FINEST:
        indices = _decode_classes(reader, code - CLASSES, count, size)
    else:
        raise WireError(f"index code {code:#04x} is unknown, or too large for size {size}")
    # Gaps are counted from 0 up, so that positions of the other codes increase by themselves.
    if indices[-1] >= size:
        raise WireError(f"indices are not strictly increasing below size {size}")
    return indices


def _others(indices: Indices, size: int) -> Indices:
    left = np.ones(size, bool)
    left[indices] = False
    return np.flatnonzero(left)


# Rice


def _best_rice(sample: Numbers, count: int, size: int) -> tuple[int, int]:
    """Return the best parameter, and about the bytes of ``count`` gaps of which these are some."""
    middle = round(log2(max(1.0, log(2) * size / count)))
    lengths = {}
    for parameter in range(max(0, middle - 2), min(fixed_width(size), middle + 1) + 1):
        if size >> parameter <= _MOST_ZEROS * (count + 1):
            zeros = _high_parts(sample, parameter) * count // sample.size
            unary = -(-(count + zeros) // 8)
            lengths[parameter] = packed_size(count, parameter) + len(varint(unary)) + unary
    best = min(lengths, key=lengths.__getitem__)
    return best, lengths[best]


def _high_parts(gaps: Numbers, parameter: int) -> int:
    """Return the sum of all gaps without their low bits."""
    if gaps.size < _FEW:
        return sum(gap >> parameter for gap in gaps.tolist())
    return int((gaps >> parameter).sum())


def _encode_rice(gaps: Numbers, parameter: int) -> bytes:
    places = gaps >> parameter
    places[1:] += 1
    np.cumsum(places, out=places)
    bitmap = np.zeros(places[-1] + 1, bool)
    bitmap[places] = True
    unary = np.packbits(bitmap).tobytes()
    low = pack(gaps, parameter)
    return b"".join([bytes([parameter]), low, varint(len(unary)), unary])


def _decode_rice(reader: Reader, parameter: int, count: int, size: int) -> Indices:
    # The bitmap holds a one for each position and at most size / 2^parameter zeros.
    if size >> parameter > _MOST_ZEROS * (count + 1):
        raise WireError(f"index parameter {parameter} is too small for {count} of {size}")
    low = reader.take(packed_size(count, parameter), "indices")
    longest = -(-(count + (size >> parameter)) // 8)
    length = reader.varint("length of the unary bitmap", 1, longest)
    bits = np.unpackbits(np.frombuffer(reader.take(length, "unary bitmap"), np.uint8))
    ones = np.flatnonzero(bits.view(bool))
    if ones.size != count or int(ones[-1]) // 8 + 1 != length:
        raise WireError(f"unary bitmap holds {ones.size} positions instead of {count}")
    # A one is preceded by its position's high part, summed up, and by a one for each position.
    before = np.arange(count)
    indices = (ones - before) << parameter
    indices += np.cumsum(unpack(low, count, parameter))
    indices += before
    return indices


# Classes


def _classes(gaps: Numbers, finest: int) -> Numbers:
    """Return the class of every gap: exponent and ``finest`` leading bits of the gap plus one."""
    # A float64 holds both next to each other.
    return ((gaps + 1).astype(np.float64).view(np.int64) >> (52 - finest)) - (1023 << finest)


def _widths(classes: Numbers, finest: int) -> Numbers:
    """Return how many bits of a gap stand behind those that its class holds."""
    widths: Numbers = np.maximum((classes >> finest) - finest, 0)
    return widths


def _best_classes(sample: Numbers, count: int) -> tuple[int, int]:
    """Return the best fineness, and about the bytes of ``count`` gaps of which these are some."""
    finest_classes = _classes(sample, FINEST)
    lengths = {}
    for finest in range(FINEST + 1):
        classes = finest_classes >> (FINEST - finest)
        counts = np.bincount(classes)
        counts = counts[counts > 0]
        entropy = log2(sample.size) - float(counts @ np.log2(counts)) / sample.size
        behind = float(_widths(classes, finest).mean())
        lengths[finest] = round(count * (entropy + behind) / 8 + counts.size)
    best = min(lengths, key=lengths.__getitem__)
    return best, lengths[best]


def _encode_classes(gaps: Numbers, finest: int) -> bytes:
    classes = _classes(gaps, finest)
    widths = _widths(classes, finest)
    behind = pack_varied((gaps + 1) & ((1 << widths) - 1), widths)
    return bytes([CLASSES + finest]) + encode_column(classes) + behind


def _decode_classes(reader: Reader, finest: int, count: int, size: int) -> Indices:
    classes = decode_column(reader, count, "classes of gaps")
    largest = int(_classes(np.array([size - 1]), finest)[0])
    if classes.min() < 0 or classes.max() > largest:
        raise WireError(f"classes of gaps lie outside [0, {largest}], all that size {size} allows")
    exponents, widths = classes >> finest, _widths(classes, finest)
    held = np.minimum(exponents, finest)
    lead = (1 << held) + ((classes & ((1 << finest) - 1)) >> (finest - held))
    behind = reader.take(varied_size(widths), "bits behind the classes of gaps")
    return np.cumsum((lead << widths) + unpack_varied(behind, widths)) - 1
