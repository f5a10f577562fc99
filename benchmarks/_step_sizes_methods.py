"""The automatic step size with other methods than EF21, by the library's clients and estimate."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from _step_sizes_data import Array, Federation
from _step_sizes_runs import HOPELESS, move

from fl_ef21.compressors import Compressor, from_text
from fl_ef21.methods import Method, Turn
from fl_ef21.methods import from_text as method_from_text
from fl_ef21.theory.automatic import AutomaticStepSize
from fl_ef21.theory.automatic_noisy import NoisyStepSize

ROUNDS: Final = 300
METHODS: Final = (
    ("ef21:compressed", "topk:0.05"),
    ("ef21+:compressed", "topk:0.05"),
    ("ef21-sgdm:compressed:0.1", "topk:0.05"),
    ("econtrol:compressed:0.01", "topk:0.05"),
    ("diana", "unbiased-randk:0.05"),
    ("marina", "unbiased-randk:0.05"),
    ("dasha", "unbiased-randk:0.05"),
)
MULTIPLES: Final = 4.0 ** np.arange(-4, 5)
"""Of 1/L: the grid of constant steps."""


@dataclass(frozen=True)
class MethodRow:
    """Excess loss of the best constant step, and the automatic one's relative to it."""

    name: str
    method: str
    compressor: str
    rule: str
    best: float
    step: float
    tiny: float
    unit: float

    @property
    def ratios(self) -> tuple[float, float]:
        """Both."""
        return self.tiny, self.unit


def method_rows(problem: Federation) -> Iterator[MethodRow]:
    """Measure every method at whole gradients of all clients."""
    L, lowest = problem.constants.L, problem.lowest()
    for name, text in METHODS:
        method, compressor = method_from_text(name), from_text(text)
        excess = [_loss(problem, method, compressor, step / L) - lowest for step in MULTIPLES]
        best = int(np.argmin(excess))
        rule = NoisyStepSize if method.expects_noise else AutomaticStepSize
        found = [
            _loss(problem, method, compressor, rule(start / L)) - lowest for start in (1e-6, 1.0)
        ]
        tiny, unit = (value / excess[best] for value in found)
        yield MethodRow(
            *(
                problem.name,
                name.partition(":")[0],
                text,
                rule.__name__,
                excess[best],
                float(MULTIPLES[best]),
            ),
            *(tiny, unit),
        )


Rule = AutomaticStepSize | NoisyStepSize


def _loss(problem: Federation, method: Method, compressor: Compressor, step: float | Rule) -> float:
    """Return f after `ROUNDS` rounds; infinite where it explodes."""
    run = _Run(problem, method.fitted(compressor, problem.d), compressor)
    x = kept = last = np.zeros(problem.d)
    state, first = None if isinstance(step, float) else step.start(), inf
    for t in range(ROUNDS):
        losses, gradients = problem.losses_and_gradients(x[:, None])
        losses, loss = losses[:, 0], float(losses.mean())
        first = min(first, HOPELESS * loss)
        if isinstance(step, float) and not loss < first:
            return inf
        mean = run.round(t, gradients[:, :, 0])
        if isinstance(step, float):
            x = x - step * mean
            continue
        norm_squared = float(mean @ mean)
        if isinstance(step, NoisyStepSize):
            told = {str(i): (1.0, float(own)) for i, own in enumerate(losses)}
            state, verdict = step.observe(state, told, norm_squared)
        else:
            state, verdict = step.observe(state, loss, norm_squared, float(mean @ last))
        kept, x = move(verdict, kept, x, mean)
        last = mean if verdict.step_size else last
    loss = float(problem.losses_and_gradients(x[:, None])[0].mean())
    return loss if np.isfinite(loss) else inf


class _Run:
    """The clients and the estimate of one run."""

    def __init__(self, problem: Federation, method: Method, compressor: Compressor) -> None:
        dtype = np.dtype(np.float64)
        self.method, self.compressor, self.size = method, compressor, problem.d
        self.states = [method.start(problem.d, dtype)] * problem.n
        self.estimate = method.estimate(problem.d, dtype)

    def round(self, t: int, gradients: Array) -> Array:
        """Return the mean estimate with the round's messages."""
        coin = self.method.coin(np.random.default_rng(t), self.compressor, self.size)
        turn = Turn(first=t == 0, full=coin)
        self.estimate.begin_round()
        for i, gradient in enumerate(gradients):
            rng = np.random.default_rng([t, i])
            message = self.method.client_step(self.states[i], gradient, self.compressor, rng, turn)
            private = self.method.private(self.states[i], gradient, message, turn)
            self.states[i] = self.method.commit(self.states[i], message, private)
            self.estimate.fold(str(i), 1.0, message)
        return self.estimate.mean()
