"""The methods over explicit state, without Flower: a few lines of loop are the whole protocol."""

import numpy as np
import pytest
from core_loop import F64, trajectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fl_ef21.compressors import Dense, Identity, RandK, Sparse, TopK, UnbiasedRandK
from fl_ef21.compressors.fresh import Fresh
from fl_ef21.compressors.parts import Parts
from fl_ef21.flower.server.buffers import buffer_mean
from fl_ef21.methods import DCGD, EF21, RememberedEstimate, RoundEstimate, Turn, from_text
from fl_ef21.methods.blocks import _folded_blocks
from fl_ef21.methods.estimate import fold_into
from fl_ef21.theory import Constants, step_size

METHODS = [DCGD(), EF21("full"), EF21("compressed"), EF21("zero")]
every = pytest.mark.parametrize("method", METHODS, ids=str)
quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def quadratics(rng, n, d, *, lowest=-1.0):
    """Random symmetric H_i, indefinite when ``lowest`` is negative, and minimisers c_i."""
    hessians = []
    for scale in 10.0 ** rng.uniform(-1, 1, n):
        basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
        hessians.append(scale * (basis * rng.uniform(lowest, 1, d)) @ basis.T)
    return hessians, rng.normal(size=(n, d))


def gradients_of(hessians, centres):
    return [lambda x, H=H, c=c: H @ (x - c) for H, c in zip(hessians, centres, strict=True)]


# EF21


def test_full_initialisation_sends_the_signal_and_then_differences():
    method, rng, signal = EF21("full"), np.random.default_rng(0), np.array([3.0, -1.0, 2.0])
    start = method.start(3, F64)
    message = method.client_step(start, signal, TopK(k=1), rng, Turn(first=True))
    assert message == Dense(signal)
    state = method.commit(start, message)
    np.testing.assert_array_equal(state["estimate"], signal)
    message = method.client_step(
        state, signal + np.array([0, 5, 1]), TopK(k=1), rng, Turn(first=False)
    )
    assert message == Sparse(3, np.array([1]), np.array([5.0]))
    np.testing.assert_array_equal(method.commit(state, message)["estimate"], [3, 4, 2])


@pytest.mark.parametrize("initialisation", ["compressed", "zero"])
def test_other_initialisations_send_what_the_compressor_keeps(initialisation):
    method, signal = EF21(initialisation), np.array([3.0, -1.0, 2.0])
    message = method.client_step(
        method.start(3, F64), signal, TopK(k=1), np.random.default_rng(0), Turn(first=True)
    )
    assert message == Sparse(3, np.array([0]), np.array([3.0]))


def test_only_a_zero_initialisation_counts_silent_clients():
    assert [str(m) for m in METHODS if m.counts_silent_clients] == ["ef21:zero"]


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_and_commits_change_nothing_that_they_are_given(method, dtype):
    rng = np.random.default_rng(3)
    state = method.start(6, np.dtype(dtype))
    for first in (True, False, False):
        signal = rng.normal(size=6).astype(dtype)
        before = signal.tobytes(), {name: v.tobytes() for name, v in state.items()}
        message = method.client_step(state, signal, TopK(k=2), rng, Turn(first=first))
        again = method.client_step(state, signal, TopK(k=2), rng, Turn(first=first))
        committed = method.commit(state, message)
        assert again == message
        assert before == (signal.tobytes(), {name: v.tobytes() for name, v in state.items()})
        assert all(v.dtype == dtype for v in (message.values, *committed.values()))
        signal[:] = 0
        assert again == message
        state = committed


@every
def test_info_measures_what_the_server_will_hold(method):
    rng = np.random.default_rng(4)
    state, signal = method.start(6, F64), rng.normal(size=6)
    held = np.zeros(6)
    for first in (True, False, False):
        signal = signal + rng.normal(size=6)
        message = method.client_step(state, signal, TopK(k=2), rng, Turn(first=first))
        held = message.to_dense() + (held if isinstance(method, EF21) else 0)
        info = method.info(state, signal, message, Turn(first=first))
        assert info.signal_norm_squared == pytest.approx(np.sum(signal**2), rel=1e-14)
        assert info.error_squared == pytest.approx(np.sum((signal - held) ** 2), rel=1e-14)
        state = method.commit(state, message)


@pytest.mark.parametrize("kind", ["sparse", "one", "dense", "parts", "fresh"])
def test_what_large_vectors_become_is_the_same_in_blocks(kind):
    rng, size = np.random.default_rng(7), 3 * 2**16 + 5
    estimate, values = rng.normal(size=(2, size)).astype(np.float32)
    short = size - 40_009
    places = np.flatnonzero(rng.random(short) < 0.01)
    message = {
        "sparse": Sparse(size, places, values[places]),
        "one": Sparse(size, np.array([2**16]), values[:1]),
        "dense": Dense(values),
        "parts": Parts(
            (
                Sparse(short, places, values[places]),
                Dense(values[:40_000]),
                Sparse(9, places[:0], values[:0]),
            )
        ),
        "fresh": Fresh(Sparse(size, places, values[places])),
    }[kind]
    folded = estimate.copy()
    fold_into(folded, message)
    blocks = list(_folded_blocks(estimate, message))
    assert [start for start, _ in blocks] == [0, 2**16, 2**17, 3 * 2**16]
    assert np.concatenate([block for _, block in blocks]).tobytes() == folded.tobytes()
    info = EF21().info({"estimate": estimate}, values, message, Turn())
    error = np.sum((values - folded).astype(float) ** 2)
    assert info.error_squared == pytest.approx(error, rel=1e-6)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("first", [True, False])
def test_a_signal_that_is_not_finite_is_refused(method, bad, first):
    signal, rng = np.array([1.0, bad, 2.0]), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"finite.*position 1"):
        method.client_step(method.start(3, F64), signal, TopK(k=1), rng, Turn(first=first))


@pytest.mark.parametrize("initialisation", ["full", "compressed", "zero"])
def test_ef21_without_compression_is_gradient_descent(initialisation):
    rng = np.random.default_rng(5)
    hessians, centres = quadratics(rng, 4, 6, lowest=0.1)
    gradients, x = gradients_of(hessians, centres), rng.normal(size=6)
    ef21 = trajectory(EF21(initialisation), Identity(), gradients, x, 0.05, 100)
    dcgd = trajectory(DCGD(), Identity(), gradients, x, 0.05, 100)
    np.testing.assert_allclose(ef21, dcgd, rtol=1e-10, atol=1e-12)
    for _ in range(100):
        x = x - 0.05 * np.mean([gradient(x) for gradient in gradients], axis=0)
    np.testing.assert_allclose(dcgd[-1], x, rtol=1e-10, atol=1e-12)


def test_silent_clients_of_ef21_keep_counting_with_what_they_last_said():
    messages = {"a": np.array([6.0, 0.0]), "b": np.array([0.0, 3.0]), "c": np.array([3.0, 3.0])}
    estimate = EF21().estimate(2, F64)
    for client, values in messages.items():
        estimate.fold(client, 1.0, Dense(values))
    estimate.begin_round()
    estimate.fold("b", 1.0, Sparse(2, np.array([0]), np.array([3.0])))
    np.testing.assert_allclose(estimate.mean(), [(6 + 3 + 3) / 3, (0 + 3 + 3) / 3])


# Theory met in practice


def test_dcgd_diverges_with_top_1_where_ef21_converges():
    """Beznosikov, Horváth, Richtárik and Safaryan 2020, Example 1: ⟨a_i, x⟩² + ‖x‖²/4."""
    directions = np.array([[-3.0, 2, 2], [2, -3.0, 2], [2, 2, -3.0]])
    hessians = [2 * np.outer(a, a) + np.eye(3) / 2 for a in directions]
    gradients = gradients_of(hessians, np.zeros((3, 3)))
    x, rounds = np.full(3, 2.0), 3000
    norms = [float(np.linalg.norm(H, 2)) for H in (np.mean(hessians, axis=0), *hessians)]
    constants = Constants(norms[0], norms[1:])
    gamma = step_size("ef21", constants, alpha=TopK(k=1).alpha(3))
    # Top-1 of ∇f_1(t, t, t) = (t/2)(−11, 9, 9) is its first coordinate, so x grows each round.
    dcgd = trajectory(DCGD(), TopK(k=1), gradients, x, gamma, 100)
    np.testing.assert_allclose(dcgd[-1], x * (1 + 11 * gamma / 6) ** 100, rtol=1e-12)
    ef21 = trajectory(EF21(), TopK(k=1), gradients, x, gamma, rounds)
    assert np.linalg.norm(ef21[-1]) < 1e-6


# Compressors that fit, and texts


@pytest.mark.parametrize("compressor", [TopK(k=1), RandK(k=1), Identity()], ids=str)
def test_contractive_compressors_are_accepted(compressor):
    for method in METHODS:
        method.check(compressor)


def test_ef21_refuses_unbiased_compressors_and_dcgd_takes_them():
    DCGD().check(UnbiasedRandK(k=2))
    with pytest.raises(ValueError, match=r"unbiased-randk:2.*contractive.*randk"):
        EF21().check(UnbiasedRandK(k=2))


@every
def test_text_round_trip(method):
    again = from_text(str(method))
    assert type(again) is type(method)
    assert str(again) == str(method)
    assert again.counts_silent_clients == method.counts_silent_clients


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"''; known are dasha, dcgd"),
        ("sgd", r"'sgd'; known are dasha, dcgd"),
        ("ef21", r"ef21:full"),
        ("ef21:full:1", r"\['full', '1'\]"),
        ("ef21:warm", r"'warm' is unknown; choose one of full, compressed, zero"),
        ("dcgd:1", r"no argument, got '1'"),
    ],
)
def test_bad_texts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        from_text(text)


# Estimates against a brute-force oracle

SIZE = 5
CLIENTS = "abcd"


def messages(dtype):
    elements = st.floats(-1e6, 1e6, width=np.finfo(dtype).bits, allow_subnormal=False)
    dense = arrays(dtype, SIZE, elements=elements).map(Dense)
    sparse = st.sets(st.integers(0, SIZE - 1)).flatmap(
        lambda chosen: arrays(dtype, len(chosen), elements=elements).map(
            lambda values: Sparse(SIZE, np.array(sorted(chosen), np.int64), values)
        )
    )
    return st.one_of(sparse, dense)


def events(dtype):
    """Lists of (client, weight, message); a client without a message is forgotten."""
    weight = st.sampled_from([1.0, 1.0, 1.0, 0.1, 37.0])
    message = st.one_of(messages(dtype), messages(dtype), messages(dtype), st.none())
    return st.lists(st.tuples(st.sampled_from(CLIENTS), weight, message), max_size=30)


def weighted_sum(pairs):
    return np.sum([w * v.astype(np.float64) for w, v in pairs], axis=0)


def weighted_mean(pairs):
    return weighted_sum(pairs) / sum(w for w, _ in pairs) if pairs else np.zeros(SIZE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@quick
@given(data=st.data())
def test_remembered_estimate_is_the_mean_of_what_the_clients_hold(dtype, data):
    estimate, held, scale = RememberedEstimate(SIZE, np.dtype(dtype)), {}, 1.0
    for client, weight, message in data.draw(events(dtype)):
        estimate.begin_round()
        if message is None:
            estimate.forget(client)
            held.pop(client, None)
        else:
            estimate.fold(client, weight, message)
            before = held.get(client, (weight, np.zeros(SIZE, dtype)))[1]
            held[client] = weight, before + message.to_dense()
        # Rounding is relative to the largest sum that there has been.
        scale = max([scale, *(np.abs(w * v).max() for w, v in held.values())])
        assert estimate.weights() == [held[c][0] for c in estimate.contributions()]
        total = estimate.mean() * sum(estimate.weights())
        np.testing.assert_allclose(
            total, weighted_sum(held.values()) if held else 0, rtol=0, atol=1e-12 * scale
        )
    contributions = estimate.contributions()
    assert contributions.keys() == held.keys()
    for client, (weight, vector) in held.items():
        assert contributions[client][0] == weight
        assert contributions[client][1].dtype == dtype
        np.testing.assert_array_equal(contributions[client][1], vector)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@quick
@given(data=st.data())
def test_round_estimate_is_the_mean_of_this_rounds_messages(dtype, data):
    estimate = RoundEstimate(SIZE, np.dtype(dtype))
    for _ in range(3):
        estimate.begin_round()
        spoken = {}
        for client, weight, message in data.draw(events(dtype)):
            if client in spoken or message is None:
                continue
            estimate.fold(client, weight, message)
            spoken[client] = weight, message.to_dense()
        assert estimate.weights() == [weight for weight, _ in spoken.values()]
        scale = max([1.0, *(np.abs(v).max() for _, v in spoken.values())])
        np.testing.assert_allclose(
            estimate.mean(), weighted_mean(list(spoken.values())), rtol=0, atol=1e-12 * scale
        )


def test_the_sum_follows_the_rounding_of_float32():
    estimate = RememberedEstimate(1, np.dtype(np.float32))
    step = Sparse(1, np.array([0]), np.array([0.1], np.float32))
    for _ in range(10_000):
        estimate.fold("a", 1.0, step)
    held = np.float64(estimate.contributions()["a"][1][0])
    assert abs(held - 1000) > 0.05
    assert estimate.mean()[0] == pytest.approx(held, rel=1e-12)


@pytest.mark.parametrize("kind", [RememberedEstimate, RoundEstimate])
def test_silent_clients_count_with_zero_and_the_mean_weight(kind):
    estimate = kind(2, F64)
    np.testing.assert_array_equal(estimate.mean(silent=3), [0, 0])
    estimate.fold("a", 1.0, Dense(np.array([8.0, 0.0])))
    estimate.fold("b", 3.0, Dense(np.array([0.0, 8.0])))
    np.testing.assert_allclose(estimate.mean(), [2, 6])
    np.testing.assert_allclose(estimate.mean(silent=2), [1, 3])


def test_an_estimate_hands_out_copies():
    estimate = RememberedEstimate(1, F64)
    message = Dense(np.array([1.0]))
    estimate.fold("a", 1.0, message)
    estimate.mean()[:] = 9
    estimate.contributions()["a"][1][:] = 9
    message.values[:] = 9
    np.testing.assert_array_equal(estimate.mean(), [1])
    np.testing.assert_array_equal(estimate.contributions()["a"][1], [1])


def test_forgetting_an_unknown_client_changes_nothing():
    estimate = RememberedEstimate(1, F64)
    estimate.forget("a")
    assert estimate.weights() == []


# Arrays that no compressor may touch


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (bool, True),
        (np.int8, -128),
        (np.uint8, 255),
        (np.int64, 2**53 + 1),
        (np.int64, -(2**63)),
        (np.uint64, 2**53 + 1),
        (np.uint64, 2**64 - 1),
    ],
)
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_the_mean_of_equal_arrays_is_exact(dtype, value, shape):
    array = np.full(shape, value, dtype)
    mean = buffer_mean([array.copy() for _ in range(3)], [0.1, 0.7, 0.3])
    assert mean.dtype == dtype
    np.testing.assert_array_equal(mean, array, strict=True)


@quick
@given(st.data())
def test_the_mean_is_the_rounded_weighted_mean(data):
    dtype = data.draw(st.sampled_from([np.uint8, np.int32, np.int64, np.uint64]))
    origin = data.draw(st.integers(0, 200 if dtype == np.uint8 else 2**31 - 1000))
    origin += 2**62 if dtype in (np.int64, np.uint64) else 0
    offsets = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=5))
    weights = [2.0**i for i in range(len(offsets))]
    mean = buffer_mean([np.array([origin + o], dtype) for o in offsets], weights)
    assert abs(int(mean[0]) - origin - np.dot(weights, offsets) / sum(weights)) <= 0.5


def test_the_mean_of_booleans_is_the_majority():
    arrays_ = [np.array([True, False, True]), np.array([True, False, False])]
    np.testing.assert_array_equal(buffer_mean(arrays_, [2.0, 1.0]), [True, False, True])
    np.testing.assert_array_equal(buffer_mean(arrays_, [1.0, 2.0]), [True, False, False])


@quick
@given(st.data())
def test_the_mean_of_floats_is_weighted_and_keeps_what_is_equal(data):
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    width = 8 * np.dtype(dtype).itemsize
    number = st.floats(-1e4, 1e4, width=width)
    values = data.draw(st.lists(number, min_size=1, max_size=5))
    weights = [2.0**i for i in range(len(values))]
    mean = buffer_mean([np.array([value, values[0]], dtype) for value in values], weights)
    assert mean.dtype == dtype
    assert mean[1] == dtype(values[0])
    expected = np.dot(weights, values) / sum(weights)
    assert abs(float(mean[0]) - expected) <= 1e4 * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [complex, "datetime64[s]"])
def test_the_mean_of_other_arrays_is_refused(dtype):
    with pytest.raises(ValueError, match=r"dtype .* cannot be averaged exactly; use an integer"):
        buffer_mean([np.zeros(2, dtype)], [1.0])
