"""One line of a figure: a method with a step size on a problem, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from fl_ef21.experiments.problem import Problem
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy

REACHED: Final = "reached"
STOPPED: Final = "stopped"
DIVERGED: Final = "diverged"


@dataclass(frozen=True)
class Arm:
    """A method with a step size on a problem.

    Attributes
    ----------
    experiment, problem, name : str
        The figure, its panel and the line in it; the three together are the ``method`` of the
        history.
    strategy : ErrorFeedbackStrategy
        With its step size.
    step : str
        Where the step comes from: a formula, or what was tried.
    kind : str
        ``published``, ``derived here``, ``recalled`` or ``empirical``.
    multiple : float
        The step over the theory step of the same method.
    minibatch : int
        Rows of a client's gradient, 0 for all.
    """

    experiment: str
    problem: str
    name: str
    strategy: ErrorFeedbackStrategy
    step: str
    kind: str
    multiple: float = 1.0
    minibatch: int = 0

    @property
    def panel(self) -> str:
        """The panel that the line is in."""
        return f"{self.experiment}: {self.problem}"

    @property
    def method(self) -> str:
        """The label in the history, which no other arm has."""
        times = "" if self.multiple == 1 else f" ×{self.multiple:g}"
        return f"{self.panel}, {self.name}{times}"


@dataclass(frozen=True)
class Outcome:
    """How an arm ended.

    Attributes
    ----------
    arm : Arm
        Which one.
    end : str
        ``reached`` the target, ``stopped`` after all rounds, or ``diverged``.
    rounds : int
        Until then.
    first, last : float
        ‖∇f‖² at the start and at the end.
    first_loss, last_loss : float
        f there.
    bits : float
        Uplink payload, bits per client.
    totals : mapping
        What the summary says.
    """

    arm: Arm
    end: str
    rounds: int
    first: float
    last: float
    first_loss: float
    last_loss: float
    bits: float
    totals: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def rounds_to_target(self) -> float:
        """Rounds, or ∞ where the target was not reached."""
        return self.rounds if self.end == REACHED else inf

    @property
    def bits_to_target(self) -> float:
        """Uplink payload in bits per client, or ∞ where the target was not reached."""
        return self.bits if self.end == REACHED else inf

    @property
    def merit(self) -> tuple[float, float]:
        """What is smaller for a better one: rounds to the target, then how near it came."""
        return self.rounds_to_target, self.last if self.last == self.last else inf

    @property
    def rises(self) -> bool:
        """Whether it went away from the solution: no number, or f above where it began."""
        return self.end == DIVERGED or not self.last_loss <= self.first_loss * (1 + 1e-9)


def common_options(problem: Problem, seed: int, participation: float = 1.0) -> dict[str, Any]:
    """Return the strategies' options that all arms share.

    Parameters
    ----------
    problem : Problem
        All of its clients have to be there.
    seed : int
        Of what is random.
    participation : float
        Share of the clients in a round.
    """
    clients = len(problem.objectives)
    return {
        "signal": "gradient",
        "seed": seed,
        "fraction_train": participation,
        "fraction_evaluate": 0.0,
        "min_train_nodes": max(1, round(participation * clients)),
        "min_available_nodes": clients,
    }
