"""One table of compressors, and what each promises, measured on what the wire delivers.

A new compressor is a new row; `test_every_compressor_has_a_row` fails until it has one.
"""

import re
from math import inf, log, nan, sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fl_ef21.compressors import (
    Contractive,
    Dense,
    Identity,
    RandK,
    Sparse,
    TopK,
    Unbiased,
    UnbiasedRandK,
    from_text,
)
from fl_ef21.compressors.text import COMPRESSORS
from fl_ef21.wire import decode, encode

TABLE = [
    TopK(k=3),
    TopK(ratio=0.25),
    RandK(k=3),
    RandK(ratio=0.25),
    UnbiasedRandK(k=3),
    UnbiasedRandK(ratio=0.25),
    Identity(),
]
RANDOM = [c for c in TABLE if isinstance(c, RandK | UnbiasedRandK)]
DETERMINISTIC = [c for c in TABLE if c not in RANDOM]
KEEPING = [TopK, RandK, UnbiasedRandK]

every = pytest.mark.parametrize("compressor", TABLE, ids=str)
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def vectors(*, min_size=3, max_size=40, limit=None):
    """Finite vectors: zeros of both signs, subnormals, ties and the largest floats included."""
    return st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: arrays(
            dtype,
            st.integers(min_size, max_size),
            elements=st.floats(
                min_value=None if limit is None else -limit,
                max_value=limit,
                allow_nan=False,
                allow_infinity=False,
                width=np.finfo(dtype).bits,
            ),
            fill=st.nothing(),
        )
    )


def compress(compressor, vector, seed=0):
    return compressor.compress(vector, np.random.default_rng(seed))


def received(compressor, vector, seed=0):
    data = encode(compress(compressor, vector, seed))
    return decode(data, size=vector.size).to_dense()


def relative_error(result, vector):
    """‖result − v‖² / ‖v‖², scaled so that no float is too large or too small for it."""
    scale = np.abs(vector).max().astype(np.float64)
    result, vector = result.astype(np.float64) / scale, vector.astype(np.float64) / scale
    return np.sum((result - vector) ** 2) / np.sum(vector**2)


def test_every_compressor_has_a_row():
    assert {type(c) for c in TABLE} == set(COMPRESSORS.values())


# Contraction, variance and bias


@pytest.mark.parametrize("compressor", DETERMINISTIC, ids=str)
@quick
@given(vector=vectors())
def test_deterministic_compressors_contract_surely(compressor, vector):
    assume(vector.any())
    bound = 1 - compressor.alpha(vector.size)
    assert relative_error(received(compressor, vector), vector) <= bound * (1 + 1e-12)


DRAWS = 2000
VECTORS = {
    "flat": np.ones(12),
    "spiky": np.array([100, -3, 0.5, 2, -1, 1, 1, 1e-3, -40, 7, 0, 5], np.float32),
}
each_vector = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)


def hoeffding(width, events=1):
    """Deviation of a mean of DRAWS values in an interval, both sides, false alarms < 1e-10."""
    return width * sqrt(log(2 * events / 1e-10) / (2 * DRAWS))


@each_vector
@pytest.mark.parametrize("compressor", RANDOM, ids=str)
def test_mean_squared_error_equals_the_stated_one(compressor, vector):
    errors = [relative_error(received(compressor, vector, s), vector) for s in range(DRAWS)]
    if isinstance(compressor, Contractive):
        expected, largest = 1 - compressor.alpha(vector.size), 1
    else:
        expected = compressor.omega(vector.size)
        largest = max(1, expected**2)
    assert min(errors) >= 0
    assert max(errors) <= largest * (1 + 1e-6)
    assert np.mean(errors) == pytest.approx(expected, abs=hoeffding(largest))


@each_vector
@pytest.mark.parametrize("compressor", [c for c in TABLE if isinstance(c, Unbiased)], ids=str)
def test_unbiased_compressors_have_no_bias(compressor, vector):
    mean = np.mean([received(compressor, vector, seed) for seed in range(DRAWS)], axis=0)
    width = (1 + compressor.omega(vector.size)) * np.abs(vector)
    assert (np.abs(mean - vector) <= hoeffding(width, events=vector.size)).all()


@quick
@given(vector=vectors(limit=2.0**100), k=st.integers(1, 3), seed=st.integers(0, 2**32))
def test_unbiased_rand_k_is_rand_k_times_one_plus_omega(vector, k, seed):
    scale = vector.dtype.type(1 + UnbiasedRandK(k=k).omega(vector.size))
    unbiased = received(UnbiasedRandK(k=k), vector, seed)
    np.testing.assert_allclose(unbiased, received(RandK(k=k), vector, seed) * scale, rtol=1e-6)


def test_rand_k_chooses_every_coordinate_equally_often():
    counts = sum(received(RandK(k=3), np.ones(12), seed) for seed in range(DRAWS))
    assert (np.abs(counts / DRAWS - 3 / 12) <= hoeffding(1, events=12)).all()


# What every compressor has


@every
@quick
@given(vector=vectors(limit=2.0**100), seed=st.integers(0, 2**32))
def test_the_seed_decides_and_the_vector_stays(compressor, vector, seed):
    before = vector.tobytes()
    message = compress(compressor, vector, seed)
    assert vector.tobytes() == before
    assert encode(message) == encode(compress(compressor, vector, seed))
    assert message.size == vector.size
    assert message.values.dtype == vector.dtype


@pytest.mark.parametrize("compressor", DETERMINISTIC, ids=str)
def test_deterministic_compressors_leave_the_generator_alone(compressor):
    rng = np.random.default_rng(0)
    compressor.compress(np.arange(12.0), rng)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.parametrize("compressor", RANDOM, ids=str)
def test_other_seeds_give_other_messages(compressor):
    assert len({encode(compress(compressor, np.ones(12), seed)) for seed in range(50)}) > 10


@every
def test_a_message_does_not_share_memory_with_the_vector(compressor):
    vector = np.arange(1.0, 13.0)
    message = compress(compressor, vector)
    before = encode(message)
    vector[:] = 0
    assert encode(message) == before


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_non_contiguous_and_read_only_vectors(compressor, dtype):
    vector = np.arange(24, dtype=dtype)[::-2]
    vector.setflags(write=False)
    np.testing.assert_array_equal(
        received(compressor, vector), received(compressor, np.ascontiguousarray(vector))
    )


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_vector_becomes_zero(compressor, dtype):
    result = received(compressor, np.zeros(12, dtype))
    assert result.dtype == dtype
    assert not result.any()


@pytest.mark.parametrize("compressor", [*(c(k=1) for c in KEEPING), Identity()], ids=str)
@pytest.mark.parametrize("value", [3.0, -0.0, 5e-324, -np.finfo(float).max])
def test_one_element_is_sent_whole(compressor, value):
    assert received(compressor, np.array([value])) == value


@pytest.mark.parametrize("kind", KEEPING)
@quick
@given(vector=vectors())
def test_keeping_all_coordinates_loses_nothing(kind, vector):
    for compressor in (kind(k=vector.size), kind(ratio=1.0)):
        np.testing.assert_array_equal(received(compressor, vector), vector)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_alpha_and_omega_stay_in_their_range(compressor, dtype):
    for size in (3, 4, 12, 1000, 10**7):
        if isinstance(compressor, Contractive):
            assert 0 < compressor.alpha(size) <= 1
        if isinstance(compressor, Unbiased):
            assert compressor.omega(size) >= 0


@pytest.mark.parametrize("kind", KEEPING)
def test_alpha_and_omega_follow_k_and_d(kind):
    compressor = kind(k=3)
    if isinstance(compressor, Contractive):
        assert compressor.alpha(12) == 3 / 12
    else:
        assert compressor.omega(12) == 12 / 3 - 1


# Top-k


def top_k_by_sorting(vector, k):
    """The definition: sort by magnitude, ties to the smaller position; zeros are not sent."""
    order = sorted(range(vector.size), key=lambda j: (-abs(float(vector[j])), j))
    indices = np.array(sorted(j for j in order[:k] if vector[j] != 0), np.int64)
    return Sparse(vector.size, indices, vector[indices])


@quick
@given(vector=vectors(min_size=1), data=st.data())
def test_top_k_is_the_sorted_top_k(vector, data):
    k = data.draw(st.integers(1, vector.size))
    assert compress(TopK(k=k), vector) == top_k_by_sorting(vector, k)


@quick
@given(
    vector=arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-2, -1, -0.0, 0, 1, 2]))
)
def test_top_k_ties_go_to_the_smaller_position(vector):
    for k in range(1, vector.size + 1):
        assert compress(TopK(k=k), vector) == top_k_by_sorting(vector, k)


def test_top_k_keeps_signs_and_the_smallest_and_largest_floats():
    vector = np.array([0.0, -0.0, 5e-324, -1e-310, np.finfo(float).max, -np.finfo(float).max])
    message = compress(TopK(k=4), vector)
    np.testing.assert_array_equal(message.indices, [2, 3, 4, 5])
    np.testing.assert_array_equal(message.values, vector[2:])


# Messages


@every
def test_a_message_is_added_in_place(compressor):
    vector = np.random.default_rng(1).normal(size=12)
    message = compress(compressor, vector)
    total = vector.copy()
    message.add_to(total)
    np.testing.assert_array_equal(total, vector + message.to_dense())
    assert message.to_dense() is not message.to_dense()


MESSAGES = [
    Dense(np.zeros(2)),
    Dense(np.array([0.0, -0.0])),
    Dense(np.zeros(2, np.float32)),
    Dense(np.zeros(3)),
    Sparse(2, np.array([0]), np.zeros(1)),
    Sparse(2, np.array([1]), np.zeros(1)),
    Sparse(3, np.array([1]), np.zeros(1)),
    Sparse(3, np.array([1]), np.zeros(1, np.float32)),
    Sparse(3, np.zeros(0, np.int64), np.zeros(0)),
    Sparse(3, np.zeros(0, np.int64), np.zeros(0, np.float32)),
]


def test_messages_are_equal_when_their_bits_are():
    for i, a in enumerate(MESSAGES):
        for j, b in enumerate(MESSAGES):
            assert (a == b) == (i == j)
    assert Dense(np.array([1.0])) == Dense(np.array([1.0]))


@pytest.mark.parametrize("message", [MESSAGES[0], MESSAGES[4]])
def test_messages_cannot_be_hashed_and_print_their_parts_only(message):
    with pytest.raises(TypeError, match="unhashable"):
        hash(message)
    assert "hash" not in repr(message)


# Texts


@every
def test_text_round_trip(compressor):
    again = from_text(str(compressor))
    assert again == compressor
    assert hash(again) == hash(compressor)
    assert type(again) is type(compressor)
    assert str(again) in repr(again)


@quick
@given(ratio=st.floats(0, 1, exclude_min=True), k=st.integers(1, 10**12))
@pytest.mark.parametrize("kind", KEEPING)
def test_text_round_trip_of_any_amount(kind, ratio, k):
    assert from_text(str(kind(ratio=ratio))) == kind(ratio=ratio) == kind(float(ratio))
    assert from_text(str(kind(k=k))) == kind(k=k) == kind(k)


def test_compressors_differ_by_kind_and_amount():
    assert len({*TABLE, TopK(1), TopK(1.0)}) == len(TABLE) + 2
    assert TopK(3) != "topk:3"


@pytest.mark.parametrize("size", [100, 10**4, 10**6, 10**8, 10**10])
def test_a_ratio_is_what_a_person_would_count(size):
    for percent in range(1, 101):
        assert TopK(ratio=percent / 100).count(size) == percent * (size // 100)


@pytest.mark.parametrize(("ratio", "size", "k"), [(0.01, 99, 1), (0.01, 199, 1), (0.3, 3, 1)])
def test_ratios_round_down_but_keep_one(ratio, size, k):
    assert TopK(ratio=ratio).count(size) == k


# Refusals


def assert_refused(call, *parts):
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


RATIO_RANGE = ("(0, 1]", "0.01")
COUNT_RANGE = ("from 1 up", "give a ratio")
ONE_OF = ("exactly one of k and ratio", "k=5 or ratio=0.01")
BAD_AMOUNTS = [
    ({"ratio": 0}, ("ratio=0", *RATIO_RANGE)),
    ({"ratio": -0.1}, ("ratio=-0.1", *RATIO_RANGE)),
    ({"ratio": 1.1}, ("ratio=1.1", *RATIO_RANGE)),
    ({"ratio": nan}, ("ratio=nan", *RATIO_RANGE)),
    ({"ratio": inf}, ("ratio=inf", *RATIO_RANGE)),
    ({"ratio": "0.1"}, ("ratio='0.1'", *RATIO_RANGE)),
    ({"ratio": True}, ("True", *RATIO_RANGE)),
    ({"k": 0}, ("k=0", *COUNT_RANGE)),
    ({"k": -1}, ("k=-1", *COUNT_RANGE)),
    ({"k": 2.5}, ("k=2.5", *COUNT_RANGE)),
    ({"k": True}, ("k=True", *COUNT_RANGE)),
    ({"k": "5"}, ("k='5'", *COUNT_RANGE)),
    ({"amount": 0}, ("0", *COUNT_RANGE)),
    ({"amount": 2.5}, ("2.5", *RATIO_RANGE)),
    ({"amount": True}, ("True",)),
    ({}, ONE_OF),
    ({"k": 1, "ratio": 0.5}, ("k=1", "ratio=0.5", *ONE_OF)),
    ({"amount": 1, "k": 1}, ("amount=1", "k=1", *ONE_OF)),
]


@pytest.mark.parametrize("kind", KEEPING)
@pytest.mark.parametrize(("arguments", "parts"), BAD_AMOUNTS, ids=[str(a) for a, _ in BAD_AMOUNTS])
def test_bad_amounts_are_refused(kind, arguments, parts):
    assert_refused(lambda: kind(**arguments), *parts)


@pytest.mark.parametrize("kind", KEEPING)
def test_k_above_d_is_refused(kind):
    compressor = kind(k=5)
    bound = compressor.alpha if isinstance(compressor, Contractive) else compressor.omega
    for call in (lambda: compress(compressor, np.ones(4)), lambda: bound(4)):
        assert_refused(call, "k=5", "[1, 4]", "ratio")


KNOWN = ("identity, randk, topk, unbiased-randk", "topk:0.01")
BAD_TEXTS = [
    ("", ("''", *KNOWN)),
    ("sign", ("'sign'", *KNOWN)),
    ("topk0.01", ("'topk0.01'", *KNOWN)),
    ("topk:0.01|sign", ("sign",)),
    ("topk", ("topk:5 or topk:0.01",)),
    ("topk:5:6", ("5:6", "topk:5 or topk:0.01")),
    ("topk:", ("''", "0.01")),
    ("topk:many", ("'many'", "5", "0.01")),
    ("topk:0.1.2", ("'0.1.2'", "0.01")),
    ("topk:0", ("k=0", *COUNT_RANGE)),
    ("randk:-1", ("k=-1", *COUNT_RANGE)),
    ("randk:0.0", ("ratio=0.0", *RATIO_RANGE)),
    ("randk:1.1", ("ratio=1.1", *RATIO_RANGE)),
    ("unbiased-randk:nan", ("ratio=nan", *RATIO_RANGE)),
    ("unbiased-randk:5.0", ("ratio=5.0", *RATIO_RANGE)),
    ("identity:1", ("identity", "'1'", "no argument")),
]


@pytest.mark.parametrize(("text", "parts"), BAD_TEXTS, ids=[text for text, _ in BAD_TEXTS])
def test_bad_texts_are_refused(text, parts):
    assert_refused(lambda: from_text(text), *parts)


BAD_VECTORS = {
    "nan": (np.array([1, 2, np.nan, 4]), ("nan", "position 2", "finite")),
    "inf": (np.array([1, np.inf, 3, 4], np.float32), ("inf", "position 1", "finite")),
    "minus inf": (np.array([1.0, 2.0, 3.0, -np.inf]), ("-inf", "position 3", "finite")),
    "int64": (np.arange(4), ("int64", "float32 or float64", "cast")),
    "float16": (np.ones(4, np.float16), ("float16", "float32 or float64", "cast")),
    "complex": (np.ones(4, complex), ("complex128", "float32 or float64", "cast")),
    "2-D": (np.ones((2, 2)), ("(2, 2)", "one-dimensional", "ravel")),
    "0-D": (np.array(1.0), ("()", "one-dimensional")),
    "empty": (np.ones(0), ("(0,)", "non-empty")),
}


@every
@pytest.mark.parametrize(("vector", "parts"), BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_bad_vectors_are_refused(compressor, vector, parts):
    assert_refused(lambda: compress(compressor, vector), *parts)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unbiased_rand_k_refuses_to_overflow(dtype):
    vector = np.full(4, np.finfo(dtype).max)
    call = lambda: compress(UnbiasedRandK(k=1), vector)  # noqa: E731
    assert_refused(call, "d/k = 4", np.dtype(dtype).name, "more coordinates or use randk")
