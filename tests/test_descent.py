"""The inequalities that the derived step sizes promise, on random and on tight instances."""

import numpy as np
import pytest
from descent import (
    KINDS,
    NONEXPANSIVE,
    Federation,
    compression_errors,
    logistic,
    lyapunov_weights,
    quadratics,
    random_alphas,
)
from scipy.sparse import csr_array

from fl_ef21.compressors import Dense, TopK
from fl_ef21.methods import EF21, Turn
from fl_ef21.theory import (
    Constants,
    Curvature,
    dense_bound,
    exact_root,
    step_size,
    support_bound,
    xi,
)

ROUNDS = 4
SLACK = 1e-11


def worst_ascent(rng, federation, kind, alphas, gamma, *, S, participation=None, rate=0.0):
    """Largest relative excess of E Ψ⁺ over (1 − γμ)Ψ − (γ/2)‖∇f‖², the latter without μ."""
    constants, p = federation.constants, federation.p
    n, d = federation.masks.shape
    shares = np.ones(n) if participation is None else np.array(participation)
    effective = shares * alphas
    weights = lyapunov_weights(constants, effective, gamma, S, rate)
    lowest = 0.0
    if rate:
        minimiser = -np.linalg.solve(federation.hessian, p @ federation.gradients(np.zeros(d)))
        lowest = federation.value(minimiser)
    x = 3 * rng.normal(size=d)
    gradients = federation.gradients(x)
    scale = 10.0 ** rng.uniform(-1, 1) * np.linalg.norm(gradients)
    errors = scale * rng.normal(size=(n, d)) * federation.masks * (effective < 1)[:, None]
    worst = -np.inf
    for _ in range(ROUNDS):
        gradient = p @ gradients
        psi = federation.value(x) - lowest + weights @ np.sum(errors**2, axis=1)
        promised = (1 - rate) * psi if rate else psi - gamma / 2 * gradient @ gradient
        held = gradients + errors
        x = x - gamma * (p @ held)
        gradients = federation.gradients(x)
        vectors = gradients - held
        compressed = compression_errors(rng, kind, vectors, alphas, federation.masks, p @ gradients)
        expected = shares * np.sum(compressed**2, axis=1)
        expected += (1 - shares) * np.sum(vectors**2, axis=1)
        reached = federation.value(x) - lowest + weights @ expected
        worst = max(worst, (reached - promised) / (1 + abs(psi)))
        takes_part = rng.random(n) < shares
        errors = np.where(takes_part[:, None], compressed, -vectors)
    return worst


def build(problem, rng, **options):
    if problem == "logistic":
        return logistic(rng, **options)
    return quadratics(rng, convex=problem == "convex", **options)


FORMS = [
    ("ef21", "theory"),
    ("ef21", "curvature"),
    ("ef21-rf", "support"),
    ("ef21-rf", "curvature"),
    ("ef21-rf", "quadratic"),
]
# Quadratics are cheap, logistic regression is not.
INSTANCES = {"convex": 80, "indefinite": 80, "logistic": 30}


@pytest.mark.parametrize(
    ("problem", "method", "form"),
    [
        (problem, *form)
        for problem in INSTANCES
        for form in FORMS
        if (problem, form[1]) != ("logistic", "quadratic")
    ],
)
def test_psi_falls_at_every_derived_root(problem, method, form):
    for seed in range(INSTANCES[problem]):
        rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
        federation = build(problem, rng)
        alphas = random_alphas(rng, federation.masks, kind)
        gamma = step_size(method, federation.constants, alpha=alphas, form=form)
        bound = dense_bound if method == "ef21" else support_bound
        S = bound(federation.constants, alphas)
        ascent = worst_ascent(rng, federation, kind, alphas, gamma, S=S)
        assert ascent <= SLACK, f"seed {seed}, {kind}"


@pytest.mark.parametrize("method", ["ef21-pp", "ef21-rf"])
def test_psi_falls_in_expectation_when_clients_are_sampled(method):
    for seed in range(100):
        rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
        federation = quadratics(rng)
        alphas = random_alphas(rng, federation.masks, kind)
        shares = rng.uniform(0.05, 1, len(alphas))
        options = {"alpha": alphas, "participation": shares}
        form = "root" if method == "ef21-pp" else "support"
        gamma = step_size(method, federation.constants, form=form, **options)
        bound = dense_bound if method == "ef21-pp" else support_bound
        S = bound(federation.constants, shares * alphas)
        ascent = worst_ascent(rng, federation, kind, alphas, gamma, S=S, participation=shares)
        assert ascent <= SLACK, f"seed {seed}, {kind}"
        assert step_size("ef21-pp", federation.constants, **options) <= step_size(
            "ef21-pp", federation.constants, form="root", **options
        ) * (1 + 1e-12)


@pytest.mark.parametrize("method", ["ef21", "ef21-rf"])
def test_psi_falls_linearly_at_the_step_for_the_pl_inequality(method):
    tried = 0
    for seed in range(80):
        rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
        federation = quadratics(rng, convex=True, dense=seed % 2 == 0)
        constants = federation.constants
        if constants.mu is None:
            continue
        tried += 1
        alphas = random_alphas(rng, federation.masks, kind)
        gamma = step_size(method, constants, alpha=alphas, form="pl")
        rate = gamma * constants.mu
        bound = dense_bound if method == "ef21" else support_bound
        S = bound(constants, alphas, rate)
        ascent = worst_ascent(rng, federation, kind, alphas, gamma, S=S, rate=rate)
        assert ascent <= SLACK, f"seed {seed}, {kind}"
    assert tried >= 45


def test_psi_falls_in_expectation_but_for_the_noise_of_ef21_sgd():
    """Two equally likely noises, ±z_i, make every expectation exact."""
    for seed in range(100):
        rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
        federation = quadratics(rng, dense=True)
        constants, p, masks = federation.constants, federation.p, federation.masks
        alphas = random_alphas(rng, masks, kind)
        slack = alphas / 4
        loosened = 1 - (1 - alphas) * (1 + slack)
        gamma = step_size("ef21-sgd", constants, alpha=alphas)
        weights = lyapunov_weights(constants, loosened, gamma, dense_bound(constants, loosened))
        x = 3 * rng.normal(size=masks.shape[1])
        gradients = federation.gradients(x)
        errors = rng.normal(size=masks.shape) * (alphas < 1)[:, None]
        noise = 10.0 ** rng.uniform(-2, 1) * rng.normal(size=masks.shape)
        before = federation.value(x) + weights @ np.sum(errors**2, axis=1)
        before -= gamma / 2 * np.sum((p @ gradients) ** 2)
        held = gradients + errors
        x = x - gamma * (p @ held)
        gradients = federation.gradients(x)
        after = federation.value(x)
        for z in (noise, -noise):
            new = z + compression_errors(
                rng, kind, gradients + z - held, alphas, masks, p @ gradients
            )
            after += weights @ np.sum(new**2, axis=1) / 2
        allowed = (1 - loosened + 1 + 1 / slack) * np.sum(noise**2, axis=1)
        assert after - before - weights @ allowed <= SLACK * (1 + abs(before)), f"seed {seed}"


def test_psi_falls_for_the_library_s_own_ef21_and_top_k():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        federation = build("logistic" if seed % 4 == 0 else "indefinite", rng, dense=True)
        p, constants, (n, d) = federation.p, federation.constants, federation.masks.shape
        compressor, method = TopK(k=int(rng.integers(1, d + 1))), EF21()
        alphas = np.full(n, compressor.alpha(d))
        gamma = step_size("ef21", constants, alpha=alphas[0])
        weights = lyapunov_weights(constants, alphas, gamma, dense_bound(constants, alphas))
        x = 3 * rng.normal(size=d)
        held = federation.gradients(x) + rng.normal(size=(n, d)) * (alphas < 1)[:, None]
        estimate, states = method.estimate(d, x.dtype), [{"estimate": g} for g in held]
        for i, g in enumerate(held):
            estimate.fold(str(i), float(p[i]), Dense(g))
        for _ in range(ROUNDS):
            gradients = federation.gradients(x)
            psi = federation.value(x) + weights @ np.sum((held - gradients) ** 2, axis=1)
            promised = psi - gamma / 2 * np.sum((p @ gradients) ** 2)
            x = x - gamma * estimate.mean()
            gradients = federation.gradients(x)
            for i, gradient in enumerate(gradients):
                message = method.client_step(states[i], gradient, compressor, rng, Turn())
                states[i] = method.commit(states[i], message)
                estimate.fold(str(i), float(p[i]), message)
            held = np.array([state["estimate"] for state in states])
            reached = federation.value(x) + weights @ np.sum((held - gradients) ** 2, axis=1)
            assert reached - promised <= SLACK * (1 + abs(psi)), f"seed {seed}"


# Methods that start without error: (γ/2) Σ‖∇f(x^t)‖² ≤ f(x⁰) − f(x^T)


def sgdm(rng, federation, kind, alphas, options, gamma, x, form):
    eta, p, masks = options["eta"], federation.p, federation.masks
    momentum = federation.gradients(x)
    held = momentum.copy()
    while True:
        yield x
        x = x - gamma * (p @ held)
        gradients = federation.gradients(x)
        momentum = (1 - eta) * momentum + eta * gradients
        errors = compression_errors(rng, kind, momentum - held, alphas, masks, p @ gradients)
        held = momentum + errors


def both_ways(rng, federation, kind, alphas, options, gamma, x, form):
    p, masks = federation.p, federation.masks
    held = federation.gradients(x)
    estimate, down = (p @ held)[None], np.array([options["alpha_down"]])
    one = np.ones((1, masks.shape[1]), dtype=bool)
    while True:
        yield x
        x = x - gamma * estimate[0]
        gradients = federation.gradients(x)
        mean = p @ gradients
        held = gradients + compression_errors(rng, kind, gradients - held, alphas, masks, mean)
        wanted = (p @ held)[None]
        estimate = wanted + compression_errors(rng, kind, wanted - estimate, down, one, mean)


def primal(rng, federation, kind, alphas, options, gamma, x, form):
    p, down = federation.p, np.array([options["alpha_down"]])
    one, w = np.ones((1, len(x)), dtype=bool), x[None]
    while True:
        yield x
        gradient = p @ federation.gradients(w[0])
        x = x - gamma * gradient
        w = x + compression_errors(rng, kind, x - w, down, one, gradient)


@pytest.mark.parametrize("problem", ["convex", "indefinite", "logistic"])
@pytest.mark.parametrize(
    ("method", "form", "run"),
    [
        ("ef21-sgdm", "theory", sgdm),
        ("ef21-sgdm", "simple", sgdm),
        ("ef21-bc", "theory", both_ways),
        ("ef21-p", "theory", primal),
    ],
)
def test_gradients_are_paid_for_by_descent(problem, method, form, run):
    for seed in range(15 if problem == "logistic" else 35):
        rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
        federation = build(problem, rng, dense=True)
        d = federation.masks.shape[1]
        alphas = random_alphas(rng, federation.masks, kind)
        options = {"eta": rng.uniform(0.05, 1), "nonexpansive": kind in NONEXPANSIVE}
        options["alpha_down"] = random_alphas(rng, np.ones((1, d), dtype=bool), kind)[0]
        gamma = step_size(method, federation.constants, alpha=alphas, form=form, **options)
        start = 3 * rng.normal(size=d)
        iterates = run(rng, federation, kind, alphas, options, gamma, start, form)
        paid, first = 0.0, federation.value(start)
        for x, _ in zip(iterates, range(25), strict=False):
            fallen = first - federation.value(x)
            assert paid - fallen <= SLACK * (1 + abs(first) + abs(fallen)), f"seed {seed}, {kind}"
            paid += gamma / 2 * np.sum((federation.p @ federation.gradients(x)) ** 2)


def test_proximal_steps_are_paid_for_by_descent():
    """Φ(x^T) + Σ‖x^(t+1) − x^t‖²/(2γ) ≤ Φ(x⁰) with Φ = f + w‖x‖₁."""
    for seed in range(100):
        rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
        federation = quadratics(rng, convex=seed % 2 == 0)
        p, weight = federation.p, 10.0 ** rng.uniform(-3, 1)
        alphas = random_alphas(rng, federation.masks, kind)
        gamma = step_size("ef21-prox", federation.constants, alpha=alphas)

        def total(x, f=federation.value, weight=weight):
            return f(x) + weight * np.abs(x).sum()

        x = 3 * rng.normal(size=federation.masks.shape[1])
        held, first, paid = federation.gradients(x), total(x), 0.0
        for _ in range(15):
            moved = x - gamma * (p @ held)
            moved = np.sign(moved) * np.maximum(np.abs(moved) - gamma * weight, 0)
            paid += np.sum((moved - x) ** 2) / (2 * gamma)
            x, gradients = moved, federation.gradients(moved)
            assert total(x) + paid - first <= SLACK * (1 + abs(first)), f"seed {seed}, {kind}"
            held = gradients + compression_errors(
                rng, kind, gradients - held, alphas, federation.masks, p @ gradients
            )


# Where the root cannot be improved


def aligned(smoothness, weights, masks):
    """L_i ‖x‖²/2 on the support, so that L = max_j Σ p_i L_i."""
    diagonals = np.array(smoothness)[:, None] * masks
    constants = Constants(
        L=float((np.array(weights) @ diagonals).max()),
        L_i=smoothness,
        weights=weights,
        supports=[np.flatnonzero(mask) for mask in masks],
        dimension=masks.shape[1],
    )
    return Federation(
        lambda x: np.array(weights) @ (diagonals @ x**2) / 2,
        lambda x: diagonals * x,
        masks,
        constants,
    )


def size_after(federation, alpha, gamma, rounds):
    """Return ‖x‖ against ‖x⁰‖ when every compressor overshoots, C(v) = (1 + √(1 − α)) v."""
    p, n = federation.p, len(federation.masks)
    x = np.ones(federation.masks.shape[1])
    first, held = np.linalg.norm(x), federation.gradients(x)
    for _ in range(rounds):
        x = x - gamma * (p @ held)
        gradients = federation.gradients(x)
        held = gradients + compression_errors(
            None, "stretch", gradients - held, np.full(n, alpha), federation.masks, x
        )
    return np.linalg.norm(x) / first


@pytest.mark.parametrize("alpha", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("rare", [False, True])
def test_the_root_is_tight_where_l_equals_the_arithmetic_mean(alpha, rare):
    masks = np.array([[True, False], [True, False], [False, True]]) if rare else np.ones((3, 1))
    federation = aligned([1.0, 5.0, 0.3], [0.5, 0.2, 0.3], masks.astype(bool))
    constants = federation.constants
    gamma = step_size("ef21-rf", constants, alpha=alpha, form="support")
    rounds = round(400 / alpha)
    assert size_after(federation, alpha, gamma, rounds) < 0.01
    assert size_after(federation, alpha, 1.05 * gamma, rounds) > 10
    ascent = worst_ascent(
        np.random.default_rng(0),
        federation,
        "stretch",
        np.full(3, alpha),
        gamma,
        S=support_bound(constants, alpha),
    )
    assert ascent <= SLACK
    if not rare:
        assert gamma == pytest.approx(step_size("ef21", constants, alpha=alpha), rel=1e-12)


def test_the_largest_curvature_of_f_cannot_take_the_place_of_b():
    """Clients that share no coordinate: with errors along one direction root(L, ξL) diverges."""
    n, alpha = 50, 0.5
    curvatures = [Curvature(csr_array(row[None])) for row in np.eye(n)]
    constants = Constants(L=1 / n, L_i=np.ones(n), curvatures=curvatures)
    masks = np.ones((n, n), dtype=bool)
    sizes = {}
    for gamma in (
        0.6 * exact_root(constants.L, constants.L * xi(alpha)),
        step_size("ef21", constants, alpha=alpha, form="curvature"),
    ):
        x = np.ones(n)
        held = np.diag(x)
        for _ in range(200):
            x = x - gamma * held.mean(axis=0)
            vectors = np.diag(x) - held
            held = np.diag(x) + compression_errors(
                None, "uphill", vectors, np.full(n, alpha), masks, x
            )
        sizes[gamma] = np.linalg.norm(x)
    wrong, proved = sizes.values()
    assert wrong > 1e6
    assert proved < np.sqrt(n)
