"""The automatic step sizes: their invariants, and that they find a step where none was given."""

import json
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite, nan
from pathlib import Path

import numpy as np
import pytest
from core_loop import F64, trajectory

from fl_ef21.compressors import TopK
from fl_ef21.methods import EF21, Turn
from fl_ef21.theory.automatic import AutomaticState, AutomaticStepSize
from fl_ef21.theory.automatic_noisy import NoisyStepSize
from fl_ef21.theory.automatic_noisy_state import NoisyState
from fl_ef21.theory.automatic_sampled import SampledState, SampledStepSize

BY_CLIENT = (SampledStepSize, NoisyStepSize)


def quadratics(n=4, d=10, seed=0, spread=3.0):
    """(losses, gradients, L) of f_i(x) = ½ (x − b_i)ᵀ A_i (x − b_i)."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-spread / 2, spread / 2, size=(n, d)) / 10
    centres = rng.normal(size=(n, d))
    losses = [
        lambda x, a=a, b=b: 0.5 * a @ (x - b) ** 2 for a, b in zip(scales, centres, strict=True)
    ]
    gradients = [lambda x, a=a, b=b: a * (x - b) for a, b in zip(scales, centres, strict=True)]
    return losses, gradients, scales.mean(axis=0).max()


def run(rule, losses, gradients, x, rounds, k=1):
    """The library's EF21 Top-k with the rule as its server; returns every round's facts."""
    size, n, method, compressor = x.size, len(losses), EF21(), TopK(k=k)
    states, estimate = [method.start(size, F64)] * n, method.estimate(size, F64)
    state, kept, last, facts = rule.start(), x, np.zeros(size), []
    for t in range(rounds):
        estimate.begin_round()
        for i in range(n):
            turn = Turn(first=t == 0)
            rng = np.random.default_rng([t, i])
            message = method.client_step(states[i], gradients[i](x), compressor, rng, turn)
            states[i] = method.commit(states[i], message)
            estimate.fold(str(i), 1.0, message)
        mean, loss = estimate.mean(), float(np.mean([f(x) for f in losses]))
        state, verdict = rule.observe(state, loss, float(mean @ mean), float(mean @ last))
        facts.append((x, loss, verdict))
        kept = x if verdict.accepted else kept
        last = mean if verdict.step_size else last
        x = kept - verdict.step_size * mean
    return facts


def norm_squared(gradients, x):
    return float(np.sum(np.mean([gradient(x) for gradient in gradients], axis=0) ** 2))


@pytest.mark.parametrize("start", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("k", [1, 10])
def test_reaches_the_minimum_from_any_start_and_stays_alive(start, k):
    losses, gradients, L = quadratics()
    facts = run(AutomaticStepSize(start / L), losses, gradients, np.zeros(10), 600, k)
    assert norm_squared(gradients, facts[-1][0]) < 1e-9
    steps = [verdict.step_size for _, _, verdict in facts[-200:] if verdict.step_size]
    assert min(steps) > 1e-4 / L


def test_losses_of_kept_models_fall_up_to_the_tolerance():
    losses, gradients, L = quadratics(seed=1)
    facts = run(AutomaticStepSize(1 / L), losses, gradients, np.zeros(10), 300)
    kept = [loss for _, loss, verdict in facts if verdict.accepted]
    assert all(b <= a * (1 + 1e-9) for a, b in pairwise(kept))
    assert any(not verdict.accepted for _, _, verdict in facts)


def test_clients_are_asked_again_at_the_model_that_is_kept():
    losses, gradients, L = quadratics(seed=1)
    facts = run(AutomaticStepSize(1 / L), losses, gradients, np.zeros(10), 300)
    kept = facts[0][0]
    for (x, _, verdict), (after, _, next_verdict) in pairwise(facts):
        kept = x if verdict.accepted else kept
        if not verdict.accepted:
            assert verdict.step_size == 0
            assert np.array_equal(after, kept)
            assert next_verdict.accepted


def test_a_tiny_start_becomes_useful_within_ten_rounds():
    losses, gradients, L = quadratics()
    facts = run(AutomaticStepSize(1e-6 / L), losses, gradients, np.zeros(10), 10, k=10)
    assert max(verdict.step_size for _, _, verdict in facts) > 0.5 / L


def test_converges_where_a_constant_step_of_1_over_l_diverges():
    # The clients' large curvatures cancel in the mean, and so do the losses' but for ½‖x − 1‖².
    rng, d = np.random.default_rng(0), 8
    skew = rng.normal(size=(d, d))
    curvatures = [sign * 2 * (skew + skew.T) for sign in (-1, 1)]
    losses = [lambda x, H=H: 0.5 * x @ H @ x + 0.5 * np.sum((x - 1) ** 2) for H in curvatures]
    gradients = [lambda x, H=H: H @ x + x - 1 for H in curvatures]
    L = 1.0
    start = np.zeros(d)
    before = norm_squared(gradients, start)
    constant = trajectory(EF21(), TopK(k=1), gradients, start, 1 / L, 200)[-1]
    assert not norm_squared(gradients, constant) < 100 * before
    facts = run(AutomaticStepSize(1 / L), losses, gradients, start, 1500)
    assert norm_squared(gradients, facts[-1][0]) < 1e-6 * before


def test_is_a_constant_step_where_nothing_is_learnt():
    """The loop above is that of tests/core_loop.py: with a rule that never moves γ they agree."""

    class Constant(AutomaticStepSize):
        def observe(self, state, loss, norm_squared, product):
            found, verdict = super().observe(state, loss, norm_squared, product)
            return found, verdict._replace(accepted=True, step_size=self.initial)

    losses, gradients, L = quadratics()
    facts = run(Constant(0.05 / L), losses, gradients, np.ones(10), 50)
    expected = trajectory(EF21(), TopK(k=1), gradients, np.ones(10), 0.05 / L, 49)
    np.testing.assert_allclose([x for x, _, _ in facts], expected)


def test_the_benchmark_runs_the_algorithm_of_the_library(monkeypatch):
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("the benchmarks are not here")
    monkeypatch.syspath_prepend(str(benchmarks))
    from _step_sizes_data import stacked
    from _step_sizes_runs import automatic
    from scipy.sparse import csr_array

    from fl_ef21.problems import federated_objectives

    rng = np.random.default_rng(0)
    features = csr_array(rng.normal(size=(40, 8)))
    labels = np.sign(features @ rng.normal(size=8) + rng.normal(size=40)).astype(np.int64)
    objectives = federated_objectives(features, labels, np.split(np.arange(40), 4), 1e-3)
    problem, initial = stacked("small", objectives, 1e-3), 1e-3
    reached, rejected = automatic(problem, 2, initial, 1e-5, 300)
    losses = [objective.value for objective in objectives]
    gradients = [objective.gradient for objective in objectives]
    facts = run(AutomaticStepSize(initial), losses, gradients, np.zeros(8), 301, 2)
    norms = [norm_squared(gradients, x) for x, _, _ in facts]
    first = next(t for t, norm in enumerate(norms) if norm <= 1e-5)
    assert reached.rounds == first
    assert reached.loss == pytest.approx(facts[first][1])
    assert rejected == sum(not verdict.accepted for _, _, verdict in facts[:first])


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_losses_that_are_not_finite_are_rejected(bad):
    rule = AutomaticStepSize(0.5)
    state, _ = rule.observe(rule.start(), 1.0, 1.0, 0.0)
    state, verdict = rule.observe(state, bad, 1.0, 1.0)
    assert (verdict.accepted, verdict.step_size) == (False, 0.0)
    assert state.step_size < 0.5
    assert rule.observe(rule.start(), bad, 1.0, 0.0)[1].accepted is False
    for sampled in (SampledStepSize(0.5), NoisyStepSize(0.5)):
        known, _ = sampled.observe(sampled.start(), {"a": (1.0, 1.0)}, 1.0)
        found, verdict = sampled.observe(known, {"a": (1.0, bad)}, 1.0)
        assert (verdict.accepted, verdict.step_size) == (False, 0.0)
        assert found.step_size < known.step_size
        assert found.losses == known.losses


@pytest.mark.parametrize("loss", [0.0, -3.0, 1e300, 5e-324])
@pytest.mark.parametrize("norm", [0.0, 5e-324, 1e300])
def test_extreme_numbers_divide_nothing_by_zero(loss, norm):
    for rule in (AutomaticStepSize(1.0), AutomaticStepSize(1e90, tolerance=0.0)):
        state = rule.start()
        for product in (0.0, norm, -norm):
            state, verdict = rule.observe(state, loss, norm, product)
            assert isfinite(verdict.step_size)
    for sampled in (rule(1.0, 0.5) for rule in BY_CLIENT):
        found = sampled.start()
        for told in ({"a": (1.0, loss)}, {"a": (1.0, loss), "b": (2.0, -loss)}, {}):
            found, verdict = sampled.observe(found, told, norm)
            assert isfinite(verdict.step_size)


def test_rounding_at_a_minimum_does_not_shrink_the_step():
    losses, gradients, L = quadratics(spread=1.0)
    rounded = [lambda x, f=f: float(np.float32(f(x))) for f in losses]
    facts = run(AutomaticStepSize(1 / L, tolerance=1e-6), rounded, gradients, np.zeros(10), 800, 5)
    steps = [verdict.step_size for _, _, verdict in facts[-300:]]
    assert sum(step > 0.1 / L for step in steps) > 250
    assert norm_squared(gradients, facts[-1][0]) < 1e-12


def test_states_survive_json_and_rules_are_deterministic():
    rule, state = AutomaticStepSize(0.5), AutomaticStepSize(0.5).start()
    for loss in (2.0, 1.0, 3.0, 1.0, 0.5):
        again = AutomaticState.from_dict(json.loads(json.dumps(state.as_dict())))
        assert again == state
        assert rule.observe(again, loss, 1.0, 0.5) == rule.observe(state, loss, 1.0, 0.5)
        state, _ = rule.observe(state, loss, 1.0, 0.5)
    for sampled, kind in (
        (SampledStepSize(1.0, 0.5), SampledState),
        (NoisyStepSize(1.0), NoisyState),
    ):
        found = sampled.start()
        for t in range(60):
            told = {str((t + i) % 3): (1.0, 1.0 / (1 + t) + 0.1 * i) for i in range(2)}
            found, _ = sampled.observe(found, told, 1e-3)
            assert kind.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def sampled_run(rule, losses, gradients, x, rounds, share, noise=0.0, k=3):
    """EF21-PP by hand, with noisy losses and gradients; returns the last model."""
    rng, n = np.random.default_rng(0), len(losses)
    held, origin, state = np.array([gradient(x) for gradient in gradients]), x, rule.start()
    chosen = np.arange(n)
    for _ in range(rounds):
        told = {str(i): (1.0, losses[i](x) + noise * rng.normal()) for i in chosen}
        mean = held.mean(axis=0)
        state, verdict = rule.observe(state, told, float(mean @ mean))
        x, origin = (x if verdict.accepted else origin), (x if verdict.kept else origin)
        x = x - verdict.step_size * mean
        chosen = rng.choice(n, max(1, round(share * n)), replace=False)
        for i in chosen:
            change = gradients[i](x) + noise * rng.normal(size=x.size) - held[i]
            places = np.argsort(-np.abs(change))[:k]
            held[i, places] += change[places]
    return x


@pytest.mark.parametrize("start", [1e-6, 1.0])
def test_sampled_clients_find_the_minimum(start):
    losses, gradients, L = quadratics(n=12, spread=1.5)
    x = sampled_run(SampledStepSize(start / L, 0.25), losses, gradients, np.zeros(10), 1500, 0.25)
    assert norm_squared(gradients, x) < 1e-5 * norm_squared(gradients, np.zeros(10))


@pytest.mark.parametrize("start", [1e-6, 1.0])
def test_noisy_losses_still_descend(start):
    losses, gradients, L = quadratics(n=12, spread=1.0)
    rule = NoisyStepSize(start / L)
    x = sampled_run(rule, losses, gradients, np.zeros(10), 600, 1.0, noise=0.01)
    assert norm_squared(gradients, x) < 0.01 * norm_squared(gradients, np.zeros(10))


@pytest.mark.parametrize("start", [1e-6, 1.0])
def test_noisy_losses_of_sampled_clients_descend(start):
    losses, gradients, L = quadratics(n=12, spread=1.0)
    rule = NoisyStepSize(start / L, 0.5)
    x = sampled_run(rule, losses, gradients, np.zeros(10), 1200, 0.5, noise=0.01)
    assert norm_squared(gradients, x) < 0.02 * norm_squared(gradients, np.zeros(10))


def noisy_after(rounds, fall, rise=0.0, noise=1e-3, calming=1.0, seed=0):
    """States and verdicts of 20 clients whose losses fall by a share of what is promised.

    Noise is ``calming`` times as large from round to round.
    """
    rule, rng = NoisyStepSize(1.0), np.random.default_rng(seed)
    state, level, seen = rule.start(), 1.0, []
    for t in range(rounds):
        told = {str(i): (1.0, level + noise * calming**t * rng.normal()) for i in range(20)}
        state, verdict = rule.observe(state, told, 1e-3)
        seen.append((state, verdict))
        level += rise if t > rounds // 2 else -fall * verdict.step_size * 1e-3
    return seen


def test_blocks_lengthen_what_keeps_its_promise_and_shorten_what_does_not():
    shortened, lengthened = (noisy_after(120, share)[-1][0] for share in (0.0, 0.45))
    assert not shortened.searching
    assert shortened.step_size < 0.25
    assert lengthened.step_size > 4


def test_where_noise_falls_a_small_share_of_the_promise_is_enough():
    calm, noisy = (noisy_after(120, 0.02, calming=calming)[-1][0] for calming in (0.96, 1.0))
    assert not calm.searching
    assert calm.step_size > 100 * noisy.step_size


def test_a_rise_beyond_chance_leads_back_to_the_best_model():
    seen = noisy_after(200, fall=0.3, rise=0.05)
    back = next(i for i, (_, verdict) in enumerate(seen) if not verdict.accepted)
    assert 100 <= back < 125
    (before, _), (after, verdict) = seen[back - 1], seen[back]
    assert verdict.step_size == 0
    assert 0 < after.step_size == 0.7 * before.step_size
    assert after.rest == 8
    kept = [i for i, (_, verdict) in enumerate(seen[:back]) if verdict.kept]
    assert seen[kept[-1]][0].best == before.best


def test_a_rest_stays_at_a_model_and_measures_its_loss():
    seen = noisy_after(200, fall=0.3, rise=0.05)
    back = next(i for i, (_, verdict) in enumerate(seen) if not verdict.accepted)
    rest, (rested, verdict) = seen[back + 1 : back + 8], seen[back + 8]
    assert {verdict for _, verdict in rest} == {(True, 0.0, False, False)}
    assert verdict == (True, rested.step_size, False, True)
    levels = [state.level for state, _ in seen[back + 1 : back + 9]]
    assert rested.best == rested.last
    assert rested.best.loss == pytest.approx(np.mean(levels))
    assert rested.best.path == pytest.approx(seen[back][0].path)


def test_noise_alone_does_not_lengthen_without_end_and_is_not_trusted():
    seen = noisy_after(2000, fall=0.0, noise=0.1)
    assert seen[-1][0].step_size < 1000
    ends = [after for (before, _), after in pairwise(seen) if before.sums.rounds > 8]
    assert any(not state.sums.rounds and not verdict.trusted for state, verdict in ends)


def test_a_round_without_known_clients_is_not_trusted():
    for rule in (kind(1.0, 0.5) for kind in BY_CLIENT):
        state, verdict = rule.observe(rule.start(), {"a": (1.0, 3.0)}, 1.0)
        assert (verdict.accepted, verdict.trusted) == (True, False)
        assert state == replace(state, searching=True, rest=0)


@pytest.mark.parametrize("bad", [0.0, -1.0, inf, nan])
def test_bad_parameters_are_refused(bad):
    with pytest.raises(ValueError, match="initial="):
        AutomaticStepSize(bad)
    for rule in BY_CLIENT:
        with pytest.raises(ValueError, match="initial="):
            rule(bad)
        with pytest.raises(ValueError, match="participation="):
            rule(1.0, participation=bad)


def test_bad_tolerances_are_refused():
    with pytest.raises(ValueError, match="tolerance="):
        AutomaticStepSize(1.0, tolerance=1.0)
