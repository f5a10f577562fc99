"""The wire: lossless both ways, and nothing but `WireError` for anything that is not a message."""

import tracemalloc
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import gammaln

from fl_ef21.compressors import Dense, Sparse
from fl_ef21.wire import WireError, decode, encode

FIXED = 0x80
HUGE = 2**31
LARGEST = 2**40

quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def sparse(size, indices, values, dtype=np.float32):
    return Sparse(size, np.array(indices, np.int64), np.array(values, dtype))


def uniform_sparse(size, k, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.choice(size, k, replace=False))
    return Sparse(size, indices, rng.normal(size=k).astype(dtype))


def values(dtype, count):
    """Finite values: zeros of both signs, subnormals and the largest floats included."""
    elements = st.floats(allow_nan=False, allow_infinity=False, width=np.finfo(dtype).bits)
    return arrays(dtype, count, elements=elements, fill=st.nothing())


@st.composite
def messages(draw, largest=HUGE):
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    if draw(st.booleans()):
        return Dense(draw(values(dtype, st.integers(1, 40))))
    size = draw(st.one_of(st.integers(1, 40), st.integers(1, largest)))
    if size <= 40 and draw(st.booleans()):
        indices = list(range(size))
    else:
        indices = sorted(draw(st.sets(st.integers(0, size - 1), max_size=40)))
    return Sparse(size, np.array(indices, np.int64), draw(values(dtype, len(indices))))


def assert_same_bits(a, b):
    assert type(a) is type(b)
    assert a.size == b.size
    pairs = [(a.values, b.values)]
    if isinstance(a, Sparse):
        pairs.append((a.indices, b.indices))
    for x, y in pairs:
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def sealed(body):
    """The body with a checksum that fits: what an attacker would send."""
    return body + crc32(body).to_bytes(4, "little")


def varint(number):
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def packed(numbers, width):
    bits = "".join(f"{n:0{width}b}" for n in numbers)
    return bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))


def crafted(
    *,
    version=1,
    kind=1,
    value_code=0,
    size=300,
    count=2,
    code=FIXED,
    index=None,
    data=None,
    unary=b"",
):
    """A payload from its fields; by default positions 7 and 260 of 300, values 1 and 2."""
    index = packed([7, 260], 9) if index is None else index
    data = np.array([1, 2], "<f4").tobytes() if data is None else data
    header = b"\xef\x21" + bytes([version, kind << 4 | value_code]) + varint(size)
    if kind == 0:
        return sealed(header + data)
    return sealed(header + varint(count) + bytes([code]) + index + data + unary)


# Round trip


@quick
@given(messages())
def test_round_trip_bit_for_bit(message):
    decoded = decode(encode(message), size=message.size)
    assert_same_bits(decoded, message)
    assert decoded == message
    assert encode(decoded) == encode(message)


EDGES = {
    "dense zeros of both signs": Dense(np.array([0.0, -0.0], np.float32)),
    "dense subnormals": Dense(np.array([5e-324, -2e-310])),
    "dense of one": Dense(np.array([1.5], np.float32)),
    "nothing sent": sparse(300, [], []),
    "nothing of one": sparse(1, [], []),
    "one of one": sparse(1, [0], [-0.0]),
    "all sent": sparse(6, range(6), [1, -1, 0, -0.0, 1e-45, 3e38]),
    "all of many": uniform_sparse(5000, 5000),
    "all but one": sparse(1000, [i for i in range(1000) if i != 500], np.ones(999)),
    "first and last of 2^31": sparse(HUGE, [0, HUGE - 1], [1, 2], np.float64),
    "a run at the end of 2^31": sparse(HUGE, range(HUGE - 50, HUGE), np.ones(50)),
    "largest size": sparse(LARGEST, [0, LARGEST - 1], [1, 2]),
    "uniform": uniform_sparse(10**5, 1000),
    "clustered": sparse(10**6, [*range(500), *range(9 * 10**5, 9 * 10**5 + 500)], np.ones(1000)),
}
edges = pytest.mark.parametrize("message", EDGES.values(), ids=EDGES)


@edges
def test_round_trip_of_edges(message):
    assert_same_bits(decode(encode(message), size=message.size), message)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_bytes_are_read_and_the_result_is_independent_of_them(kind):
    buffer = bytearray(encode(Dense(np.array([1.0, 2.0]))))
    message = decode(kind(buffer), size=2)
    buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(message.values, [1, 2])
    message.values[0] = 5


# The format, byte by byte; each was written down from the layout in the module's docstring.
HEX = [
    (Dense(np.array([1.0, -0.0], np.float32)), "ef210100020000803f00000080"),
    (Dense(np.array([1.0])), "ef21010101000000000000f03f"),
    (sparse(300, [7], [0.5]), "ef210110ac02018003800000003f"),
    (sparse(HUGE, [], [], np.float64), "ef21011180808080080080"),
    (sparse(8, range(8), np.zeros(8)), "ef210110080800" + "00000000" * 8 + "ff"),
    (
        sparse(64, range(3, 64, 8), np.ones(8)),
        "ef210110400802ffff" + "0000803f" * 8 + "aaaa",
    ),
]


@pytest.mark.parametrize(("message", "body"), HEX, ids=[body[:16] for _, body in HEX])
def test_hex_vectors(message, body):
    data = sealed(bytes.fromhex(body))
    assert encode(message).hex() == data.hex()
    assert_same_bits(decode(data, size=message.size), message)


def test_crafted_payloads_are_what_encode_makes():
    assert crafted() == encode(sparse(300, [7, 260], [1, 2]))


# Length


@pytest.mark.parametrize("size", [10**4, 10**5, 10**6])
def test_index_bytes_come_close_to_the_limit(size):
    k = size // 100
    nats = gammaln(size + 1) - gammaln(k + 1) - gammaln(size - k + 1)
    limit = nats / np.log(2) / 8
    index_bytes = len(encode(uniform_sparse(size, k))) - 4 * k
    assert limit < index_bytes <= 1.05 * limit + 24


@pytest.mark.parametrize("size", [68, 300, 10**4, 10**6])
def test_index_bytes_never_exceed_fixed_width(size):
    for k in (1, 2, 3, 10, 60):
        fixed = (k * (size - 1).bit_length() + 7) // 8
        assert len(encode(uniform_sparse(size, k))) - 4 * k <= fixed + 24


def test_small_payloads_are_small():
    assert len(encode(sparse(300, [299], [1.0]))) <= 24


@pytest.mark.parametrize("size", [1, 300, HUGE, LARGEST])
def test_framing_is_at_most_24_bytes(size):
    assert len(encode(sparse(size, [], []))) <= 24
    if size < 1000:
        assert len(encode(Dense(np.ones(size)))) <= 8 * size + 24


# Damage


SMALL = {name: m for name, m in EDGES.items() if len(encode(m)) < 100}
small = pytest.mark.parametrize("message", SMALL.values(), ids=SMALL)


def assert_refused(data, size, *parts):
    with pytest.raises(WireError) as caught:
        decode(data, size=size)
    for part in parts:
        assert part in str(caught.value)


def flipped(data, position, mask):
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


@small
def test_any_other_byte_at_any_place_is_refused(message):
    data = encode(message)
    for position in range(len(data)):
        for mask in range(1, 256):
            assert_refused(flipped(data, position, mask), message.size)


@settings(quick, max_examples=25)
@given(messages())
def test_any_flipped_bit_is_refused(message):
    data = encode(message)
    for position in range(len(data)):
        for bit in range(8):
            assert_refused(flipped(data, position, 1 << bit), message.size)


@edges
def test_every_truncation_is_refused(message):
    data = encode(message)
    for length in range(0, len(data), max(1, len(data) // 500)):
        assert_refused(data[:length], message.size)


@edges
@pytest.mark.parametrize("extra", [b"\0", b"\xff", bytes(4), bytes(100)], ids=len)
def test_appended_bytes_are_refused(message, extra):
    data = encode(message)
    assert_refused(data + extra, message.size)
    assert_refused(extra + data, message.size)
    assert_refused(data + data, message.size)
    assert_refused(sealed(data[:-4] + extra), message.size)


@edges
def test_another_size_is_refused(message):
    for size in (message.size - 1, message.size + 1, 0, -1):
        assert_refused(encode(message), size, f"size is {message.size} instead of {size}")


@pytest.mark.parametrize("data", [None, "ef21", 7, [0xEF, 0x21], np.zeros(9, np.uint8)], ids=type)
def test_what_is_not_bytes_is_refused(data):
    assert_refused(data, 1, "bytes", type(data).__name__)


# Hostile payloads whose checksum fits: (payload, size asked for, what the error says)

ONE = np.array([1], "<f4").tobytes()
HOSTILE = {
    "magic": (sealed(b"\xef\x22" + crafted()[2:-4]), 300, ("magic", "ef22")),
    "version 0": (crafted(version=0), 300, ("version", "00", "reads version 1")),
    "version 2": (crafted(version=2), 300, ("version", "02", "reads version 1")),
    "kind": (crafted(kind=2), 300, ("kind 2", "unknown")),
    "value code": (crafted(value_code=2), 300, ("value code 2", "unknown")),
    "value code of dense": (crafted(kind=0, value_code=15, size=2), 2, ("value code 15",)),
    "index code": (crafted(code=0x81), 300, ("index code 0x81", "unknown")),
    "index parameter": (crafted(code=10), 300, ("index code 0x0a", "too large", "300")),
    "size 0": (crafted(size=0, count=0, index=b"", data=b""), 0, ("size 0", "[1, ")),
    "size above the largest": (crafted(size=LARGEST + 1), LARGEST + 1, ("size", str(LARGEST + 1))),
    "size of 80 bits": (crafted(size=2**79), 300, ("size", "too long")),
    "count above size": (crafted(count=301), 300, ("count 301", "[0, 300]")),
    "count of 80 bits": (crafted(count=2**79), 300, ("count", "too long")),
    "count too large for the data": (crafted(count=3), 300, ("indices and values",)),
    "count too small for the data": (crafted(count=1), 300, ("left over",)),
    "no index code": (sealed(b"\xef\x21\x01\x10\xac\x02\x00"), 300, ("index code", "cut short")),
    "no count": (sealed(b"\xef\x21\x01\x10\xac\x02"), 300, ()),
    "equal indices": (crafted(index=packed([7, 7], 9)), 300, ("increasing",)),
    "falling indices": (crafted(index=packed([260, 7], 9)), 300, ("increasing",)),
    "index at size": (crafted(index=packed([7, 300], 9)), 300, ("below size 300",)),
    "index above size": (crafted(index=packed([7, 511], 9)), 300, ("below size 300",)),
    "padding bits": (crafted(index=packed([7, 260], 9)[:-1] + b"\x01"), 300, ("bits behind",)),
    "nan": (crafted(data=np.array([1, np.nan], "<f4").tobytes()), 300, ("finite",)),
    "inf": (crafted(data=np.array([np.inf, 1], "<f4").tobytes()), 300, ("finite",)),
    "nan in dense": (
        crafted(kind=0, size=1, data=np.array([np.nan], "<f4").tobytes()),
        1,
        ("finite",),
    ),
    "dense too short": (crafted(kind=0, size=3), 3, ("12 bytes", "got 8")),
    "dense too long": (crafted(kind=0, size=1), 1, ("4 bytes", "got 8")),
    "rice without its bitmap": (crafted(code=8, index=bytes(2)), 300, ("unary",)),
    "rice with a missing one": (crafted(code=8, index=bytes(2), unary=b"\x80"), 300, ("unary",)),
    "rice with an extra one": (crafted(code=8, index=bytes(2), unary=b"\xe0"), 300, ("unary",)),
    "rice with a spare byte": (crafted(code=8, index=bytes(2), unary=b"\xc0\0"), 300, ("unary",)),
    "rice padding bits": (
        crafted(code=7, index=packed([1, 2], 7)[:-1] + b"\x09", unary=b"\xc0"),
        300,
        ("bits behind",),
    ),
    "rice index above size": (
        crafted(code=8, index=packed([255, 255], 8), unary=b"\xc0"),
        300,
        ("below size 300",),
    ),
    "rice parameter too small": (
        crafted(size=10**6, code=0, index=b"", unary=b"\xc0"),
        10**6,
        ("parameter 0 is too small",),
    ),
    "fixed width with a bitmap": (crafted(unary=b"\x80"), 300, ("1 bytes are left over",)),
}


@pytest.mark.parametrize(("data", "size", "parts"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_payloads_are_refused_by_name(data, size, parts):
    assert_refused(data, size, *parts)


def peak_memory(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BOMBS = {
    "sparse of 2^40 positions": crafted(size=LARGEST, count=LARGEST, index=b"", data=b""),
    "the same as rice": crafted(size=LARGEST, count=LARGEST, code=0, index=b"", data=b""),
    "rice that spans 2^40": crafted(
        size=LARGEST, count=1, code=0, index=b"", data=ONE, unary=b"\1"
    ),
    "wide rice": crafted(size=LARGEST, count=1, code=38, index=bytes(5), data=ONE, unary=b"\1"),
    "dense of 2^40": crafted(kind=0, size=LARGEST),
    "bitmap of zeros": crafted(
        size=LARGEST, count=0, code=40, index=b"", data=b"", unary=bytes(10**6)
    ),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_hostile_payloads_take_little_memory(data):
    assert peak_memory(lambda: assert_refused(data, LARGEST)) < 50_000 + 5 * len(data)


@pytest.mark.parametrize("k", [0, 1, 100, 10_000])
@pytest.mark.parametrize("size", [10_000, 10**6, HUGE, LARGEST])
def test_decoding_takes_memory_for_what_was_sent_and_not_for_the_size(size, k):
    data = encode(sparse(size, [i * (size // max(k, 1)) for i in range(k)], np.ones(k)))
    decode(data, size=size)
    assert peak_memory(lambda: decode(data, size=size)) < 20_000 + 400 * k


# Any bytes at all


def assert_message_or_wire_error(data, size):
    """Whether the bytes are a message; if so, a valid one."""
    try:
        message = decode(data, size=size)
    except WireError:
        return False
    assert message.size == size
    assert np.isfinite(message.values).all()
    if isinstance(message, Sparse):
        indices = message.indices.tolist()
        assert indices == sorted(set(indices))
        assert all(0 <= i < size for i in indices)
    assert_same_bits(decode(encode(message), size=size), message)
    return True


@settings(quick, max_examples=200)
@given(st.binary(max_size=80), st.integers(1, 1000), st.booleans())
def test_random_bytes_give_wire_error(data, size, behind_a_header):
    header = b"\xef\x21\x01\x10" + varint(size) if behind_a_header else b""
    assert_message_or_wire_error(data, size)
    assert_message_or_wire_error(sealed(header + data), size)


@settings(quick, max_examples=200)
@given(messages(largest=1000), st.data())
def test_mutated_payloads_give_a_valid_message_or_wire_error(message, data):
    body = bytearray(encode(message)[:-4])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert_message_or_wire_error(sealed(bytes(body)), message.size)


def test_twenty_thousand_mutations():
    rng = np.random.default_rng(21)
    messages = [*SMALL.values(), uniform_sparse(68, 5), uniform_sparse(300, 20, dtype=np.float64)]
    originals = [(encode(m)[:-4], m.size) for m in messages]
    accepted = 0
    for number in range(20_000):
        original, size = originals[number % len(originals)]
        body = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(body) + 1))
            # Overwrite, insert, delete, or flip one bit.
            match rng.integers(4):
                case 0:
                    body[place : place + 1] = rng.bytes(1)
                case 1:
                    body[place:place] = rng.bytes(1)
                case 2:
                    del body[place : place + 1]
                case _ if place < len(body):
                    body[place] ^= 1 << rng.integers(8)
        accepted += assert_message_or_wire_error(sealed(bytes(body)), size)
    # Changed values are valid messages: the loop reaches the code behind the checksum.
    assert 1000 < accepted < 10_000


# What encode refuses

F32 = np.float32
REFUSED = {
    "nan": sparse(9, [1], [np.nan]),
    "inf in dense": Dense(np.array([1.0, np.inf])),
    "falling": sparse(9, [3, 1], [1, 1]),
    "falling, 8 bits": Sparse(50, np.array([5, 3, 9], np.uint8), np.ones(3)),
    "falling by an overflow": sparse(50, [0, 2**63 - 1, -2, 5], np.ones(4)),
    "equal": sparse(9, [3, 3], [1, 1]),
    "negative": sparse(9, [-1, 3], [1, 1]),
    "at size": sparse(9, [3, 9], [1, 1]),
    "fewer values": sparse(9, [3, 4], [1]),
    "more values": sparse(9, [3], [1, 1]),
    "2-D sparse": sparse(9, [[3]], [[1]]),
    "2-D dense": Dense(np.ones((2, 2))),
    "0-D dense": Dense(np.array(1.0)),
    "empty dense": Dense(np.ones(0)),
    "size 0": sparse(0, [], []),
    "negative size": sparse(-1, [], []),
    "size above the largest": sparse(LARGEST + 1, [], []),
    "int32 values": sparse(9, [1], [1], np.int32),
    "int64 dense": Dense(np.ones(2, np.int64)),
    "float16 values": sparse(9, [1], [1], np.float16),
    "complex values": sparse(9, [1], [1], complex),
    "bool values": sparse(9, [1], [1], bool),
    "object values": sparse(9, [1], [1], object),
    "float indices": Sparse(9, np.array([1.0, 2.0]), np.ones(2, F32)),
    "bool indices": Sparse(9, np.array([False, True]), np.ones(2, F32)),
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
def test_encode_refuses_what_decode_would_refuse(message):
    with pytest.raises(WireError):
        encode(message)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.uint64])
def test_other_integer_indices_are_carried_or_refused(dtype):
    message = Sparse(300, np.array([7, 260], dtype), np.ones(2, F32))
    try:
        data = encode(message)
    except WireError:
        return
    np.testing.assert_array_equal(decode(data, size=300).indices, [7, 260])
