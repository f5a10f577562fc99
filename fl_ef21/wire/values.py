"""Floating-point values to bytes and back, in the shortest of three codes.

*Raw*: little-endian. *Split*: sign and exponent of each value as one column, which is mostly
skewed and gets a Huffman code, then as many leading mantissa bits as any value has; values rounded
to few bits, to powers of two or to one magnitude become short without being told. *Levels*: whole
numbers of a quantiser's step.
"""

from math import frexp
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors.finite import all_finite
from fl_ef21.compressors.message import Vector
from fl_ef21.wire.bits import Numbers, pack, packed_size, unpack
from fl_ef21.wire.column import MAX_WIDTH, decode_column, encode_column
from fl_ef21.wire.error import WireError
from fl_ef21.wire.reader import Reader

RAW: Final = 0
SPLIT: Final = 1
LEVELS: Final = 2
CODES: Final = (RAW, SPLIT, LEVELS)

DTYPES: Final[tuple[np.dtype[np.floating], ...]] = (np.dtype("<f4"), np.dtype("<f8"))
_NATIVE: Final = tuple(dtype.newbyteorder("=") for dtype in DTYPES)
_NUMBERS: Final = {dtype: number for number, dtype in enumerate(_NATIVE)}
_MANTISSA: Final = (23, 52)
"""Mantissa bits of each."""

_COMMON: Final = 0x80
"""Value of the mantissa byte if all values share one mantissa, which follows whole."""

_HEAD: Final = 4
"""Bytes that a split or level code takes at the least, beside what each value takes."""


def dtype_number(dtype: np.dtype[Any]) -> int:
    """Return the place of a dtype among those that the wire carries.

    Raises
    ------
    WireError
        If it is neither float32 nor float64.
    """
    number = _NUMBERS.get(dtype)
    if number is None:
        raise WireError(f"values of dtype {dtype} have no code; use float32 or float64")
    return number


def encode_values(values: Vector, step: float | None) -> tuple[int, bytes]:
    """Encode finite values, shape (k,): return the code and its bytes."""
    number = dtype_number(values.dtype)
    best = RAW, values.astype(DTYPES[number], copy=False).tobytes()
    # One value alone is shorter in another code only if it is 0, a power of two, or a level.
    if values.size == 1 and step is None and abs(frexp(values.item())[0]) not in (0, 0.5):
        return best
    if step is not None:
        levels = _encode_levels(values, step, number)
        if levels is not None and len(levels) < len(best[1]):
            best = LEVELS, levels
    split = _encode_split(values, number, shorter_than=len(best[1]))
    if split is not None:
        best = SPLIT, split
    return best


def decode_values(
    reader: Reader, code: int, number: int, count: int
) -> tuple[Vector, float | None]:
    """Decode ``count`` finite values of dtype ``DTYPES[number]``, and their step if it was sent.

    Raises
    ------
    WireError
        If the bytes do not hold exactly such values.
    """
    step = None
    if code == SPLIT and count:
        values = _decode_split(reader, number, count)
    elif code == LEVELS and count:
        values, step = _decode_levels(reader, number, count)
    else:
        wire_type = DTYPES[number]
        raw = reader.take(count * wire_type.itemsize, "values")
        values = np.frombuffer(raw, wire_type).astype(_NATIVE[number], copy=True)
    if not all_finite(values):
        raise WireError("values are not all finite")
    return values, step


# Split


def _encode_split(values: Vector, number: int, shorter_than: int) -> bytes | None:
    """Return the split code if it is shorter than so many bytes, else ``None``."""
    count, width = values.size, _MANTISSA[number]
    if count == 0:
        return None
    bits = values.view(_unsigned(number))
    mantissas = bits & bits.dtype.type(2**width - 1)
    any_bit, all_bits = (int(f.reduce(mantissas)) for f in (np.bitwise_or, np.bitwise_and))
    if any_bit == all_bits and any_bit:
        behind = bytes([_COMMON]) + any_bit.to_bytes((width + 7) // 8, "little")
        tail = b""
    else:
        used = width - _trailing_zeros(any_bit, width)
        if _HEAD + packed_size(count, used) >= shorter_than:
            return None
        behind = bytes([used])
        tail = pack((mantissas >> bits.dtype.type(width - used)).astype(np.int64), used)
    # The sign is the lowest bit of the column, so that the exponents alone make its range.
    exponents = ((bits << bits.dtype.type(1)) >> bits.dtype.type(width + 1)).astype(np.int64)
    signs = (bits >> bits.dtype.type(bits.dtype.itemsize * 8 - 1)).astype(np.int64)
    coded = behind + encode_column(exponents << 1 | signs) + tail
    return coded if len(coded) < shorter_than else None


def _decode_split(reader: Reader, number: int, count: int) -> Vector:
    width, word = _MANTISSA[number], _unsigned(number)
    used = reader.byte("mantissa bits")
    common = 0
    if used == _COMMON:
        common = int.from_bytes(reader.take((width + 7) // 8, "common mantissa"), "little")
    if (used > width and used != _COMMON) or common >> width:
        raise WireError(f"mantissa {common:#x} or its {used} bits are longer than {width}")
    column = decode_column(reader, count, "signs and exponents")
    # All exponent bits set is infinity or NaN.
    largest = 2 * (2 ** (DTYPES[number].itemsize * 8 - 1 - width) - 1) - 1
    if column.min() < 0 or column.max() > largest:
        raise WireError(f"signs and exponents lie outside [0, {largest}]: values are not finite")
    bits = (column >> 1).astype(word) << word.type(width)
    bits |= (column & 1).astype(word) << word.type(word.itemsize * 8 - 1)
    if used == _COMMON:
        bits |= word.type(common)
    elif used:
        mantissas = unpack(reader.take(packed_size(count, used), "mantissas"), count, used)
        bits |= mantissas.astype(word) << word.type(width - used)
    values: Vector = bits.view(DTYPES[number].newbyteorder("="))
    return values


def _unsigned(number: int) -> np.dtype[Any]:
    return np.dtype(f"u{DTYPES[number].itemsize}")


def _trailing_zeros(bits: int, width: int) -> int:
    return (bits & -bits).bit_length() - 1 if bits else width


# Levels


def _encode_levels(values: Vector, step: float, number: int) -> bytes | None:
    """Return the level code, or ``None`` if the step does not give these very values."""
    if values.size == 0:
        return None
    # A step too large or too small for the values makes infinities here, and is refused by them.
    with np.errstate(all="ignore"):
        unit = values.dtype.type(step)
        quotients = values / unit
        if not np.isfinite(unit) or not np.abs(quotients).max() < 2 ** (MAX_WIDTH - 1):
            return None
        levels = np.rint(quotients).astype(np.int64)
    if _multiples(levels, unit).tobytes() != values.tobytes():
        return None
    return bytes(unit.astype(DTYPES[number]).tobytes()) + encode_column(levels)


def _decode_levels(reader: Reader, number: int, count: int) -> tuple[Vector, float]:
    wire_type = DTYPES[number]
    step = np.frombuffer(reader.take(wire_type.itemsize, "step"), wire_type)[0]
    if not np.isfinite(step):
        raise WireError("step is not finite")
    levels = decode_column(reader, count, "levels")
    step = step.astype(wire_type.newbyteorder("="))
    return _multiples(levels, step), float(step)


def _multiples(levels: Numbers, step: np.floating[Any]) -> NDArray[Any]:
    """Return level times step, rounded once to the step's dtype."""
    with np.errstate(all="ignore"):
        return np.asarray(levels.astype(step.dtype) * step)
