"""Streams of small whole numbers: fixed width, or Huffman, whichever is shorter.

A column begins with a byte: ``w`` < 64 for a fixed width of w bits, or 64 + s for a Huffman code
above s low bits that are packed. Then comes the smallest number (zigzag varint), which is taken
off the others. A Huffman symbol is one byte and holds several numbers where they are small: that
lets its cost for a number fall below one bit.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.wire import entropy
from fl_ef21.wire.bits import Numbers, pack, packed_size, unpack
from fl_ef21.wire.error import WireError
from fl_ef21.wire.reader import Reader, varint

HUFFMAN: Final = 0x40
MAX_WIDTH: Final = 40
"""Bits of the widest range that a column can hold."""

MOST_PER_BYTE: Final = 64
"""A message holds at most so many numbers for each of its bytes: that bounds a reader's memory."""

_FEW: Final = 32
"""Fewer numbers are not worth a Huffman code, whose table takes some 20 bytes or more."""

_MANY: Final = 2**15
"""From here on only the code with most numbers a symbol is tried: a second try costs time."""


def encode_column(numbers: Numbers) -> bytes:
    """Encode whole numbers whose range is below 2^40.

    Parameters
    ----------
    numbers : ndarray of int64, shape (k,), k ≥ 1
        In any order, of any sign.
    """
    low, high = int(numbers.min()), int(numbers.max())
    offsets, span = numbers - low, high - low
    width = span.bit_length()
    if width == 0 and numbers.size > MOST_PER_BYTE:
        width = 1
    lowest = varint(_zigzag(low))
    best = bytes([width]) + lowest
    size = len(best) + packed_size(numbers.size, width)
    if numbers.size >= _FEW:
        for candidate in _huffman_candidates(offsets, span, lowest):
            if len(candidate) < size:
                best, size = candidate, len(candidate)
    return best + pack(offsets, width) if best[0] < HUFFMAN else best


def decode_column(reader: Reader, count: int, field: str) -> Numbers:
    """Decode ``count`` ≥ 1 numbers.

    Raises
    ------
    WireError
        If the bytes hold no such column; the text names ``field``.
    """
    code = reader.byte(field)
    low = _unzigzag(reader.varint(f"smallest {field}", 0, 2 ** (MAX_WIDTH + 1)))
    if code < HUFFMAN:
        _require_width(code, field)
        if code == 0 and count > MOST_PER_BYTE:
            raise WireError(f"{field}: {count} numbers of no bits, above {MOST_PER_BYTE}")
        return unpack(reader.take(packed_size(count, code), field), count, code) + low
    return _decode_huffman(reader, count, code - HUFFMAN, field) + low


def _huffman_candidates(offsets: Numbers, span: int, lowest: bytes) -> list[bytes]:
    shift = max(0, span.bit_length() - 8)
    high = (offsets >> shift).astype(np.uint8)
    packed = pack(offsets & ((1 << shift) - 1), shift)
    radix = (span >> shift) + 1
    groups = {_most_per_symbol(radix)}
    if offsets.size < _MANY:
        groups.add(1)
    candidates = []
    for group in sorted(groups):
        coded = entropy.compress(_join(high, radix, group).tobytes())
        head = bytes([HUFFMAN + shift]) + lowest + varint(radix - 1) + bytes([group])
        candidates.append(head + varint(len(coded)) + coded + packed)
    return candidates


def _decode_huffman(reader: Reader, count: int, shift: int, field: str) -> Numbers:
    _require_width(shift, field)
    radix = reader.varint(f"largest {field}", 0, 255) + 1
    group = reader.byte(field)
    if not 1 <= group <= _most_per_symbol(radix):
        raise WireError(f"{field}: {group} numbers below {radix} do not fit one symbol")
    length = reader.varint(f"length of {field}", 1, reader.left)
    # A Huffman code takes a bit or more for a symbol; only DEFLATE's repetitions take less.
    if -(-count // group) > 8 * length:
        raise WireError(f"{field}: {count} numbers are more than {length} bytes can hold")
    symbols = entropy.decompress(reader.take(length, field), -(-count // group))
    high = _split(np.frombuffer(symbols, np.uint8), radix, group, count, field)
    packed = reader.take(packed_size(count, shift), field)
    return (high.astype(np.int64) << shift) + unpack(packed, count, shift)


def _most_per_symbol(radix: int) -> int:
    """Return how many numbers below ``radix`` fit into one byte."""
    group = 1
    while group < 8 and radix ** (group + 1) <= 256:
        group += 1
    return group


def _join(numbers: NDArray[np.uint8], radix: int, group: int) -> NDArray[np.uint8]:
    """Write ``group`` numbers as the digits of one, lowest first; the last ones are filled up."""
    if group == 1:
        return numbers
    digits = np.zeros((-(-numbers.size // group), group), np.uint8)
    digits.ravel()[: numbers.size] = numbers
    symbols = digits[:, group - 1].copy()
    for place in range(group - 2, -1, -1):
        symbols *= np.uint8(radix & 0xFF)
        symbols += digits[:, place]
    return symbols


def _split(
    symbols: NDArray[np.uint8], radix: int, group: int, count: int, field: str
) -> NDArray[np.uint16]:
    rest = symbols.astype(np.uint16)
    digits = np.empty((symbols.size, group), np.uint16)
    for place in range(group):
        rest, digits[:, place] = np.divmod(rest, np.uint16(radix))
    flat = digits.ravel()
    if rest.any() or flat[count:].any():
        raise WireError(f"{field} holds a symbol out of range")
    return flat[:count]


def _require_width(width: int, field: str) -> None:
    if width > MAX_WIDTH:
        raise WireError(f"{field} of {width} bits is wider than {MAX_WIDTH}")


def _zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _unzigzag(number: int) -> int:
    return number >> 1 if number % 2 == 0 else -(number + 1) >> 1
