"""What single families of compressors promise beyond the conformance table; messages; texts."""

from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_compressor_conformance import (
    assert_refused,
    compress,
    each_dtype,
    error,
    quick,
    received,
    vectors,
)

from fl_ef21.compressors import (
    QSGD,
    Bernoulli,
    BFloat16,
    Contractive,
    Dense,
    Float16,
    Identity,
    Natural,
    NaturalDithering,
    NaturalNearest,
    PermK,
    RandK,
    ScaledSign,
    Shrunk,
    Sparse,
    Ternary,
    Threshold,
    TopK,
    Unbiased,
    UnbiasedBernoulli,
    UnbiasedPermK,
    UnbiasedRandK,
    Uniform,
    from_text,
)
from fl_ef21.compressors.text import COMPRESSORS

KEEPING = [TopK, RandK, UnbiasedRandK]


def normal(size, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=size).astype(dtype)


# Selections


@pytest.mark.parametrize("kind", KEEPING)
@quick
@given(vector=vectors())
def test_keeping_all_coordinates_loses_nothing(kind, vector):
    for compressor in (kind(k=vector.size), kind(ratio=1.0)):
        np.testing.assert_array_equal(received(compressor, vector), vector)


@pytest.mark.parametrize("kind", KEEPING)
def test_alpha_and_omega_follow_k_and_d(kind):
    compressor = kind(k=3)
    if isinstance(compressor, Contractive):
        assert compressor.alpha(12) == 3 / 12
    else:
        assert compressor.omega(12) == 12 / 3 - 1


@pytest.mark.parametrize(
    "text", ["randk:3", "unbiased-randk:3", "permk:1:3", "unbiased-permk:1:3", "bernoulli:0.3"]
)
def test_mean_squared_error_equals_the_stated_one(text):
    compressor, vector = from_text(text), normal(12)
    errors = [error(received(compressor, vector, seed), vector) ** 2 for seed in range(1000)]
    unbiased = isinstance(compressor, Unbiased)
    expected = compressor.omega(12) if unbiased else 1 - compressor.alpha(12)
    assert np.mean(errors) == pytest.approx(expected, abs=6 * np.std(errors) / sqrt(1000))


@pytest.mark.parametrize(
    ("unbiased", "contractive"),
    [
        (UnbiasedRandK(k=3), RandK(k=3)),
        (UnbiasedPermK(1, 3), PermK(1, 3)),
        (UnbiasedBernoulli(0.3), Bernoulli(0.3)),
    ],
    ids=str,
)
@quick
@given(vector=vectors(exponent=100), seed=st.integers(0, 2**32))
def test_unbiased_selections_are_the_contractive_ones_scaled(unbiased, contractive, vector, seed):
    scale = vector.dtype.type(1 + unbiased.omega(vector.size))
    if vector.size % 3 == 0 or not isinstance(unbiased, UnbiasedPermK):
        np.testing.assert_allclose(
            received(unbiased, vector, seed), received(contractive, vector, seed) * scale, rtol=1e-6
        )
    indices = [getattr(compress(c, vector, seed), "indices", None) for c in (unbiased, contractive)]
    np.testing.assert_array_equal(*indices)


def test_rand_k_chooses_every_coordinate_equally_often():
    counts = sum(received(RandK(k=3), np.ones(12), seed) for seed in range(1000))
    assert (np.abs(counts / 1000 - 3 / 12) <= 6 * sqrt(0.25 * 0.75 / 1000)).all()


@each_dtype
@pytest.mark.parametrize(
    ("compressor", "parts"),
    [
        (UnbiasedRandK(k=1), ("4", "more coordinates or use randk")),
        (UnbiasedPermK(0, 4), ("4", "fewer clients or permk")),
        (UnbiasedBernoulli(0.999), ("1.001", "larger p or use bernoulli")),
    ],
    ids=str,
)
def test_unbiased_selections_refuse_to_overflow(compressor, parts, dtype):
    vector = np.full(4, np.finfo(dtype).max)
    assert_refused(lambda: compress(compressor, vector), "overflows", np.dtype(dtype).name, *parts)


def test_threshold_keeps_what_is_large_against_the_largest():
    vector = np.array([0.5, -10.0, 0.99, 1.0, -1.0, 0.0, -0.0, 3.0])
    message = compress(Threshold(0.1), vector)
    np.testing.assert_array_equal(message.indices, [1, 3, 4, 7])
    np.testing.assert_array_equal(message.values, vector[message.indices])


@each_dtype
def test_threshold_at_one_keeps_the_ties_of_the_largest(dtype):
    vector = np.array([3, -3, np.nextafter(dtype(3), dtype(0)), 3], dtype)
    np.testing.assert_array_equal(compress(Threshold(1), vector).indices, [0, 1, 3])


@pytest.mark.parametrize("kind", [PermK, UnbiasedPermK])
@pytest.mark.parametrize(("size", "clients"), [(12, 4), (13, 4), (7, 7), (100, 3), (5, 1)])
def test_perm_k_deals_every_coordinate_once(kind, size, clients):
    placed = [kind().for_client(position, clients) for position in range(clients)]
    for seed in range(20):
        messages = [compress(compressor, np.ones(size), seed) for compressor in placed]
        dealt = np.concatenate([message.indices for message in messages])
        assert sorted(dealt) == list(range(size))
        for message, compressor in zip(messages, placed, strict=True):
            assert message.indices.size == compressor.count(size) >= size // clients


@each_dtype
def test_the_mean_of_unbiased_perm_k_over_equal_vectors_is_exact(dtype):
    vector = normal(24, dtype)
    placed = [UnbiasedPermK().for_client(position, 8) for position in range(8)]
    for seed in range(20):
        mean = sum(received(compressor, vector, seed) for compressor in placed) / 8
        np.testing.assert_array_equal(mean, vector)


def test_perm_k_shares_its_randomness_and_needs_enough_coordinates():
    assert PermK.shared_randomness
    assert from_text("permk|natural").shared_randomness
    assert from_text("shrunk-unbiased-permk").shared_randomness
    assert not from_text("randk:3|natural").shared_randomness
    placed = from_text("permk|natural").for_client(2, 5)
    assert str(placed) == "permk:2:5|natural"
    for compressor in (PermK(2, 5), UnbiasedPermK(2, 5), placed):
        compressor.check_size(5)
        assert_refused(lambda c=compressor: c.check_size(4), "4 coordinates", "5 clients", "randk")
        assert_refused(lambda c=compressor: compress(c, np.ones(4)), "5 clients")


def test_bernoulli_sends_all_or_nothing():
    vector = normal(12)
    sent = [compress(Bernoulli(0.3), vector, seed) for seed in range(400)]
    whole = [message == Dense(vector) for message in sent]
    assert all(w or m.values.size == 0 for w, m in zip(whole, sent, strict=True))
    assert abs(np.mean(whole) - 0.3) < 6 * sqrt(0.3 * 0.7 / 400)
    assert all(compress(Bernoulli(1), vector, seed) == Dense(vector) for seed in range(20))


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


# Roundings


class EvenlySpread:
    """A generator whose draws are the midpoints of equal parts of [0, 1), shuffled.

    The mean over many equal coordinates is then their expectation, but for one draw.
    """

    def random(self, size):
        return np.random.default_rng(0).permutation((np.arange(size) + 0.5) / size)


MANY = 4096
UNBIASED_ROUNDINGS = [
    Natural(),
    Ternary(),
    QSGD(3),
    QSGD(4, "inf"),
    NaturalDithering(1),
    NaturalDithering(6),
]


@each_dtype
@pytest.mark.parametrize("compressor", UNBIASED_ROUNDINGS, ids=str)
@pytest.mark.parametrize("value", [1.0, -1.1, 4 / 3, 1.5, 0.01, 0.999, "subnormal"])
def test_roundings_are_unbiased_to_one_draw(compressor, value, dtype):
    info = np.finfo(dtype)
    vector = np.full(MANY, 0.3 * info.tiny if value == "subnormal" else value, dtype)
    vector[0] = 20 * abs(vector[1])
    values = compressor.compress(vector, EvenlySpread()).to_dense()[1:]
    gap = np.ptp(values.astype(np.longdouble)) / MANY
    assert abs(np.mean(values, dtype=np.longdouble) - vector[1]) <= 3 * gap


DISTINCT = {"sign": 2, "ternary": 3, "qsgd:1": 3, "qsgd:16": 33, "qsgd:4:inf": 9, "uniform:2": 3}
DISTINCT |= {"uniform:4": 15, "uniform:8": 255, "natural-dithering:8": 17, "shrunk-qsgd:4": 9}
DISTINCT |= {"topk:2000|uniform:4": 16, "topk:2000|sign": 3, "unbiased-randk:0.5|ternary": 3}


@each_dtype
@pytest.mark.parametrize(("text", "most"), DISTINCT.items())
def test_quantisers_send_few_values(text, most, dtype):
    for seed in range(3):
        for vector in (normal(5000, dtype, seed), normal(40, dtype, seed)):
            if "2000" not in text or vector.size > 2000:
                assert np.unique(received(from_text(text), vector, seed)).size <= most


@each_dtype
@pytest.mark.parametrize(
    ("compressor", "bits"),
    [(Natural(), 0), (NaturalNearest(), 0), (BFloat16(), 7), (Float16(), 10)],
    ids=str,
)
@pytest.mark.parametrize("scale", [1, 1e-30, 1e30])
def test_roundings_leave_few_bits_of_a_mantissa(compressor, bits, dtype, scale):
    result = received(compressor, normal(5000, dtype) * dtype(scale))
    mantissas, _ = np.frexp(result.astype(np.float64))
    steps = mantissas * 2 ** (bits + 1)
    np.testing.assert_array_equal(steps, np.rint(steps))


@each_dtype
@pytest.mark.parametrize("text", ["qsgd:3", "qsgd:3:inf", "uniform:4", "ternary", "sign"])
@pytest.mark.parametrize("factor", [1, 1 / 3, 1e-30, 1e-38, 3e37])
def test_grids_are_whole_multiples_of_the_step(text, factor, dtype):
    for compressor in (
        from_text(text),
        from_text(f"topk:30|{text}" if text in "uniform:4 sign" else text),
    ):
        message = compress(compressor, normal(50, dtype) * dtype(factor))
        step = dtype(message.step)
        assert float(step) == message.step > 0
        levels = np.rint(message.values.astype(np.float64) / message.step)
        np.testing.assert_array_equal(message.values, levels.astype(dtype) * step)


def test_sign_takes_the_mean_of_what_is_kept():
    vector = np.array([1.0, -9.0, 0.0, 5.0, 0.5])
    np.testing.assert_array_equal(received(ScaledSign(), vector), [3.1, -3.1, 3.1, 3.1, 3.1])
    kept = received(TopK(k=2) | ScaledSign(), vector)
    np.testing.assert_array_equal(kept, [0, -7, 0, 7, 0])


@each_dtype
def test_the_bounds_of_ternary_and_qsgd_inf_are_reached(dtype):
    for levels in (1, 2, 5):
        compressor = Ternary() if levels == 1 else QSGD(levels, "inf")
        assert QSGD(levels, "inf").omega(MANY) == pytest.approx(
            (sqrt(1 + (MANY - 1) / levels**2) - 1) / 2
        )
        worst = 1 / (levels + sqrt(levels**2 + MANY - 1))
        vector = np.append(1, np.full(MANY - 1, worst)).astype(dtype)
        values = compressor.compress(vector, EvenlySpread()).to_dense()
        variance = np.sum((values - vector) ** 2) / np.sum(vector**2)
        assert variance == pytest.approx(compressor.omega(MANY), rel=0.02)


def test_bfloat16_rounds_half_to_even():
    ulp = 2.0**-7
    vector = np.array([1 + ulp / 2, 1 + 3 * ulp / 2, 1 + 0.51 * ulp, -(1 + ulp / 2), 2 - ulp / 4])
    expected = [1, 1 + 2 * ulp, 1 + ulp, -1, 2]
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(received(BFloat16(), vector.astype(dtype)), expected)


@each_dtype
def test_short_formats_have_a_largest_number(dtype):
    info = np.finfo(dtype)
    top = (2 - 2.0**-7) * 2.0 ** (info.maxexp - 1)
    np.testing.assert_array_equal(
        received(BFloat16(), np.array([info.max, -info.max])), [top, -top]
    )
    top = (2 - 2.0**-10) * 2.0 ** (info.maxexp - 1)
    np.testing.assert_array_equal(received(Float16(), np.array([info.max, -info.max])), [top, -top])


@each_dtype
def test_float16_is_numpys_where_no_scaling_is_needed(dtype):
    vector = np.append(40_000, normal(1000, dtype) * dtype(100)).astype(dtype)
    np.testing.assert_array_equal(received(Float16(), vector), vector.astype(np.float16))


@each_dtype
@pytest.mark.parametrize("compressor", [Natural(), NaturalNearest()], ids=str)
def test_natural_keeps_powers_of_two_and_stops_at_the_largest(compressor, dtype):
    info = np.finfo(dtype)
    powers = np.ldexp(dtype(1), np.arange(info.minexp, info.maxexp)) * np.array([1], dtype)
    np.testing.assert_array_equal(received(compressor, -powers), -powers)
    top = powers[-1]
    np.testing.assert_array_equal(
        received(compressor, np.array([info.max, -info.max])), [top, -top]
    )


@each_dtype
@pytest.mark.parametrize("text", ["qsgd:4", "natural-dithering:4", "topk:4|shrunk-qsgd:4"])
def test_norms_that_overflow_are_refused(text, dtype):
    vector = np.full(4, np.finfo(dtype).max)
    assert_refused(lambda: compress(from_text(text), vector), "norm", "overflows", "use ")


# Shrunk and composed


@pytest.mark.parametrize("text", ["qsgd:2", "ternary", "natural", "unbiased-randk:3"])
@quick
@given(vector=vectors(exponent=60), seed=st.integers(0, 2**32))
def test_shrunk_is_the_unbiased_one_over_one_plus_omega(text, vector, seed):
    unbiased = from_text(text)
    expected = received(unbiased, vector, seed).astype(np.float64)
    expected /= 1 + unbiased.omega(vector.size)
    info = np.finfo(vector.dtype)
    np.testing.assert_allclose(
        received(Shrunk(unbiased), vector, seed), expected, rtol=4 * info.eps, atol=info.tiny
    )


@pytest.mark.parametrize("bad", [TopK(3), ScaledSign(), from_text("unbiased-randk:3|natural")])
def test_what_cannot_be_shrunk(bad):
    assert_refused(lambda: Shrunk(bad), f"got {bad}", "unbiased", "topk:0.01|shrunk-qsgd:16")


class Recording(ScaledSign):
    """Remembers what it was given."""

    def __init__(self):
        self.seen = []

    def _compress(self, vector, rng):
        self.seen.append(vector.copy())
        return super()._compress(vector, rng)


def test_the_right_side_sees_the_kept_values_alone():
    recording = Recording()
    composed = TopK(k=2) | recording
    compress(composed, np.array([1.0, -9.0, 0.0, 5.0]))
    np.testing.assert_array_equal(recording.seen, [[-9, 5]])
    assert compress(composed, np.zeros(4)).values.size == 0
    lazy = Bernoulli(1e-9) | recording
    assert compress(lazy, np.ones(4)).values.size == 0
    assert len(recording.seen) == 1


def test_compositions_keep_the_positions_of_what_stays_nonzero():
    vector = np.array([0.0, 1.0, 0.0, -100.0, 1.0, 1.0])
    message = compress(TopK(k=4) | Uniform(2), vector)
    assert message == Sparse(6, np.array([3]), np.array([-100.0]))
    assert message.step == 100


def test_promises_of_compositions():
    size = 1000
    composed = from_text("topk:0.1|uniform:4")
    assert composed.alpha(size) == 0.1 * Uniform(4).alpha(100)
    composed = from_text("unbiased-randk:100|qsgd:5")
    assert composed.omega(size) == pytest.approx(10 * (1 + QSGD(5).omega(100)) - 1)
    assert not isinstance(composed, Contractive)
    assert not isinstance(from_text("topk:3|natural"), Unbiased)
    both = from_text("identity|natural")
    assert (both.alpha(size), both.omega(size)) == (7 / 8, 1 / 8)


class DifferingTopK(TopK):
    """Has a way of its own for differences."""

    def compress_difference(self, vector, reference, rng):
        self.used = True
        return super().compress_difference(vector, reference, rng)


def test_compositions_use_the_selections_way_for_differences():
    selection = DifferingTopK(k=1)
    composed = selection | Natural()
    rng = np.random.default_rng(0)
    message = composed.compress_difference(np.array([9.0, 3.0]), np.array([1.0, 1.0]), rng)
    np.testing.assert_array_equal(message.to_dense(), [8, 0])
    assert selection.used


HOW = ("A | B chooses coordinates with A and rounds their values with B", "topk:0.01|natural")
BAD_COMPOSITIONS = [
    ("natural|topk:3", ("natural chooses no coordinates", *HOW)),
    ("topk:3|randk:2", ("randk:2 does not round", *HOW)),
    ("topk:3|identity", ("identity does not round", *HOW)),
    ("topk:3|natural|sign", ("topk:3|natural chooses no coordinates", *HOW)),
    ("shrunk-unbiased-randk:3|natural", ("shrunk-unbiased-randk:3 chooses no", *HOW)),
    ("topk:3|qsgd:1", ("promise nothing", "use topk:3|shrunk-qsgd:1")),
    ("bernoulli:0.1|ternary", ("promise nothing", "use bernoulli:0.1|shrunk-ternary")),
    ("unbiased-randk:3|sign", ("promise nothing", "contractive form of unbiased-randk:3")),
]


@pytest.mark.parametrize(("text", "parts"), BAD_COMPOSITIONS, ids=[t for t, _ in BAD_COMPOSITIONS])
def test_bad_compositions_are_refused(text, parts):
    assert_refused(lambda: from_text(text), *parts)


def test_a_composition_is_no_right_side():
    composed = TopK(k=3) | Natural()
    assert_refused(lambda: Identity() | composed, "topk:3|natural does not round", *HOW)


# Messages


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


@quick
@given(ratio=st.floats(0, 1, exclude_min=True), k=st.integers(1, 10**12))
@pytest.mark.parametrize("kind", KEEPING)
def test_text_round_trip_of_any_amount(kind, ratio, k):
    assert from_text(str(kind(ratio=ratio))) == kind(ratio=ratio) == kind(float(ratio))
    assert from_text(str(kind(k=k))) == kind(k=k) == kind(k)


def test_compressors_differ_by_kind_and_amount():
    assert len({TopK(3), RandK(3), TopK(1), TopK(1.0)}) == 4
    assert TopK(3) != "topk:3"


@pytest.mark.parametrize("size", [100, 10**4, 10**6, 10**8, 10**10])
def test_a_ratio_is_what_a_person_would_count(size):
    for percent in range(1, 101):
        assert TopK(ratio=percent / 100).count(size) == percent * (size // 100)


@pytest.mark.parametrize(("ratio", "size", "k"), [(0.01, 99, 1), (0.01, 199, 1), (0.3, 3, 1)])
def test_ratios_round_down_but_keep_one(ratio, size, k):
    assert TopK(ratio=ratio).count(size) == k


# Refusals


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


BAD_ARGUMENTS = [
    (lambda: Threshold(0), ("ratio=0 ", "(0, 1]", "tenth of the largest")),
    (lambda: Threshold(nan), ("ratio=nan", "(0, 1]")),
    (lambda: Bernoulli(1.5), ("p=1.5", "(0, 1]", "one vector in ten")),
    (lambda: Bernoulli(True), ("p=True", "(0, 1]")),
    (lambda: QSGD(0), ("levels=0", "from 1 to 32768", "16 levels")),
    (lambda: QSGD(2.0), ("levels=2.0", "from 1 to 32768")),
    (lambda: QSGD(2, "1"), ("norm='1'", "2, inf")),
    (lambda: NaturalDithering(65), ("levels=65", "from 1 to 64")),
    (lambda: Uniform(1), ("bits=1 ", "from 2 to 16", "sign")),
    (lambda: Uniform(17), ("bits=17", "from 2 to 16")),
    (lambda: PermK(3, 3), ("position=3", "from 0 to 2", "count from 0")),
    (lambda: PermK(0, 0), ("clients=0", "from 1")),
]


@pytest.mark.parametrize(("call", "parts"), BAD_ARGUMENTS, ids=[p[0] for _, p in BAD_ARGUMENTS])
def test_bad_arguments_are_refused(call, parts):
    assert_refused(call, *parts)


KNOWN = (", ".join(sorted(COMPRESSORS)), "topk:0.01|natural", "shrunk-qsgd:16")
BAD_TEXTS = [
    ("", ("''", *KNOWN)),
    ("signs", ("'signs'", *KNOWN)),
    ("topk0.01", ("'topk0.01'", *KNOWN)),
    ("topk:0.01|", ("''", *KNOWN)),
    ("topk:0.01|signs", ("'signs'", *KNOWN)),
    ("shrunk-", ("''", *KNOWN)),
    ("shrunk", ("'shrunk'", *KNOWN)),
    ("shrunk-topk:3", ("got topk:3", "unbiased")),
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
    ("natural:nearest", ("natural", "'nearest'", "no argument")),
    ("qsgd", ("levels", "qsgd:16:inf")),
    ("qsgd:16:3", ("norm='3'", "2, inf")),
    ("qsgd:some", ("levels='some'", "from 1")),
    ("qsgd:1:2:3", ("'1:2:3'", "qsgd:16:inf")),
    ("uniform", ("uniform:4", "one argument")),
    ("uniform:0.5", ("bits=0.5", "from 2 to 16")),
    ("threshold:big", ("ratio='big'", "(0, 1]")),
    ("threshold", ("threshold:0.1", "one argument")),
    ("bernoulli:2", ("p=2", "(0, 1]")),
    ("permk:3", ("permk:3:20", "'3'")),
    ("permk:3:3", ("position=3", "from 0 to 2")),
    ("permk:x:3", ("position='x'",)),
]


@pytest.mark.parametrize(("text", "parts"), BAD_TEXTS, ids=[text for text, _ in BAD_TEXTS])
def test_bad_texts_are_refused(text, parts):
    assert_refused(lambda: from_text(text), *parts)


def test_other_spellings_of_the_same():
    assert from_text(" TopK:0.01 | Natural ") == TopK(0.01) | Natural()
    assert from_text("qsgd:16:2") == QSGD(16)
    assert from_text("permk:0:1") == PermK()
    assert from_text("threshold:1") == Threshold(1.0)
