"""A method at its theory step, and at powers of two or four times that."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fl_ef21.experiments.answering import PARAMETERS
from fl_ef21.experiments.arm import Arm, common_options
from fl_ef21.experiments.problem import Problem
from fl_ef21.flower.protocol.layout import ArraySpec, Layout
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy
from fl_ef21.flower.strategies.build import strategy_from_texts
from fl_ef21.theory import Constants, StepSize

KINDS = {"derived": "derived here"}
"""How kinds of step sizes are called where people read them."""


def theory_step(
    strategy: ErrorFeedbackStrategy, constants: Constants, dimension: int, form: str = "theory"
) -> StepSize:
    """Return the step that theory has for a strategy."""
    layout = Layout((ArraySpec(PARAMETERS, (dimension,), np.dtype(np.float64)),))
    return strategy.recipe(layout).step_size(form, constants)


def multiples_of_theory(
    experiment: str,
    problem: Problem,
    name: str,
    method: str,
    compressor: str,
    multiples: Sequence[float],
    *,
    seed: int = 0,
    participation: float = 1.0,
    **texts: Any,  # noqa: ANN401 - those of strategy_from_texts
) -> Iterator[Arm]:
    """Yield a method's arms: its theory step times each multiple.

    Parameters
    ----------
    experiment, problem, name
        Of the arms.
    method, compressor : str
        As on the command line.
    multiples : sequence of float
        In the order in which they are run.
    seed : int
        Of what is random.
    participation : float
        Share of the clients in a round.
    **texts
        More of :func:`~fl_ef21.flower.strategies.build.strategy_from_texts`.
    """
    options = common_options(problem, seed, participation)
    del options["fraction_train"]

    def built(step: float) -> ErrorFeedbackStrategy:
        return strategy_from_texts(
            method, compressor, step, participation=participation, **texts, **options
        )

    found = theory_step(built(1.0), problem.constants, problem.dimension)
    for multiple in multiples:
        times = "" if multiple == 1 else f"{multiple:g} × "
        kind = KINDS.get(found.kind, found.kind) if multiple == 1 else "empirical"
        strategy = built(multiple * found.value)
        yield Arm(
            experiment, problem.name, name, strategy, f"{times}{found.formula}", kind, multiple
        )


def powers(base: int, last: float) -> list[float]:
    """Return 1 and the powers of a base up to a number.

    Examples
    --------
    >>> powers(4, 100)
    [1.0, 4.0, 16.0, 64.0]
    """
    return [float(base) ** i for i in range(int(np.log(last) / np.log(base) + 1e-9) + 1)]
