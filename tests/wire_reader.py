"""A second reader of the wire, written from docs/wire-format.md alone: slow, and without numpy's
fixed widths, so that it shares neither code nor overflows with the library's.

What it reads is nested tuples: kind, size, dtype, then positions and the values' bits.
"""

import zlib
from itertools import pairwise

import numpy as np

MOST_PER_BYTE = 64
MAX_SIZE = 2**40
KINDS = ("dense", "sparse", "low-rank", "parts")
DTYPES = ("float32", "float64")
WORDS = ("<f4", "<f8")
MANTISSA = (23, 52)


class RefusedError(Exception):
    """The bytes are no message."""


def require(condition):
    if not condition:
        raise RefusedError


def read(data, size):
    """Read a whole payload for dimension ``size``."""
    cursor = Cursor(data[:-4])
    require(cursor.take(2) == b"\xef\x21")
    require(cursor.byte() == 1)
    require(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little"))
    message = read_message(cursor, size)
    require(cursor.left == 0)
    return message


class Cursor:
    def __init__(self, data):
        self.data = data

    @property
    def left(self):
        return len(self.data)

    def take(self, length):
        require(length <= self.left)
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    def byte(self):
        return self.take(1)[0]

    def varint(self, low, high):
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                require((byte > 0 or shift == 7) and low <= number <= high)
                return number

    def numbers(self, widths):
        """Read numbers end to end, low bits first; the last byte is filled up with zeros."""
        bits = int.from_bytes(self.take(-(-sum(widths) // 8)), "little")
        found = []
        for width in widths:
            found.append(bits & ((1 << width) - 1))
            bits >>= width
        require(bits == 0)
        return found

    def packed(self, count, width):
        if count < 64:
            return self.numbers([width] * count)
        found = [0] * count
        place = 0
        while place < width:
            bits = next(b for b in (8, 4, 2, 1) if place + b <= width)
            found = [
                n | d << place for n, d in zip(found, self.numbers([bits] * count), strict=True)
            ]
            place += bits
        return found

    def column(self, count):
        code = self.byte()
        zigzag = self.varint(0, 2**41)
        low = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
        require(code % 64 <= 40 and code < 128)
        if code < 64:
            require(code > 0 or count <= MOST_PER_BYTE)
            return [low + n for n in self.packed(count, code)]
        radix = self.varint(0, 255) + 1
        group = self.byte()
        require(1 <= group <= 8 and radix**group <= 256)
        length = self.varint(1, self.left)
        symbols = inflate(self.take(length), -(-count // group))
        digits = []
        for symbol in symbols:
            require(symbol < radix**group)
            digits += [symbol // radix**place % radix for place in range(group)]
        require(not any(digits[count:]))
        lows = self.packed(count, code - 64)
        return [low + (d << (code - 64)) + n for d, n in zip(digits[:count], lows, strict=True)]


def inflate(data, count):
    require(count <= 8 * len(data))
    decoder = zlib.decompressobj(-15)
    try:
        symbols = decoder.decompress(data, count + 1)
    except zlib.error:
        raise RefusedError from None
    require(len(symbols) == count and decoder.eof and not decoder.unused_data)
    return symbols


def read_message(cursor, size, dtype=None):
    """Read a message; ``size`` is what it must have, and ``dtype`` as well inside parts."""
    first = cursor.byte()
    fresh, kind, code, number = first >> 7, first % 128 >> 4, first % 16 >> 1, first % 2
    require(kind <= 3 and (dtype is None or (dtype == number and not fresh)))
    d = cursor.varint(1, MAX_SIZE)
    require(size is None or d == size)
    count = cursor.varint(0, d) if kind else d
    head = ("fresh " * fresh + KINDS[kind], d, DTYPES[number])
    if kind == 3:
        require(dtype is None and code == 0 and 1 <= count <= cursor.left)
        parts = tuple(read_message(cursor, None, number) for _ in range(count))
        require(sum(part[1] for part in parts) == d)
        return (*head, parts)
    if kind == 2:
        columns = cursor.varint(1, d)
        rows = -(-d // columns)
        require(1 <= count <= min(rows, columns))
        return (*head, count, columns, read_values(cursor, code, number, (rows + columns) * count))
    if kind == 1:
        require(count <= MOST_PER_BYTE * (cursor.left + 1))
        indices = read_indices(cursor, count, d)
        return (*head, tuple(indices), read_values(cursor, code, number, count))
    return (*head, read_values(cursor, code, number, count))


def read_indices(cursor, count, d, inside=False):
    if count in (0, d):
        return list(range(count))
    code = cursor.byte()
    if code == 0xC0:
        require(not inside and 2 * count > d)
        others = set(read_indices(cursor, d - count, d, inside=True))
        return [i for i in range(d) if i not in others]
    width = max(1, (d - 1).bit_length())
    if code == 0x80:
        indices = cursor.packed(count, width)
    elif code <= width:
        indices = read_rice(cursor, count, d, code)
    else:
        require(0x40 <= code <= 0x42)
        indices = read_classes(cursor, count, d, code - 0x40)
    require(all(a < b for a, b in pairwise(indices)) and indices[-1] < d)
    return indices


def read_rice(cursor, count, d, parameter):
    require(d >> parameter <= 9 * (count + 1))
    lows = cursor.packed(count, parameter)
    length = cursor.varint(1, -(-(count + (d >> parameter)) // 8))
    bits = "".join(f"{byte:08b}" for byte in cursor.take(length))
    require("1" in bits[-8:] and bits.count("1") == count)
    highs = [len(run) for run in bits.split("1")[:-1]]
    return positions([(high << parameter) + low for high, low in zip(highs, lows, strict=True)])


def read_classes(cursor, count, d, finest):
    classes = cursor.column(count)
    top = d.bit_length() - 1
    largest = (top << finest) | (d << finest >> top) - (1 << finest)
    require(all(0 <= c <= largest for c in classes))
    exponents = [c >> finest for c in classes]
    behind = cursor.numbers([max(0, e - finest) for e in exponents])
    gaps = []
    for c, e, low in zip(classes, exponents, behind, strict=True):
        lead = (1 << finest) | (c & ((1 << finest) - 1))
        gaps.append((lead >> (finest - e) if e < finest else (lead << (e - finest)) | low) - 1)
    return positions(gaps)


def positions(gaps):
    found, last = [], -1
    for gap in gaps:
        last += gap + 1
        found.append(last)
    return found


def read_values(cursor, code, number, count):
    require(code <= 2 and count <= MOST_PER_BYTE * (cursor.left + 1))
    if count == 0:
        return ()
    size = 4 << number
    if code == 0:
        values = [int.from_bytes(cursor.take(size), "little") for _ in range(count)]
    elif code == 1:
        values = read_split(cursor, number, count, 8 * size)
    else:
        dtype = np.dtype(WORDS[number])
        step = np.frombuffer(cursor.take(size), dtype)[0]
        require(np.isfinite(step))
        levels = cursor.column(count)
        with np.errstate(all="ignore"):
            made = [dtype.type(level) * step for level in levels]
        values = [int.from_bytes(v.astype(dtype).tobytes(), "little") for v in made]
    infinity = (1 << (8 * size - 1)) - (1 << MANTISSA[number])
    require(all(v & infinity != infinity for v in values))
    return tuple(values)


def read_split(cursor, number, count, bits):
    width = MANTISSA[number]
    used, common = cursor.byte(), 0
    if used == 0x80:
        common = int.from_bytes(cursor.take(-(-width // 8)), "little")
        used = 0
    require(used <= width and common < 1 << width)
    column = cursor.column(count)
    require(all(0 <= c <= 2 * ((1 << (bits - 1 - width)) - 2) + 1 for c in column))
    lows = cursor.packed(count, used)
    return [
        (c & 1) << (bits - 1) | c >> 1 << width | common | low << (width - used)
        for c, low in zip(column, lows, strict=True)
    ]


def as_read(message):
    """Return the library's message in the form of ``read``."""
    kind = type(message).__name__
    if kind == "Fresh":
        name, *rest = as_read(message.message)
        return (f"fresh {name}", *rest)
    head = message.size, message.dtype.name
    if kind == "Parts":
        return ("parts", *head, tuple(as_read(part) for part in message.parts))
    if kind == "LowRankMessage":
        factors = np.concatenate([message.left.ravel(), message.right.ravel()])
        return ("low-rank", *head, message.left.shape[1], message.right.shape[0], as_bits(factors))
    if kind == "Sparse":
        return ("sparse", *head, tuple(message.indices.tolist()), as_bits(message.values))
    return ("dense", *head, as_bits(message.values))


def as_bits(values):
    return tuple(values.view(f"u{values.itemsize}").tolist())
