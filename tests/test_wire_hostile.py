"""Bytes that need not be trusted: a valid message, or `WireError` and little memory."""

import tracemalloc
import zlib

import numpy as np
import pytest
from fuzz.fuzz_decode import (
    BYTES_PER_BYTE,
    check,
    check_memory,
    corpus,
    mutated,
    sealed,
    stated_size,
    varint,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_examples import EXAMPLES, HUGE, LARGEST, ON_SUPPORT, SUPPORT, dense, low_rank, sparse

from fl_ef21.compressors.message import Sparse
from fl_ef21.compressors.support import Support
from fl_ef21.wire import WireError, decode, encode

quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])

EXAMPLE = pytest.mark.parametrize("message", EXAMPLES.values(), ids=EXAMPLES)


def assert_refused(data, size, *parts, support=None):
    with pytest.raises(WireError) as caught:
        decode(data, size=size, support=support)
    for part in parts:
        assert part in str(caught.value)


# Damage


def flipped(data, position, mask):
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


SMALL = {name: message for name, message in EXAMPLES.items() if len(encode(message)) < 40}


@pytest.mark.parametrize("message", SMALL.values(), ids=SMALL)
def test_any_other_byte_at_any_place_is_refused(message):
    data = encode(message)
    for position in range(len(data)):
        for mask in range(1, 256):
            assert_refused(flipped(data, position, mask), message.size)


@EXAMPLE
def test_flipped_bits_are_refused(message):
    data = encode(message)
    for position in range(0, len(data), max(1, len(data) // 50)):
        for bit in range(8):
            assert_refused(flipped(data, position, 1 << bit), message.size)


@EXAMPLE
def test_every_truncation_is_refused(message):
    data = encode(message)
    for length in range(0, len(data), max(1, len(data) // 200)):
        assert_refused(data[:length], message.size)
        assert_refused(sealed(data[:length][:-4]), message.size)


@EXAMPLE
@pytest.mark.parametrize("extra", [b"\0", b"\xff", bytes(4), bytes(100)], ids=len)
def test_appended_bytes_are_refused(message, extra):
    data = encode(message)
    assert_refused(data + extra, message.size)
    assert_refused(extra + data, message.size)
    assert_refused(data + data, message.size)
    assert_refused(sealed(data[:-4] + extra), message.size, "left over")


@EXAMPLE
def test_another_size_is_refused(message):
    for size in (message.size - 1, message.size + 1, 0, -1):
        assert_refused(encode(message), size, f"size is {message.size} instead of {size}")


@pytest.mark.parametrize("data", [None, "ef21", 7, [0xEF, 0x21], np.zeros(9, np.uint8)], ids=type)
def test_what_is_not_bytes_is_refused(data):
    assert_refused(data, 1, "bytes", type(data).__name__)


# Hostile payloads whose checksum fits


def packed(numbers, width):
    """Pack fewer than 64 numbers, low bits first."""
    bits = sum(number << i * width for i, number in enumerate(numbers))
    return bits.to_bytes(-(-len(numbers) * width // 8), "little")


def start(kind=1, code=0, size=300, version=1):
    return b"\xef\x21" + bytes([version, kind << 4 | code]) + varint(size)


RAW = np.array([0.1, 0.3], "<f4").tobytes()
HALF = np.array([0.5], "<f4").tobytes()
ONES = b"\x00\x00" + varint(508)
"""Ones as a split code: no mantissa bits; a column of no bits whose smallest is 2 · 127."""


def sparse_payload(*, version=1, code=0, size=300, count=2, index=None, values=RAW):
    """A sparse payload from its fields; by default positions 7 and 260, values 0.1 and 0.3."""
    index = b"\x80" + packed([7, 260], 9) if index is None else index
    return sealed(start(1, code, size, version) + varint(count) + index + values)


def dense_payload(*, code=0, size=2, values=RAW):
    return sealed(start(0, code, size) + values)


def low_rank_payload(*, code=1 << 1, size=6, rank=1, columns=2, values=ONES):
    """A low-rank payload; by default ones in both factors of three rows and two columns."""
    return sealed(start(2, code, size) + varint(rank) + varint(columns) + values)


def parts_payload(*parts, size, code=0, count=None):
    """Parts, each without magic, version and checksum."""
    count = len(parts) if count is None else count
    return sealed(start(3, code, size) + varint(count) + b"".join(part[3:-4] for part in parts))


def stored(symbols):
    """Symbols as DEFLATE without compression."""
    length = len(symbols)
    return (
        b"\x01" + length.to_bytes(2, "little") + (0xFFFF - length).to_bytes(2, "little") + symbols
    )


def column(code, low, body=b""):
    """A column; ``low`` is zigzag already."""
    return bytes([code]) + varint(low) + body


def huffman(stream, *, shift=0, low=508, radix=2, group=8, length=None, behind=b""):
    length = len(stream) if length is None else length
    return column(
        0x40 + shift, low, varint(radix - 1) + bytes([group]) + varint(length) + stream + behind
    )


def test_crafted_payloads_are_what_encode_makes():
    assert sparse_payload() == encode(sparse(300, [7, 260], [0.1, 0.3]))
    assert dense_payload() == encode(dense([0.1, 0.3]))
    assert decode(low_rank_payload(), size=6).to_dense().tolist() == [1] * 6
    parts = parts_payload(sparse_payload(), dense_payload(), size=302)
    assert decode(parts, size=302).size == 302
    signs = dense_payload(code=2, size=9, values=b"\0" + huffman(stored(b"\x32\x01")))
    assert decode(signs, size=9).to_dense().tolist() == [1, -1, 1, 1, -1, -1, 1, 1, -1]


NAN, INF = (np.array([0.1, x], "<f4").tobytes() for x in (np.nan, np.inf))
QUIET, SIGNAL = (np.array([x], "<u4").tobytes() for x in (0x7FC00000, 0x7FA00000))
STEP = np.array([0.1], "<f4").tobytes()
LARGE = np.array([3e38], "<f4").tobytes()
LONG = b"\x80" * 20 + b"\x01"

# Payload, the size asked for, and what the error says.
HOSTILE = {
    "magic": (sealed(b"\xef\x22" + sparse_payload()[2:-4]), 300, ("magic", "ef22")),
    "nothing": (b"", 300, ("magic",)),
    "four bytes": (sealed(b""), 300, ("magic",)),
    "version 0": (sparse_payload(version=0), 300, ("version 0", "reads version 1")),
    "version 2": (sparse_payload(version=2), 300, ("version 2", "reads version 1")),
    "no version": (sealed(b"\xef\x21"), 300, ("version", "cut short")),
    "no kind": (sealed(b"\xef\x21\x01"), 300, ("kind", "cut short")),
    "kind": (sealed(start(kind=4)), 300, ("kind 4", "unknown")),
    "fresh kind": (sealed(start(kind=15)), 300, ("kind 7", "unknown")),
    "value code of sparse": (sparse_payload(code=6), 300, ("value code 6", "unknown")),
    "value code of dense": (dense_payload(code=15), 2, ("value code 15", "unknown")),
    "value code of low-rank": (low_rank_payload(code=8), 6, ("value code 8", "unknown")),
    "value code of parts": (parts_payload(dense_payload(), size=2, code=2), 2, ("value code 2",)),
    "size 0": (sealed(start(size=0) + b"\0"), 0, ("size 0", "[1, ")),
    "size above the largest": (
        sealed(start(size=LARGEST + 1) + b"\0"),
        LARGEST + 1,
        ("size", str(LARGEST + 1)),
    ),
    "size of 80 bits": (sealed(start(size=2**79)), 300, ("size", "too long")),
    "size without an end": (sealed(b"\xef\x21\x01\x10" + b"\xff" * 99), 300, ("size", "too long")),
    "size written too long": (
        sealed(b"\xef\x21\x01\x10\xac\x82\x00\x00"),
        300,
        ("size", "longer than needed"),
    ),
    "count above size": (sparse_payload(count=301), 300, ("count 301", "[0, 300]")),
    "count of 80 bits": (sparse_payload(count=2**79), 300, ("count", "too long")),
    "count written too long": (
        sealed(start() + b"\x82\x00" + sparse_payload()[7:-4]),
        300,
        ("count", "longer than needed"),
    ),
    "count too large for the data": (
        sparse_payload(count=3, index=b"\x80" + packed([7, 8, 260], 9)),
        300,
        ("values", "cut short"),
    ),
    "count too small for the data": (sparse_payload(size=256, count=1), 256, ("left over",)),
    "count that no bytes can hold": (
        sparse_payload(size=10**6, count=10**5),
        10**6,
        ("count 100000", "can hold"),
    ),
    "no count": (sealed(start()), 300, ("count", "cut short")),
    "no index code": (sealed(start() + b"\2"), 300, ("index code", "cut short")),
    "no indices": (sealed(start() + b"\2\x80"), 300, ("indices", "cut short")),
    "no values": (sparse_payload(values=b""), 300, ("values", "cut short")),
    # Indices
    "index code between": (sparse_payload(index=b"\x81\0\0"), 300, ("index code 0x81", "unknown")),
    "index code above": (sparse_payload(index=b"\xff\0\0"), 300, ("index code 0xff", "unknown")),
    "index parameter": (sparse_payload(index=b"\x0a\0\0"), 300, ("0x0a", "too large", "300")),
    "index parameter 0x3f": (sparse_payload(size=LARGEST, index=b"\x3f"), LARGEST, ("0x3f",)),
    "equal indices": (sparse_payload(index=b"\x80" + packed([7, 7], 9)), 300, ("increasing",)),
    "falling indices": (sparse_payload(index=b"\x80" + packed([260, 7], 9)), 300, ("increasing",)),
    "index at size": (
        sparse_payload(index=b"\x80" + packed([7, 300], 9)),
        300,
        ("below size 300",),
    ),
    "index above size": (
        sparse_payload(index=b"\x80" + packed([7, 511], 9)),
        300,
        ("below size 300",),
    ),
    "bits behind the indices": (
        sparse_payload(index=b"\x80" + packed([7, 260, 1], 9)[:3]),
        300,
        ("bits behind",),
    ),
    "bits behind a plane": (
        sparse_payload(size=512, count=65, index=b"\x80" + bytes(65 + 8) + b"\x02"),
        512,
        ("bits behind",),
    ),
    "rice without a length": (sparse_payload(index=b"\x08\0\0", values=b""), 300, ("unary",)),
    "rice of length 0": (sparse_payload(index=b"\x08\0\0\0"), 300, ("unary", "[1, 1]")),
    "rice of a length too large": (sparse_payload(index=b"\x08\0\0\2\xc0\0"), 300, ("[1, 1]",)),
    "rice cut short": (sparse_payload(index=b"\x08\0\0\1", values=b""), 300, ("unary bitmap",)),
    "rice with no one": (sparse_payload(index=b"\x08\0\0\1\0"), 300, ("0 positions",)),
    "rice with a missing one": (sparse_payload(index=b"\x08\0\0\1\x80"), 300, ("1 positions",)),
    "rice with an extra one": (sparse_payload(index=b"\x08\0\0\1\xe0"), 300, ("3 positions",)),
    "rice with a spare byte": (
        sparse_payload(index=b"\x05" + bytes(2) + b"\2\xc0\0"),
        300,
        ("unary",),
    ),
    "rice with bits behind": (
        sparse_payload(index=b"\x07" + packed([1, 2, 1], 7)[:2] + b"\1\xc0"),
        300,
        ("bits behind",),
    ),
    "rice above size": (
        sparse_payload(index=b"\x08" + packed([255, 255], 8) + b"\1\xc0"),
        300,
        ("below size 300",),
    ),
    "rice far above size": (
        sparse_payload(size=LARGEST, index=b"\x28" + bytes(10) + b"\1\x06"),
        LARGEST,
        ("below size",),
    ),
    "rice parameter too small": (
        sparse_payload(size=10**6, index=b"\x00\1\xc0"),
        10**6,
        ("parameter 0 is too small",),
    ),
    "classes too fine": (sparse_payload(index=b"\x43" + column(0, 0)), 300, ("0x43", "unknown")),
    "class below 0": (sparse_payload(index=b"\x40" + column(0, 1)), 300, ("classes", "[0, 8]")),
    "class above size": (sparse_payload(index=b"\x40" + column(0, 18)), 300, ("classes", "[0, 8]")),
    "class of 2^48": (
        sparse_payload(index=b"\x40" + huffman(stored(b"\xff\xff"), shift=40, radix=256, group=1)),
        300,
        ("classes",),
    ),
    "classes above size": (
        sparse_payload(index=b"\x40" + column(0, 16) + b"\xff\xff"),
        300,
        ("below size 300",),
    ),
    "classes without their low bits": (
        sparse_payload(index=b"\x40" + column(0, 16), values=b""),
        300,
        ("bits behind the classes", "cut short"),
    ),
    "classes with bits behind": (
        sparse_payload(index=b"\x40" + column(0, 2) + b"\x04"),
        300,
        ("bits behind",),
    ),
    "others of less than half": (sparse_payload(index=b"\xc0\x80" + bytes(99)), 300, ("half",)),
    "others of the half": (sparse_payload(size=4, index=b"\xc0\x80\0"), 4, ("half",)),
    "others of the others": (
        sparse_payload(size=3, index=b"\xc0\xc0\x80\0"),
        3,
        ("index code 0xc0",),
    ),
    "others above size": (sparse_payload(size=3, index=b"\xc0\x80\3"), 3, ("below size 3",)),
    # Values
    "nan": (sparse_payload(values=NAN), 300, ("finite",)),
    "inf": (sparse_payload(values=INF), 300, ("finite",)),
    "nan in dense": (dense_payload(values=NAN), 2, ("finite",)),
    "signalling nan": (dense_payload(values=SIGNAL, size=1), 1, ("finite",)),
    "dense too short": (dense_payload(size=3), 3, ("12 bytes", "8 are left")),
    "dense too long": (dense_payload(size=1), 1, ("4 bytes are left over",)),
    "mantissa too wide": (dense_payload(code=2, values=b"\x18" + column(0, 508)), 2, ("mantissa",)),
    "mantissa too wide in float64": (dense_payload(code=3, values=b"\x35"), 2, ("mantissa",)),
    "mantissa code": (dense_payload(code=2, values=b"\x81"), 2, ("mantissa",)),
    "common mantissa too wide": (
        dense_payload(code=2, values=b"\x80\0\0\x80" + column(0, 508)),
        2,
        ("mantissa",),
    ),
    "common mantissa cut short": (
        dense_payload(code=2, values=b"\x80\0\0"),
        2,
        ("common mantissa", "cut short"),
    ),
    "no mantissas": (
        dense_payload(code=2, values=b"\x17" + column(0, 508)),
        2,
        ("mantissas", "cut short"),
    ),
    "bits behind the mantissas": (
        dense_payload(code=2, values=b"\x02" + column(0, 508) + b"\x10"),
        2,
        ("bits behind",),
    ),
    "infinite exponent": (dense_payload(code=2, values=b"\0" + column(0, 1020)), 2, ("509",)),
    "infinite exponent of float64": (
        dense_payload(code=3, values=b"\0" + column(0, 2 * 4094)),
        2,
        ("4093",),
    ),
    "negative exponent": (dense_payload(code=2, values=b"\0" + column(0, 1)), 2, ("[0, 509]",)),
    "nan as a step": (dense_payload(code=4, values=QUIET + column(0, 2)), 2, ("step",)),
    "signalling nan as a step": (dense_payload(code=4, values=SIGNAL + column(0, 2)), 2, ("step",)),
    "no step": (dense_payload(code=4, values=b"\0\0"), 2, ("step", "cut short")),
    "levels beyond the largest float": (
        dense_payload(code=4, values=LARGE + column(0, 4)),
        2,
        ("values are not all finite",),
    ),
    "levels of 2^48 beyond it": (
        dense_payload(
            code=4,
            values=LARGE
            + huffman(stored(b"\xff\xff"), shift=40, radix=256, group=1, behind=bytes(10)),
        ),
        2,
        ("values are not all finite",),
    ),
    # Columns
    "no column": (dense_payload(code=2, values=b"\0"), 2, ("signs and exponents", "cut short")),
    "column of 41 bits": (dense_payload(code=4, values=STEP + column(41, 0)), 2, ("41 bits",)),
    "column of 63 bits": (dense_payload(code=4, values=STEP + column(63, 0)), 2, ("63 bits",)),
    "huffman column of 41 low bits": (
        dense_payload(code=4, values=STEP + column(0x69, 0)),
        2,
        ("41",),
    ),
    "column code 0xff": (dense_payload(code=4, values=STEP + column(255, 0)), 2, ("191 bits",)),
    "column without its smallest": (dense_payload(code=4, values=STEP + b"\0"), 2, ("smallest",)),
    "smallest too large": (
        dense_payload(code=4, values=STEP + column(0, 2**41 + 1)),
        2,
        ("smallest levels", "outside"),
    ),
    "smallest too long": (dense_payload(code=4, values=STEP + b"\0" + LONG), 2, ("too long",)),
    "column cut short": (dense_payload(code=4, values=STEP + column(9, 0)), 2, ("levels", "cut")),
    "bits behind a column": (
        dense_payload(code=4, values=STEP + column(3, 0, b"\x40")),
        2,
        ("bits behind",),
    ),
    "65 numbers of no bits": (
        dense_payload(code=2, size=65, values=ONES),
        65,
        ("65 numbers of no bits", "64"),
    ),
    "radix 257": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0"), radix=257)),
        2,
        ("largest levels", "[0, 255]"),
    ),
    "no digits in a symbol": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0"), group=0)),
        2,
        ("levels: 0 numbers",),
    ),
    "too many digits in a symbol": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0"), group=9)),
        2,
        ("levels: 9 numbers",),
    ),
    "too many digits of 17": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0"), radix=17, group=2)),
        2,
        ("2 numbers below 17",),
    ),
    "digit at the radix": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\3\0"), radix=3, group=1)),
        2,
        ("symbol out of range",),
    ),
    "digit behind the last": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\4"))),
        2,
        ("symbol out of range",),
    ),
    "no stream": (
        dense_payload(code=4, values=STEP + huffman(b"", length=0)),
        2,
        ("length of levels",),
    ),
    "stream longer than the message": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0"), length=7)),
        2,
        ("levels takes 7 bytes", "6 are left"),
    ),
    "stream that is none": (
        dense_payload(code=4, values=STEP + huffman(b"\xff\xff")),
        2,
        ("entropy code is damaged",),
    ),
    "stream without an end": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0")[:-1])),
        2,
        ("exactly 1 symbols",),
    ),
    "stream of a symbol less": (
        dense_payload(code=4, size=9, values=STEP + huffman(stored(b"\0"))),
        9,
        ("exactly 2 symbols",),
    ),
    "stream of a symbol more": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0\0"))),
        2,
        ("exactly 1 symbols",),
    ),
    "stream that goes on": (
        dense_payload(code=4, values=STEP + huffman(stored(b"\0") + b"\0")),
        2,
        ("exactly 1 symbols",),
    ),
    "stream of repetitions": (
        dense_payload(
            code=4,
            size=8 * 10**4,
            values=STEP + huffman(zlib.compress(bytes(10**4), wbits=-15)) + bytes(2000),
        ),
        8 * 10**4,
        ("levels: 80000 numbers", "can hold"),
    ),
    # Low-rank
    "rank 0": (low_rank_payload(rank=0), 6, ("rank 0",)),
    "rank above the columns": (low_rank_payload(rank=3), 6, ("rank 3", "3 rows", "2 columns")),
    "rank above the rows": (low_rank_payload(rank=2, columns=6), 6, ("rank 2", "1 rows")),
    "rank above the size": (low_rank_payload(rank=7), 6, ("count 7", "[0, 6]")),
    "no columns": (low_rank_payload(columns=0), 6, ("columns 0", "[1, 6]")),
    "columns above the size": (low_rank_payload(columns=7), 6, ("columns 7", "[1, 6]")),
    "columns cut short": (sealed(start(2, 0, 6) + b"\1"), 6, ("columns", "cut short")),
    "factors cut short": (low_rank_payload(code=0), 6, ("values takes 20 bytes",)),
    "nan in a factor": (low_rank_payload(code=0, size=1, columns=1, values=NAN), 1, ("finite",)),
    # Parts
    "no parts": (parts_payload(size=2), 2, ("count of parts 0",)),
    "more parts than bytes": (parts_payload(dense_payload(), size=99, count=99), 99, ("parts 99",)),
    "a part less": (parts_payload(dense_payload(), size=2, count=2), 2, ("kind", "cut short")),
    "a part more": (parts_payload(dense_payload(), dense_payload(), size=2, count=1), 2, ("left",)),
    "parts of a larger whole": (parts_payload(dense_payload(), size=3), 3, ("sum to 2",)),
    "parts of a smaller whole": (
        parts_payload(dense_payload(), dense_payload(), size=3),
        3,
        ("sum to 4", "instead of 3"),
    ),
    "parts in parts": (
        parts_payload(parts_payload(dense_payload(), size=2), size=2),
        2,
        ("in parts itself",),
    ),
    "a fresh part": (
        sealed(start(3, 0, 2) + b"\1" + start(8, 0, 2)[3:] + RAW),
        2,
        ("fresh",),
    ),
    "parts of another dtype": (
        parts_payload(dense_payload(), size=2, code=1),
        2,
        ("another dtype",),
    ),
    "nan in a part": (parts_payload(dense_payload(values=NAN), size=2), 2, ("finite",)),
    "falling indices in a part": (
        parts_payload(sparse_payload(index=b"\x80" + packed([260, 7], 9)), size=300),
        300,
        ("increasing",),
    ),
}


@pytest.mark.parametrize(("data", "size", "parts"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_payloads_are_refused_by_name(data, size, parts):
    assert_refused(data, size, *parts)
    with np.errstate(all="raise"):
        assert_refused(data, size, *parts)


@pytest.mark.parametrize(("data", "size", "parts"), HOSTILE.values(), ids=HOSTILE)
def test_the_second_reader_refuses_the_same(data, size, parts):
    assert check(data)


def test_numpy_may_be_told_to_raise():
    """A quantiser's step can be so small that multiples underflow: still a message."""
    tiny = np.array([1e-45], "<f4").tobytes()
    data = dense_payload(code=4, values=tiny + column(1, 0, b"\2"))
    with np.errstate(all="raise"):
        assert decode(data, size=2) == dense([0, 1e-45])
        assert encode(dense([1e38, 0.1], step=1e-40))


# Support


@pytest.mark.parametrize("message", ON_SUPPORT.values(), ids=ON_SUPPORT)
def test_another_support_or_none_is_refused(message):
    data = encode(message, support=SUPPORT)
    assert_refused(data, 1000, "size is 102 instead of 1000")
    other = Support.of(1000, range(101))
    assert_refused(data, 1000, "size is 102 instead of 101", support=other)
    assert_refused(data, 999, "support", "1000", "999", support=SUPPORT)
    assert_refused(encode(message), 1000, "size is 1000 instead of 102", support=SUPPORT)


def test_kinds_without_coordinates_are_refused_on_a_support():
    support = Support.of(20, range(6))
    assert_refused(low_rank_payload(), 20, "kind 2", "support", support=support)
    parts = parts_payload(dense_payload(), low_rank_payload(size=4), size=6)
    assert_refused(parts, 20, "kind 3", "support", support=support)


def test_dense_on_a_support_is_a_message():
    support = Support.of(20, [3, 7])
    assert decode(dense_payload(), size=20, support=support) == sparse(20, [3, 7], [0.1, 0.3])


# Memory


def peak_memory(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


ZEROS = zlib.compress(bytes(10**6), 9, -15)
"""A million symbols in a kilobyte."""


def many_of_a_few_bytes(count):
    """Parts that each would be allowed 64 numbers for each byte of all that follows."""
    parts = [dense_payload(code=2, size=64 * 7 * n, values=ONES) for n in range(count, 0, -1)]
    return parts_payload(*parts, size=64 * 7 * count * (count + 1) // 2)


BOMBS = {
    "sparse of 2^40 positions": sparse_payload(size=LARGEST, count=LARGEST, index=b""),
    "the same as rice": sparse_payload(size=LARGEST, count=LARGEST, index=b"\0"),
    "rice that spans 2^40": sparse_payload(size=LARGEST, count=1, index=b"\0\1\1"),
    "wide rice": sparse_payload(size=LARGEST, count=1, index=b"\x26" + bytes(5) + b"\1\1"),
    "rice of a long bitmap": sparse_payload(
        size=LARGEST, count=1, index=b"\x28" + bytes(5) + varint(10**6) + bytes(10**6)
    ),
    "others of a huge set": sparse_payload(size=LARGEST, count=LARGEST - 1, index=b"\xc0\x80"),
    "dense of 2^40": dense_payload(size=LARGEST),
    "dense of 2^40 ones": dense_payload(code=2, size=LARGEST, values=ONES),
    "low-rank of 2^40": low_rank_payload(size=LARGEST, rank=2**20, columns=2**20),
    "low-rank of one row": low_rank_payload(size=LARGEST, columns=LARGEST),
    "low-rank of one column": low_rank_payload(size=LARGEST, columns=1),
    "2^40 parts": parts_payload(dense_payload(), size=LARGEST, count=LARGEST),
    "a part of 2^40": parts_payload(dense_payload(code=2, size=LARGEST, values=ONES), size=LARGEST),
    "many parts of ones": many_of_a_few_bytes(1000),
    "constant column": dense_payload(code=2, size=10**6, values=ONES + bytes(10**5)),
    "constant classes": sparse_payload(
        size=LARGEST, count=6 * 10**6, index=b"\x40\0\0", values=bytes(10**5)
    ),
    "deflate stream of repetitions": dense_payload(
        code=2, size=10**6, values=b"\0" + huffman(ZEROS, group=1) + bytes(2 * 10**4)
    ),
    "the same, 8 digits a symbol": dense_payload(
        code=2, size=8 * 10**6, values=b"\0" + huffman(ZEROS) + bytes(2 * 10**5)
    ),
    "the same for few numbers": dense_payload(code=2, values=b"\0" + huffman(ZEROS, group=1)),
    "the same as classes": sparse_payload(
        size=LARGEST, count=10**6, index=b"\x40" + huffman(ZEROS, low=0, group=1) + bytes(2 * 10**4)
    ),
    "wide levels": dense_payload(code=4, size=LARGEST, values=STEP + column(40, 0)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_payloads_take_little_memory(name):
    data = BOMBS[name]
    peak = peak_memory(lambda: assert_refused(data, stated_size(data)))
    assert peak < 50_000 + 20 * len(data)


@pytest.mark.parametrize("count", [10**4, 10**6])
def test_the_most_compact_message_takes_memory_for_its_bytes(count):
    """64 positions and values for each byte: what the format lets a sender make of a byte."""
    message = Sparse(3 * count, np.arange(count), np.ones(count, np.float32))
    data = encode(message)
    assert len(data) < 100 + count / 30
    peak = peak_memory(lambda: decode(data, size=message.size))
    assert peak < 100_000 + BYTES_PER_BYTE * len(data)
    assert peak < 100_000 + 100 * count


@pytest.mark.parametrize("k", [0, 1, 100, 10_000])
@pytest.mark.parametrize("size", [10_001, 10**6, HUGE, LARGEST])
def test_decoding_takes_memory_for_what_was_sent_and_not_for_the_size(size, k):
    data = encode(sparse(size, [i * (size // max(k, 1)) for i in range(k)], np.ones(k)))
    assert peak_memory(lambda: decode(data, size=size)) < 50_000 + 300 * k


# Any bytes at all


@settings(quick, max_examples=300)
@given(st.binary(max_size=80), st.integers(1, 1000), st.integers(0, 3), st.integers(0, 5))
def test_random_bytes_give_a_message_or_wire_error(data, size, kind, code):
    check(data)
    check(sealed(data))
    check(sealed(start(kind, code, size) + data))


def test_the_corpus_of_the_fuzzer_is_made_of_messages():
    payloads = corpus()
    assert 40 <= len(payloads) <= 60
    assert sum(map(len, payloads)) < 100_000
    for data in payloads:
        assert check(data) is None
        check_memory(data)


def test_twenty_thousand_mutations():
    rng = np.random.default_rng(21)
    payloads = [data for data in corpus() if len(data) < 100]
    outcomes = [
        check(mutated(payloads[number % len(payloads)], rng, payloads)) for number in range(20_000)
    ]
    # The mutations reach the code behind the checksum: changed values are valid messages.
    assert 1000 < outcomes.count(None) < 10_000
    said = " ".join({outcome for outcome in outcomes if outcome})
    for field in ("index", "unary", "classes", "entropy", "mantissa", "step", "rank", "parts"):
        assert field in said


def test_a_seed_of_another_kind_is_spliced_in():
    """The fuzzer's own mutations keep the checksum right, whatever they do."""
    rng = np.random.default_rng(0)
    payload = encode(low_rank(23, 5, 2))
    for _ in range(100):
        data = mutated(payload, rng, corpus())
        assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
