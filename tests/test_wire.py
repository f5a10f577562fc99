"""The wire: lossless both ways, laid out as the documentation says, and as short as it promises."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import path_from_environment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import gammaln
from wire_examples import (
    EXAMPLES,
    HUGE,
    LARGEST,
    ON_SUPPORT,
    SUPPORT,
    bfloat16,
    clustered,
    dense,
    multiples,
    normal,
    powers_of_two,
    sparse,
    uniform,
)
from wire_reader import as_read, read

from fl_ef21.compressors.fresh import Fresh
from fl_ef21.compressors.low_rank_message import LowRankMessage
from fl_ef21.compressors.message import Dense, Sparse
from fl_ef21.compressors.parts import Parts
from fl_ef21.compressors.support import Support
from fl_ef21.wire import FRAMING_BYTES, WireError, decode, encode
from fl_ef21.wire.codec import _decode, _encode
from fl_ef21.wire.header import START, decode_header
from fl_ef21.wire.indices import decode_indices, encode_indices
from fl_ef21.wire.reader import Reader
from fl_ef21.wire.single import _place, decode_single, encode_single

FORMAT = Path(__file__).parents[1] / "docs" / "wire-format.md"

quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
dtypes = st.sampled_from([np.float32, np.float64])


def assert_round_trip(message, support=None):
    data = encode(message, support=support)
    decoded = decode(data, size=message.size, support=support)
    assert decoded == message
    assert as_read(decoded) == as_read(message)
    assert encode(decoded, support=support) == data
    if support is None and len(data) < 10**4:
        assert read(data, message.size) == as_read(message)


# Messages of any kind


@st.composite
def values(draw, count, dtype):
    """Finite values, zeros of both signs, subnormals and the largest included; some rounded."""
    floats = st.floats(allow_nan=False, allow_infinity=False, width=np.finfo(dtype).bits)
    found = draw(arrays(dtype, count, elements=floats, fill=st.nothing()))
    match draw(st.sampled_from(["whole", "powers", "one magnitude", "few bits"])):
        case "powers":
            return powers_of_two(found)
        case "one magnitude":
            return np.copysign(draw(arrays(dtype, (), elements=floats)), found)
        case "few bits":
            word = np.dtype(f"u{found.itemsize}").type
            cut = word(draw(st.integers(0, 2 * found.itemsize)))
            return (found.view(word) >> cut << cut).view(dtype)
    return found


@st.composite
def steps(draw, dtype):
    """A step of any magnitude, or none."""
    return draw(st.none() | st.floats(allow_nan=False, width=np.finfo(dtype).bits))


@st.composite
def dense_messages(draw, dtype):
    count = draw(st.integers(1, 100))
    if draw(st.booleans()):
        return Dense(draw(values(count, dtype)), draw(steps(dtype)))
    levels = draw(arrays(np.int64, count, elements=st.integers(-300, 300)))
    return multiples(levels, draw(st.floats(1e-3, 1e3)), dtype)


@st.composite
def sparse_messages(draw, dtype, largest=HUGE):
    size = draw(st.integers(1, 100) | st.integers(1, largest))
    if size <= 100 and draw(st.booleans()):
        left_out = draw(st.sets(st.integers(0, size - 1), max_size=3))
        indices = [i for i in range(size) if i not in left_out]
    else:
        indices = sorted(draw(st.sets(st.integers(0, size - 1), max_size=100)))
    found = draw(values(len(indices), dtype))
    return Sparse(size, np.array(indices, np.int64), found, draw(steps(dtype)))


@st.composite
def low_rank_messages(draw, dtype):
    size = draw(st.integers(1, 200))
    columns = draw(st.integers(1, size))
    rows = -(-size // columns)
    rank = draw(st.integers(1, min(rows, columns, 4)))
    left, right = draw(values(rows * rank, dtype)), draw(values(columns * rank, dtype))
    return LowRankMessage(size, left.reshape(rows, rank), right.reshape(columns, rank))


@st.composite
def messages(draw):
    dtype = draw(dtypes)
    one = dense_messages(dtype) | sparse_messages(dtype) | low_rank_messages(dtype)
    several = st.lists(one, min_size=1, max_size=4).map(lambda parts: Parts(tuple(parts)))
    match draw(st.integers(0, 5)):
        case 0:
            return draw(several)
        case 1:
            return Fresh(draw(one | several))
    return draw(one)


@settings(quick, max_examples=200)
@given(messages())
def test_round_trip_bit_for_bit(message):
    assert_round_trip(message)


@pytest.mark.parametrize("message", EXAMPLES.values(), ids=EXAMPLES)
def test_round_trip_of_examples(message):
    assert_round_trip(message)


@quick
@given(st.data(), dtypes, st.sets(st.integers(0, HUGE - 1), min_size=1, max_size=60))
def test_round_trip_on_a_support(data, dtype, owned):
    support = Support.of(HUGE, sorted(owned))
    chosen = sorted(data.draw(st.sets(st.sampled_from(sorted(owned)))))
    found = data.draw(values(len(chosen), dtype))
    assert_round_trip(Sparse(HUGE, np.array(chosen, np.int64), found), support)


@pytest.mark.parametrize("message", ON_SUPPORT.values(), ids=ON_SUPPORT)
def test_round_trip_of_examples_on_a_support(message):
    assert_round_trip(message, SUPPORT)
    assert len(encode(message, support=SUPPORT)) <= len(encode(message))


ROUNDINGS = {
    "raw": lambda v: v,
    "powers": powers_of_two,
    "bfloat16": bfloat16,
    "signs": lambda v: np.sign(v) * np.float32(0.3),
    "constant": np.ones_like,
}


@pytest.mark.parametrize("rounding", ROUNDINGS.values(), ids=ROUNDINGS)
@pytest.mark.parametrize("draw", [uniform, clustered])
@pytest.mark.parametrize("k", [31, 32, 63, 64, 65, 1000, 2**15 - 1, 2**15, 10**5])
def test_round_trip_of_many(k, draw, rounding):
    message = Sparse(10**7, draw(10**7, k, seed=k), rounding(normal(k, seed=k)))
    data = encode(message)
    decoded = decode(data, size=10**7)
    assert decoded == message
    assert encode(decoded) == data


@pytest.mark.parametrize("count", [1, 63, 64, 65, 100, 511, 512, 10**4, 10**6])
def test_round_trip_of_constants(count):
    """A reader refuses more than 64 numbers for each byte: no writer may come close to that."""
    for message in (
        dense(np.full(count, -1.5)),
        dense(np.zeros(count)),
        dense(np.full(count, 0.7), step=0.7),
        Sparse(3 * count, np.arange(count), np.ones(count)),
        Sparse(count, np.arange(count), np.ones(count)),
    ):
        data = encode(message)
        assert decode(data, size=message.size) == message
        assert len(data) <= 64 + count / 30


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 15, 20, 33, 38])
@pytest.mark.parametrize("count", [2, 63, 64, 200])
@pytest.mark.parametrize("spread", ["uniform", "skewed"])
def test_round_trip_of_levels(width, count, spread):
    rng = np.random.default_rng(width)
    levels = rng.integers(-(2**width), 2**width, count)
    if spread == "skewed":
        levels >>= rng.integers(0, width + 1, count)
    assert_round_trip(multiples(levels, 0.1, np.float64))
    assert_round_trip(multiples(levels, -1e-3, np.float32))


@pytest.mark.parametrize(
    "step", [0.0, -0.0, 1e-300, 1e300, 5e-324, np.inf, -np.inf, np.nan, 0.1, -0.1]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_step_is_a_hint_at_most(step, dtype):
    top = np.finfo(dtype).max
    assert_round_trip(dense([top, -top, 0.0, -0.0, 0.1, np.finfo(dtype).tiny], dtype, step))


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_bytes_are_read_and_the_result_is_independent_of_them(kind):
    buffer = bytearray(encode(dense([0.1, 0.23])))
    message = decode(kind(buffer), size=2)
    buffer[:] = bytes(len(buffer))
    np.testing.assert_array_equal(message.values, np.array([0.1, 0.23], np.float32))
    message.values[0] = 5


def test_arrays_need_not_be_contiguous():
    numbers = np.arange(1, 201, dtype=np.float64)
    assert_round_trip(Dense(numbers[::-2]))
    assert_round_trip(Sparse(400, np.arange(200)[::2], numbers[::2]))
    assert_round_trip(
        LowRankMessage(100, numbers[:40].reshape(2, 20).T, numbers[:10].reshape(2, 5).T)
    )


# The format, byte by byte: the documentation's table, each row written by hand from the layout

ROW = re.compile(r"^\| ([^|]+) \| (\d+) \| `(\S+)([^`]*)` \| `([0-9a-f]+)` \| (yes|no) \|$", re.M)
VECTORS = {row[0]: row[1:] for row in ROW.findall(FORMAT.read_text())}
LOW_RANK = LowRankMessage(3, np.array([[1], [2]], np.float32), np.array([[5], [7]], np.float32))
MESSAGES = {
    "levels": multiples([3, -1, 0], 0.1),
    "low-rank": LOW_RANK,
    "parts": Parts((sparse(3, [1], [2]), dense([1, 1]))),
    "fresh": Fresh(sparse(300, [7], [0.5])),
}
"""Those that the table does not tell from a dense or sparse message without a step."""


def stated(size, dtype, text):
    """Return what a row of the table stands for."""
    text, _, times = text.partition(" × ")
    words = text.split() * int(times or 1)
    if "=" not in text and words:
        return dense([float(word) for word in words], dtype)
    pairs = [word.split("=") for word in words]
    return sparse(size, [int(i) for i, _ in pairs], [float(v) for _, v in pairs], dtype)


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_documentation(name):
    size, dtype, text, payload, written = VECTORS[name]
    size, data = int(size), bytes.fromhex(payload)
    plain = stated(size, dtype, text)
    message = MESSAGES.get(name, plain)
    support = None
    if name.startswith("support"):
        support = Support.of(size, [int(i) for i in re.findall(r"\d+", name)])
    decoded = decode(data, size=size, support=support)
    assert decoded == message
    if size < HUGE:
        assert decoded.to_dense().tobytes() == plain.to_dense().tobytes()
    if written == "yes":
        assert encode(message, support=support).hex() == payload


def test_vectors_show_every_kind_and_code():
    payloads = [bytes.fromhex(row[3]) for row in VECTORS.values()]
    assert len(payloads) >= 20
    assert {data[3] >> 4 & 7 for data in payloads} == {0, 1, 2, 3}
    assert {data[3] >> 7 for data in payloads} == {0, 1}
    assert {data[3] >> 1 & 7 for data in payloads} == {0, 1, 2}
    assert {data[3] & 1 for data in payloads} == {0, 1}


# Length


def limit(size, k):
    """Return log2 C(size, k) in bytes."""
    return (gammaln(size + 1) - gammaln(k + 1) - gammaln(size - k + 1)) / np.log(2) / 8


def test_a_sample_that_misleads_costs_little():
    """Every gap that is sampled is zero: the others are not."""
    indices = np.cumsum(np.where(np.arange(10**5) % 12, 5, 1))
    size = int(indices[-1]) + 1
    coded = encode_indices(indices, size)
    assert len(coded) <= size / 8 + 24
    np.testing.assert_array_equal(decode_indices(Reader(coded), 10**5, size), indices)


@pytest.mark.parametrize("share", [0.001, 0.01])
@pytest.mark.parametrize("size", [10**6, 10**7])
def test_index_bytes_of_uniform_sets_come_close_to_the_limit(size, share):
    k = round(size * share)
    coded = encode_indices(uniform(size, k), size)
    assert limit(size, k) < len(coded) <= 1.02 * limit(size, k) + 16


@pytest.mark.parametrize("draw", [uniform, clustered])
@pytest.mark.parametrize("size", [68, 300, 10**4, 10**6])
def test_index_bytes_never_exceed_fixed_width(size, draw):
    for k in (1, 2, 3, 4, 5, 10, 30, 60, 63, 64, 65, 100, 1000, 5000):
        if (draw is uniform and k <= size) or k <= size // 16:
            indices = draw(size, k, seed=k)
            few = min(k, size - k)
            # From 64 positions on, planes of 4, 2 and 1 bits end in a whole byte each.
            fixed = -(-few * (size - 1).bit_length() // 8) + (2 if few >= 64 else 0)
            assert len(encode_indices(indices, size)) <= fixed + 2


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize(("k", "first", "later"), [(18410, 0.85, 0.70), (1841, 0.66, 0.45)])
def test_index_bytes_of_recorded_differences(step, k, first, later):
    """EF21 on a language model: its differences are clustered, far below the limit of uniform."""
    recorded = recorded_difference(step, k)
    coded = encode_indices(recorded.indices, recorded.size)
    assert len(coded) <= (later if step else first) * limit(recorded.size, k)
    reader = Reader(coded)
    np.testing.assert_array_equal(decode_indices(reader, k, recorded.size), recorded.indices)
    assert reader.left == 0


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize("k", [18410, 1841])
def test_powers_of_two_at_recorded_places_take_nine_bits(step, k):
    recorded = recorded_difference(step, k)
    message = Sparse(recorded.size, recorded.indices, powers_of_two(recorded.values))
    assert 8 * len(encode(message)) <= 9 * k
    assert decode(encode(message), size=message.size) == message


def recorded_difference(step, k):
    folder = path_from_environment("FL_EF21_FIXTURES")
    with np.load(folder / "differences" / f"real_{step}_{k}.npz") as file:
        return Sparse(int(file["d"]), file["idx"].astype(np.int64), file["v"].astype(np.float32))


def test_small_payloads_are_small():
    assert len(encode(sparse(300, [299], [0.1]))) <= 24
    assert len(encode(sparse(300, [299], [0.5]))) <= 24
    assert len(encode(sparse(68, [3, 40, 67], [2**-7, -(2**-3), 2**-5]))) <= 24


def test_values_of_few_bits_are_short():
    few = normal(1000)
    assert len(encode(Dense(np.sign(few) * np.float32(0.37)))) <= 1000 / 8 + 32
    assert len(encode(Dense(powers_of_two(few)))) <= 1000 * 3.6 / 8 + 32
    assert len(encode(Dense(bfloat16(few)))) <= 1000 * 10.6 / 8 + 32
    assert len(encode(multiples(few.round(), 0.1))) <= 1000 * 2.3 / 8 + 40
    assert len(encode(Dense(few))) <= 4000 + FRAMING_BYTES


@pytest.mark.parametrize("size", [1, 300, HUGE, LARGEST])
def test_framing_stays_below_its_bound(size):
    assert FRAMING_BYTES <= 24
    for k in (0, 1):
        message = sparse(size, range(k), np.full(k, 0.1), np.float64)
        positions = -(-k * (size - 1).bit_length() // 8) if size > 1 else 0
        assert len(encode(message)) <= FRAMING_BYTES + positions + 8 * k
    if size < 1000:
        assert len(encode(Dense(normal(size, np.float64)))) <= FRAMING_BYTES + 8 * size


# What encode refuses

REFUSED = {
    "nan": sparse(9, [1], [np.nan]),
    "inf in dense": dense([1.0, np.inf]),
    "falling": sparse(9, [3, 1], [1, 1]),
    "falling, 8 bits": Sparse(50, np.array([5, 3, 9], np.uint8), np.ones(3)),
    "falling by an overflow": sparse(50, [0, 2**63 - 1, -2, 5], np.ones(4)),
    "equal": sparse(9, [3, 3], [1, 1]),
    "negative": sparse(9, [-1, 3], [1, 1]),
    "at size": sparse(9, [3, 9], [1, 1]),
    "fewer values": sparse(9, [3, 4], [1]),
    "more values": sparse(9, [3], [1, 1]),
    "2-D sparse": sparse(9, [[3]], [[1]]),
    "2-D dense": dense(np.ones((2, 2))),
    "0-D dense": dense(1.0),
    "empty dense": dense([]),
    "size 0": sparse(0, [], []),
    "negative size": sparse(-1, [], []),
    "size above the largest": sparse(LARGEST + 1, [], []),
    "int32 values": sparse(9, [1], [1], np.int32),
    "int64 dense": dense([1, 1], np.int64),
    "float16 values": sparse(9, [1], [1], np.float16),
    "complex values": sparse(9, [1], [1], complex),
    "bool values": sparse(9, [1], [1], bool),
    "object values": Sparse(9, np.array([1]), np.array([1.0], object)),
    "big-endian values": dense([1.0], ">f4"),
    "float indices": Sparse(9, np.array([1.0, 2.0]), np.ones(2)),
    "bool indices": Sparse(9, np.array([False, True]), np.ones(2)),
    "int32 indices": Sparse(9, np.array([1, 2], np.int32), np.ones(2)),
    "no message": np.ones(3),
    "rank 0": LowRankMessage(4, np.ones((2, 0)), np.ones((2, 0))),
    "rank above the columns": LowRankMessage(4, np.ones((2, 3)), np.ones((2, 3))),
    "factors of two ranks": LowRankMessage(4, np.ones((2, 1)), np.ones((2, 2))),
    "factors of two dtypes": LowRankMessage(4, np.ones((2, 1)), np.ones((2, 1), np.float32)),
    "1-D factors": LowRankMessage(4, np.ones(2), np.ones(2)),
    "factors for fewer entries": LowRankMessage(5, np.ones((2, 1)), np.ones((2, 1))),
    "factors without rows": LowRankMessage(5, np.ones((5, 1)), np.ones((0, 1))),
    "inf in a factor": LowRankMessage(1, np.ones((1, 1)), np.full((1, 1), np.inf)),
    "no parts": Parts(()),
    "parts in parts": Parts((Parts((dense([1.0]),)),)),
    "fresh part": Parts((Fresh(dense([1.0])),)),
    "fresh of a fresh one": Fresh(Fresh(dense([1.0]))),
    "nan in a fresh one": Fresh(dense([np.nan])),
    "parts of two dtypes": Parts((dense([1.0]), dense([1.0], np.float64))),
    "nan in a part": Parts((dense([1.0]), dense([np.nan]))),
    "empty part": Parts((dense([1.0]), dense([]))),
}


@pytest.mark.parametrize("message", REFUSED.values(), ids=REFUSED)
def test_encode_refuses_what_decode_would_refuse(message):
    with pytest.raises(WireError):
        encode(message)


OFF_SUPPORT = {
    "outside": sparse(1000, [10, 11], [1, 1]),
    "beyond": sparse(1000, [1000], [1]),
    "negative": sparse(1000, [-1], [1]),
    "falling": sparse(1000, [20, 10], [1, 1]),
    "another size": sparse(999, [10], [1]),
    "nan": sparse(1000, [10], [np.nan]),
    "fresh, outside": Fresh(sparse(1000, [10, 11], [1, 1])),
    "dense": dense(np.ones(1000)),
    "low-rank": LowRankMessage(1000, np.ones((100, 1)), np.ones((10, 1))),
}


@pytest.mark.parametrize("message", OFF_SUPPORT.values(), ids=OFF_SUPPORT)
def test_encode_refuses_what_does_not_lie_on_the_support(message):
    with pytest.raises(WireError):
        encode(message, support=SUPPORT)


# Messages of one coordinate take a short way

PLACES = [(1, 0), (2, 1), (68, 0), (68, 67), (300, 255), (10**6, 77), (2**40, 2**40 - 1)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "place"), PLACES)
def test_the_short_way_gives_the_bytes_and_the_message_of_the_long_one(size, place, dtype):
    message = Sparse(size, np.array([place]), np.array([-0.3], dtype))
    long = START + _encode(message)
    assert encode_single(message) == long
    assert encode(message)[:-4] == long
    if len(long) > 11:  # shorter ones are read the long way
        assert as_read(decode_single(long, size)) == as_read(message)
    assert as_read(decode(encode(message), size=size)) == as_read(message)
    assert decode_single(long, size + 1) is None


def test_large_payloads_are_not_kept_to_be_looked_up():
    before = _place.cache_info().currsize
    decode(encode(Dense(normal(100, np.float64))), size=100)
    assert _place.cache_info().currsize == before


@pytest.mark.parametrize(
    "message",
    [
        Sparse(9, np.array([1]), np.array([0.5])),
        Sparse(9, np.array([1]), np.array([0.0])),
        Sparse(9, np.array([1]), np.array([3.0]), 1.5),
        Sparse(9, np.array([1, 2]), np.array([0.3, 0.7])),
        Sparse(9, np.array([1]), np.array([np.inf])),
        Sparse(9, np.array([9]), np.array([0.3])),
        Sparse(9, np.array([1], np.int32), np.array([0.3])),
        Fresh(Sparse(9, np.array([1]), np.array([0.3]))),
        Dense(np.array([0.3])),
    ],
    ids=str,
)
def test_all_other_messages_take_the_long_way(message):
    assert encode_single(message) is None


@given(st.sampled_from([np.float32, np.float64]), st.data())
def test_the_short_way_reads_nothing_that_the_long_one_would_refuse(dtype, data):
    body = encode_single(Sparse(9, np.array([3]), np.array([0.3], dtype)))
    place, put = data.draw(st.integers(0, len(body))), data.draw(st.binary(max_size=3))
    body = body[:place] + put + body[place + data.draw(st.integers(0, 3)) :]
    single = decode_single(body, 9)
    if single is not None:
        reader = Reader(body[len(START) :])
        assert _decode(reader, decode_header(reader), None) == single
        reader.finish()
