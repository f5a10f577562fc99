"""A regulariser that the server knows: its gradient never travels.

Kept out of the clients' losses it leaves their supports rare and their Lᵢ smaller (derived here):

    ḡ ← ḡ + ∇r(x), then any other step
"""

from math import isfinite
from typing import Final, Self

import numpy as np

from fl_ef21.compressors.arguments import is_number
from fl_ef21.methods.arguments import number
from fl_ef21.methods.server.descent import Descent
from fl_ef21.methods.server.step import Float64, ServerState, ServerStep

KINDS: Final = ("nonconvex", "l2")


class Regularised(ServerStep):
    """Add ∇r(x) to the estimate: r = λΣx²/(1 + x²), or (λ/2)‖x‖².

    Parameters
    ----------
    kind : {"nonconvex", "l2"}
        Which r; the first is the papers'.
    weight : float
        λ ≥ 0.
    step : ServerStep
        What follows; plain descent by default.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> Regularised("l2", 2.0).step({}, np.array([3.0]), np.array([1.0]), 0.1)[0]
    array([2.3])
    """

    name = "regularised"

    def __init__(self, kind: str, weight: float, step: ServerStep | None = None) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} is unknown; choose one of {', '.join(KINDS)}")
        if not is_number(weight) or not isfinite(weight) or weight < 0:
            raise ValueError(f"weight={weight!r} is not a number from 0 up")
        self.kind = kind
        self.weight = float(weight)
        self.then = step if step is not None else Descent()

    def gradient(self, model: Float64) -> Float64:
        """Return ∇r(x)."""
        if self.kind == "l2":
            return self.weight * model
        return self.weight * 2 * model / (1 + model**2) ** 2

    def penalty(self, model: Float64) -> float:
        """Return r(x), and what the other step adds."""
        if self.kind == "l2":
            value = self.weight / 2 * float(np.sum(model**2))
        else:
            value = self.weight * float(np.sum(model**2 / (1 + model**2)))
        return value + self.then.penalty(model)

    def direction(self, model: Float64, estimate: Float64) -> Float64:
        """Return ḡ + ∇r(x)."""
        return estimate + self.gradient(model)

    def step(
        self, state: ServerState, model: Float64, estimate: Float64, step_size: float
    ) -> tuple[Float64, ServerState]:
        """Return what the other step makes of ḡ + ∇r(x)."""
        return self.then.step(state, model, self.direction(model, estimate), step_size)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[kind, weight]``."""
        if len(arguments) != 2:
            raise ValueError(
                f"regularised is written regularised:nonconvex:0.1 or regularised:l2:0.1, "
                f"got {arguments}"
            )
        return cls(arguments[0], number("weight", arguments[1]))

    def __str__(self) -> str:
        text = f"{self.name}:{self.kind}:{self.weight!r}"
        return text if self.then == Descent() else f"{text}|{self.then}"
