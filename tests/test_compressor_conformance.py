"""One table of compressors; what each promises follows from its class and is measured.

A new compressor is a new row. Everything is measured on what the wire delivers, never on the
message before it was encoded: a quantiser that forgets to quantise is then seen.
"""

import pickle
import re
from contextlib import contextmanager
from functools import cache
from math import sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import fl_ef21.compressors as library
from fl_ef21.compressors import (
    Composition,
    Compressor,
    Contractive,
    Rounding,
    Sparse,
    Unbiased,
)
from fl_ef21.compressors import from_text as parse
from fl_ef21.compressors.text import COMPRESSORS
from fl_ef21.wire import FRAMING_BYTES, decode, encode

TABLE = [
    "identity",
    # selections
    "topk:3",
    "topk:0.25",
    "randk:3",
    "randk:0.25",
    "unbiased-randk:3",
    "unbiased-randk:0.25",
    "threshold:0.3",
    "threshold:1.0",
    "permk",
    "permk:1:3",
    "unbiased-permk",
    "unbiased-permk:1:3",
    "bernoulli:0.3",
    "unbiased-bernoulli:0.3",
    # matrices
    "lowrank:1",
    "lowrank:2",
    "toprows:1:2",
    "toprows:0.4:3",
    # roundings
    "sign",
    "ternary",
    "natural",
    "natural-nearest",
    "natural-dithering:1",
    "natural-dithering:4",
    "natural-dithering:8",
    "qsgd:1",
    "qsgd:4",
    "qsgd:16",
    "qsgd:1:inf",
    "qsgd:4:inf",
    "uniform:2",
    "uniform:4",
    "uniform:16",
    "bfloat16",
    "float16",
    # shrunk
    "shrunk-qsgd:1",
    "shrunk-qsgd:4",
    "shrunk-qsgd:4:inf",
    "shrunk-ternary",
    "shrunk-natural",
    "shrunk-natural-dithering:4",
    "shrunk-unbiased-randk:3",
    "shrunk-unbiased-permk:1:3",
    "shrunk-unbiased-bernoulli:0.3",
    # compositions
    "toprows:0.4:3|natural-nearest",
    "topk:3|natural",
    "topk:3|natural-nearest",
    "topk:3|bfloat16",
    "topk:3|float16",
    "topk:3|sign",
    "topk:3|uniform:4",
    "topk:3|shrunk-qsgd:4",
    "topk:3|shrunk-natural-dithering:4",
    "randk:3|natural",
    "threshold:0.3|natural",
    "threshold:0.3|sign",
    "unbiased-randk:3|natural",
    "unbiased-randk:3|qsgd:8",
    "unbiased-randk:3|ternary",
    "permk:1:3|natural",
    "unbiased-permk:1:3|natural-dithering:8",
    "bernoulli:0.3|natural",
    "unbiased-bernoulli:0.3|qsgd:4",
    "identity|natural",
    "identity|qsgd:4",
    "identity|sign",
]
BUILT_IN_CODE = {"Blockwise", "Restricted"}
"""Those without a text; they have tests of their own."""

ROWS = [parse(text) for text in TABLE]
ROUNDINGS = [row for row in ROWS if isinstance(row, Rounding)]


RANDOM = [row for row in ROWS if row.random]
DETERMINISTIC = [row for row in ROWS if not row.random]


def over(rows):
    return pytest.mark.parametrize("compressor", rows, ids=str)


every = over(ROWS)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
quick = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])


def vectors(*, min_size=3, max_size=40, exponent=None):
    """Finite vectors up to ±2^exponent, or up to the largest power of two: the largest floats have
    a test of their own. Zeros of both signs, subnormals and ties are among them.
    """
    return st.sampled_from([np.float32, np.float64]).flatmap(
        lambda dtype: arrays(
            dtype,
            st.integers(min_size, max_size),
            elements=_floats(np.finfo(dtype), exponent),
            fill=st.nothing(),
        )
    )


def _floats(info, exponent):
    limit = 2.0 ** (info.maxexp - 1 if exponent is None else exponent)
    return st.floats(-limit, limit, width=info.bits)


def compress(compressor, vector, seed=0):
    return compressor.compress(vector, np.random.default_rng(seed))


def received(compressor, vector, seed=0):
    """What arrives; on the way it is checked that nothing is lost and all is as declared."""
    message = compress(compressor, vector, seed)
    data = encode(message)
    assert len(data) <= FRAMING_BYTES + compressor.max_bytes(vector.size, vector.dtype)
    arrived = decode(data, size=vector.size, form=compressor.form)
    assert arrived == message
    return arrived.to_dense()


def error(result, vector):
    """‖result − v‖ / ‖v‖, scaled so that no float is too large or too small for it."""
    scale = np.abs(vector).max().astype(np.float64)
    result, vector = result.astype(np.float64) / scale, vector.astype(np.float64) / scale
    return sqrt(np.sum((result - vector) ** 2) / np.sum(vector**2))


def float_error(vector):
    """What floats may add: units in the last place, and a smallest normal number a coordinate."""
    info = np.finfo(vector.dtype)
    relative_norm = sqrt(np.sum((vector / np.abs(vector).max().astype(np.float64)) ** 2))
    smallest = float(info.tiny) / float(np.abs(vector).max()) * sqrt(vector.size) / relative_norm
    return 4 * float(info.eps) + smallest


def test_every_compressor_has_a_row():
    exported = [getattr(library, name) for name in library.__all__]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Compressor)}
    assert {type(row) for row in ROWS} >= set(COMPRESSORS.values())
    assert kinds >= set(COMPRESSORS.values())
    without_row = {k.__name__ for k in kinds if not any(isinstance(row, k) for row in ROWS)}
    assert without_row <= BUILT_IN_CODE


# Contraction, variance and bias

ADVERSARIAL = {
    "flat": np.ones(12),
    "one": np.eye(1, 12).ravel(),
    "line": np.linspace(-1, 1, 12, dtype=np.float32),
    "spiky": np.array([100, -3, 0.5, 2, -1, 1, 1, 0.1, -40, 7, 0, 5], np.float32),
    "worst for ternary": np.append(1, np.full(11, 1 / (1 + sqrt(12)))),
    "worst for four levels": np.append(1, np.full(11, 1 / (4 + sqrt(4**2 + 11)))),
    "worst for uniform:4": np.append(7, np.full(11, np.nextafter(0.5, 0))),
    "worst for threshold": np.append(1, np.full(11, np.nextafter(0.3, 0))),
    "worst for natural": np.full(12, 4 / 3),
    "worst for natural-nearest": np.full(12, 1.5),
    "worst for bfloat16": np.full(12, 1 + 2.0**-8, np.float32),
}
each_vector = pytest.mark.parametrize("vector", ADVERSARIAL.values(), ids=ADVERSARIAL)


def assert_contracts(compressor, vector):
    bound = sqrt(1 - compressor.alpha(vector.size)) + float_error(vector)
    assert error(received(compressor, vector), vector) <= bound


@over(DETERMINISTIC)
@settings(parent=quick, max_examples=25)
@given(vector=vectors())
def test_deterministic_compressors_contract_surely(compressor, vector):
    assume(vector.any())
    assert_contracts(compressor, vector)


@over(DETERMINISTIC)
@each_vector
def test_deterministic_compressors_contract_on_the_worst_vectors(compressor, vector):
    assert_contracts(compressor, vector)


DRAWS = 120
RARE = 20 / DRAWS
"""An event that no draw shows has a probability below this, but for one time in e^20."""


@cache
def sample(compressor, name):
    vector = ADVERSARIAL[name]
    return np.array([received(compressor, vector, seed) for seed in range(DRAWS)], np.float64)


def assert_mean(samples, check, slack):
    """Check the mean of samples against a bound, six standard errors granted."""
    deviation = 6 * samples.std(axis=0) / sqrt(DRAWS)
    assert np.all(check(samples.mean(axis=0)) <= deviation + slack)


SAMPLED = ("spiky", "worst for ternary", "worst for four levels", "worst for natural")


@over(RANDOM)
@pytest.mark.parametrize("name", SAMPLED)
def test_random_compressors_keep_their_bounds_on_average(compressor, name):
    vector = ADVERSARIAL[name].astype(np.float64)
    errors = np.sum((sample(compressor, name) - vector) ** 2, axis=1) / np.sum(vector**2)
    if isinstance(compressor, Contractive):
        assert_mean(errors, lambda mean: mean - (1 - compressor.alpha(vector.size)), 1e-6)
    if isinstance(compressor, Unbiased):
        assert_mean(errors, lambda mean: mean - compressor.omega(vector.size), 1e-6)


@over([row for row in ROWS if isinstance(row, Unbiased)])
@pytest.mark.parametrize("name", SAMPLED)
def test_unbiased_compressors_have_no_bias(compressor, name):
    vector = ADVERSARIAL[name].astype(np.float64)
    slack = RARE * np.abs(vector).max() + 1e-6
    assert_mean(sample(compressor, name), lambda mean: np.abs(mean - vector), slack)


@every
def test_alpha_and_omega_stay_in_their_range(compressor):
    sizes = (3, 4, 12, 1000, 10**7)
    if isinstance(compressor, Contractive):
        alphas = [compressor.alpha(size) for size in sizes]
        assert all(0 < alpha <= 1 for alpha in alphas)
    if isinstance(compressor, Unbiased):
        assert all(compressor.omega(size) >= 0 for size in sizes)


@over(ROUNDINGS)
def test_roundings_get_no_better_with_the_dimension(compressor):
    # Compositions use the bound of the largest number of kept coordinates for all.
    sizes = (1, 2, 3, 10, 100, 10**4, 10**8)
    if isinstance(compressor, Contractive):
        alphas = [compressor.alpha(size) for size in sizes]
        assert alphas == sorted(alphas, reverse=True)
    if isinstance(compressor, Unbiased):
        omegas = [compressor.omega(size) for size in sizes]
        assert omegas == sorted(omegas)


# What every compressor does


@every
@quick
@given(vector=vectors(exponent=90), seed=st.integers(0, 2**32))
def test_seed_and_difference_decide_and_vectors_stay(compressor, vector, seed):
    reference = np.roll(vector, 1)
    before = vector.tobytes(), reference.tobytes()
    message = compressor.compress_difference(vector, reference, np.random.default_rng(seed))
    assert (vector.tobytes(), reference.tobytes()) == before
    difference = vector - reference
    before = difference.tobytes()
    assert message == compress(compressor, difference, seed)
    assert difference.tobytes() == before
    assert message.to_dense().tobytes() == received(compressor, difference, seed).tobytes()


@every
def test_only_random_compressors_touch_the_generator(compressor):
    rng = np.random.default_rng(0)
    compressor.compress(np.arange(1.0, 13.0), rng)
    touched = rng.bit_generator.state != np.random.default_rng(0).bit_generator.state
    assert touched == compressor.random


@over([row for row in RANDOM if str(row) not in ("permk", "unbiased-permk")])
def test_other_seeds_give_other_messages(compressor):
    vector = np.linspace(0.3, 2, 12)
    assert len({encode(compress(compressor, vector, seed)) for seed in range(50)}) > 1


@every
def test_a_message_does_not_share_memory_with_the_vector(compressor):
    vector = np.arange(1.0, 13.0)
    message = compress(compressor, vector)
    before = encode(message)
    vector[:] = 0
    assert encode(message) == before


@every
@each_dtype
def test_non_contiguous_and_read_only_vectors(compressor, dtype):
    vector = np.arange(24, dtype=dtype)[::-2]
    vector.setflags(write=False)
    np.testing.assert_array_equal(
        received(compressor, vector), received(compressor, np.ascontiguousarray(vector))
    )


@every
def test_a_message_is_added_in_place(compressor):
    vector = np.random.default_rng(1).normal(size=12)
    message = compress(compressor, vector)
    total = vector.copy()
    message.add_to(total)
    np.testing.assert_array_equal(total, vector + message.to_dense())
    assert message.to_dense() is not message.to_dense()


# Bytes


@every
@each_dtype
def test_bytes_stay_below_what_is_declared(compressor, dtype):
    rng = np.random.default_rng(0)
    for size in (3, 64, 65, 3000):
        normal = rng.normal(size=size)
        for vector in (
            normal,
            normal * 10 ** rng.uniform(-30, 30, size),
            normal * float(np.finfo(dtype).tiny),
            np.full(size, 0.1),
            np.where(rng.random(size) < 0.5, normal, 0),
        ):
            received(compressor, vector.astype(dtype))


@over(ROUNDINGS)
@each_dtype
def test_roundings_round(compressor, dtype):
    vector = np.random.default_rng(0).normal(size=5000).astype(dtype)
    assert compressor.value_bytes(5000, vector.dtype) < 0.65 * vector.nbytes
    result = received(compressor, vector)
    assert np.mean(result == vector) < 0.01


# Special vectors


@every
@each_dtype
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_vector_becomes_zero(compressor, dtype, zero):
    result = received(compressor, np.full(12, zero, dtype))
    assert result.dtype == dtype
    assert not result.any()


@over(ROUNDINGS)
def test_roundings_send_nothing_of_a_zero_vector(compressor):
    message = compress(compressor, np.zeros(12, np.float32))
    assert message == Sparse(12, np.zeros(0, np.int64), np.zeros(0, np.float32))


@over([row for row in ROWS if isinstance(row, Rounding | Composition)])
def test_nothing_is_rounded_to_minus_zero(compressor):
    vector = np.array([-0.0, 1.0, -1e-30, 2.0, -3.0, -1e-310, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
    for seed in range(5):
        result = received(compressor, vector, seed)
        assert not np.signbit(result[result == 0]).any()


def fits(compressor, size):
    try:
        compressor.check_size(size)
    except ValueError:
        return False
    return True


@over([row for row in ROWS if fits(row, 1)])
@each_dtype
@pytest.mark.parametrize("value", [3.0, -1.1, "-tiny", "smallest"])
def test_one_element(compressor, dtype, value):
    info = np.finfo(dtype)
    value = {"-tiny": -info.tiny, "smallest": info.smallest_subnormal}.get(value, value)
    vector = np.array([value], dtype)
    if compressor in DETERMINISTIC:
        assert_contracts(compressor, vector)
    else:
        assert np.isfinite(received(compressor, vector)).all()


@every
@each_dtype
def test_subnormals_stay_as_small_as_they_are(compressor, dtype):
    info = np.finfo(dtype)
    vector = np.arange(-5, 7).astype(dtype) * info.smallest_subnormal
    for seed in range(10):
        result = received(compressor, vector, seed)
        factor = 1 + compressor.omega(12) if isinstance(compressor, Unbiased) else 1
        assert np.abs(result).max() <= factor * float(info.tiny)


@contextmanager
def refusing_overflow():
    try:
        yield
    except ValueError as refused:
        if "overflows" not in str(refused):
            raise


@every
@each_dtype
def test_the_largest_floats_are_sent_finite_or_refused(compressor, dtype):
    top = np.finfo(dtype).max
    for vector in (np.full(12, top), np.array([top, -top, *np.ones(10)], dtype)):
        for seed in range(5):
            if isinstance(compressor, Unbiased) or "shrunk" in str(compressor):
                with refusing_overflow():
                    received(compressor, vector, seed)
            else:
                received(compressor, vector, seed)


# Refusals


def assert_refused(call, *parts):
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


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


# Texts


@pytest.mark.parametrize("text", TABLE)
def test_text_round_trip(text):
    compressor = parse(text)
    assert str(compressor) == text
    assert text in repr(compressor)
    for again in (parse(f" {text.upper()} "), pickle.loads(pickle.dumps(compressor))):
        assert again == compressor
        assert hash(again) == hash(compressor)
        assert type(again) is type(compressor)
        np.testing.assert_array_equal(
            received(again, np.arange(12.0)), received(compressor, np.arange(12.0))
        )


def test_all_rows_differ():
    assert len(set(ROWS)) == len(TABLE)


@every
def test_the_form_for_a_client_keeps_the_promises(compressor):
    placed = compressor.for_client(1, 3)
    assert type(placed) is type(compressor)
    assert placed.shared_randomness == compressor.shared_randomness
    placed.check_size(12)
    received(placed, np.arange(1.0, 13.0))
