"""EF21 Top-k on many columns at once: constant steps, and the library's automatic ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from _step_sizes_data import Array, Federation

from fl_ef21.theory.automatic import AutomaticStepSize, Verdict
from fl_ef21.theory.automatic_noisy import NoisyStepSize
from fl_ef21.theory.automatic_sampled import SampledStepSize

HOPELESS = 1000
"""How many times the first loss a constant step may reach before it is given up."""


@dataclass(frozen=True)
class Reached:
    """The round in which a target was reached, by which column, and the loss there."""

    rounds: float
    column: int
    loss: float


def top_k(vectors: Array, k: int | Sequence[int]) -> Array:
    """Keep the k largest magnitudes along the middle axis of (n, d, B)."""
    kept = np.zeros_like(vectors)
    if not isinstance(k, int):
        for client, count in enumerate(k):
            kept[client] = top_k(vectors[client : client + 1], count)[0]
        return kept
    magnitudes = np.abs(vectors)
    if k == 1:
        places = magnitudes.argmax(axis=1)[:, None, :]
    else:
        k = min(k, vectors.shape[1])
        places = np.argpartition(magnitudes, -k, axis=1)[:, -k:, :]
    np.put_along_axis(kept, places, np.take_along_axis(vectors, places, axis=1), axis=1)
    return kept


def first_constant(
    problem: Federation, k: int | Sequence[int], steps: Array, target: float, cap: int
) -> Reached:
    """Run constant steps side by side until one has ‖∇f‖² ≤ target: that is the best.

    A step is given up when its loss explodes, or after 20 rounds when it is 32 times shorter than
    the one with the lowest loss: it would need more rounds.
    """
    columns, x = np.arange(len(steps)), np.zeros((problem.d, len(steps)))
    losses, gradients = problem.losses_and_gradients(x)
    estimates, first = gradients.copy(), losses.mean()
    for t in range(cap + 1):
        loss, gradient = losses.mean(axis=0), gradients.mean(axis=0)
        norms = (gradient**2).sum(axis=0)
        if (norms <= target).any():
            best = np.flatnonzero(norms <= target)
            best = best[loss[best].argmin()]
            return Reached(t, int(columns[best]), float(loss[best]))
        going = loss < HOPELESS * first
        if t >= 20 and going.any():
            going &= 32 * steps >= steps[np.where(going, loss, inf).argmin()]
        if not going.any():
            break
        if not going.all():
            x, estimates, steps = x[:, going], estimates[:, :, going], steps[going]
            columns = columns[going]
        x = x - steps * estimates.mean(axis=0)
        losses, gradients = problem.losses_and_gradients(x)
        estimates = estimates + top_k(gradients - estimates, k)
    return Reached(inf, -1, inf)


def descend(problem: Federation, target: float, cap: int) -> int:
    """Return the rounds of gradient descent with 1/L."""
    x, step = np.zeros((problem.d, 1)), 1 / problem.constants.L
    for t in range(cap):
        gradient = problem.losses_and_gradients(x)[1].mean(axis=0)
        if np.sum(gradient**2) <= target:
            return t
        x = x - step * gradient
    return cap


def automatic(
    problem: Federation, k: int, initial: float, target: float, cap: int
) -> tuple[Reached, int]:
    """Run EF21 with full participation and the automatic step; also return the rejections."""
    rule, x = AutomaticStepSize(initial), np.zeros(problem.d)
    state, kept, last, rejected = rule.start(), x, np.zeros(problem.d), 0
    losses, gradients = problem.losses_and_gradients(x[:, None])
    estimates = gradients.copy()
    for t in range(cap + 1):
        loss, norm = float(losses.mean()), float(np.sum(gradients.mean(axis=0) ** 2))
        if norm <= target:
            return Reached(t, 0, loss), rejected
        mean = estimates.mean(axis=0)[:, 0]
        state, verdict = rule.observe(state, loss, float(mean @ mean), float(mean @ last))
        kept, x = move(verdict, kept, x, mean)
        rejected += not verdict.accepted
        last = mean if verdict.step_size else last
        losses, gradients = problem.losses_and_gradients(x[:, None])
        estimates += top_k(gradients - estimates, k)
    return Reached(inf, -1, inf), rejected


def move(verdict: Verdict, kept: Array, x: Array, mean: Array) -> tuple[Array, Array]:
    """Return the model to go back to, and the next one."""
    origin = x if verdict.accepted else kept
    return origin if verdict.kept else kept, origin - verdict.step_size * mean


@dataclass(frozen=True)
class Sampling:
    """What makes a round noisy: the share of clients in it, and the rows of a minibatch."""

    participation: float = 1.0
    batch: int | None = None
    seed: int = 0


def sampled_losses(
    problem: Federation,
    k: int,
    constant: Sequence[float],
    initials: Sequence[float],
    rounds: int,
    sampling: Sampling,
) -> Array:
    """Return f after ``rounds`` for constant steps and for automatic ones, on the same samples."""
    rng, width = np.random.default_rng(sampling.seed), len(constant) + len(initials)
    rule = SampledStepSize if sampling.batch is None else NoisyStepSize
    rules = [rule(start, sampling.participation) for start in initials]
    states = [rule.start() for rule in rules]
    x, kept = np.zeros((2, problem.d, width))
    steps = np.array([*constant, *initials])
    takes_part = np.ones(problem.n, dtype=bool)
    estimates = np.zeros((problem.n, problem.d, width))
    for t in range(rounds):
        losses, gradients = _drawn(problem, x, rng, sampling)
        change = gradients - estimates if t == 0 else top_k(gradients - estimates, k)
        estimates += np.where(np.isfinite(change), change, 0) * takes_part[:, None, None]
        means = estimates.mean(axis=0)
        norms = (means**2).sum(axis=0)
        moved = x - steps * means
        for place, chooser in enumerate(rules):
            column = len(constant) + place
            told = {str(i): (1.0, float(losses[i, column])) for i in np.flatnonzero(takes_part)}
            states[place], verdict = chooser.observe(states[place], told, float(norms[column]))
            kept[:, column], moved[:, column] = move(
                verdict, kept[:, column], x[:, column], means[:, column]
            )
        x = moved
        chosen = rng.choice(problem.n, max(1, round(sampling.participation * problem.n)), False)
        takes_part = np.isin(np.arange(problem.n), chosen)
    return problem.losses_and_gradients(x)[0].mean(axis=0)


def _drawn(
    problem: Federation, x: Array, rng: np.random.Generator, sampling: Sampling
) -> tuple[Array, Array]:
    if sampling.batch is None:
        return problem.losses_and_gradients(x)
    return problem.batch(x, rng, sampling.batch)
