"""Proximal steps: EF21-Prox, for a convex r that the server knows.

Fatkhullin et al. 2021 (arXiv 2110.03294):

    x ← prox_{γr}(x − γ ḡ),  prox_{γr}(y) = argmin_z r(z) + ‖z − y‖²/(2γ)
"""

from math import isfinite
from typing import Final, Self

import numpy as np

from fl_ef21.compressors.arguments import is_number
from fl_ef21.methods.arguments import number
from fl_ef21.methods.server.step import NO_STATE, Float64, ServerState, ServerStep

NORMS: Final = ("l1", "l2")


class Prox(ServerStep):
    """r(x) = λ‖x‖₁ (soft threshold) or r(x) = (λ/2)‖x‖² (shrinkage).

    Parameters
    ----------
    norm : {"l1", "l2"}
        Which r.
    weight : float
        λ ≥ 0.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> Prox("l1", 1.0).step({}, np.array([3.0, 0.5]), np.array([0.0, 0.0]), 1.0)[0]
    array([2., 0.])
    """

    name = "prox"

    def __init__(self, norm: str, weight: float) -> None:
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is unknown; choose one of {', '.join(NORMS)}")
        if not is_number(weight) or not isfinite(weight) or weight < 0:
            raise ValueError(f"weight={weight!r} is not a number from 0 up")
        self.norm = norm
        self.weight = float(weight)

    def penalty(self, model: Float64) -> float:
        """Return r(x)."""
        if self.norm == "l2":
            return self.weight / 2 * float(np.sum(model**2))
        return self.weight * float(np.sum(np.abs(model)))

    def step(
        self,
        state: ServerState,  # noqa: ARG002
        model: Float64,
        estimate: Float64,
        step_size: float,
    ) -> tuple[Float64, ServerState]:
        """Return the proximal point of x − γ ḡ."""
        forward, threshold = model - step_size * estimate, step_size * self.weight
        if self.norm == "l2":
            return forward / (1 + threshold), NO_STATE
        return np.sign(forward) * np.maximum(np.abs(forward) - threshold, 0), NO_STATE

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[norm, weight]``."""
        if len(arguments) != 2:
            raise ValueError(f"prox is written prox:l1:0.01 or prox:l2:0.01, got {arguments}")
        return cls(arguments[0], number("weight", arguments[1]))

    def __str__(self) -> str:
        return f"{self.name}:{self.norm}:{self.weight!r}"


class Box(ServerStep):
    """r is 0 within a box and ∞ outside: the model is projected onto [low, high]^d.

    Parameters
    ----------
    low, high : float
        With low < high.

    Raises
    ------
    ValueError
        If the box is empty.

    Examples
    --------
    >>> Box(-1, 1).step({}, np.array([3.0, 0.5]), np.array([0.0, 0.0]), 1.0)[0]
    array([1. , 0.5])
    """

    name = "box"

    def __init__(self, low: float, high: float) -> None:
        if not low < high:
            raise ValueError(f"low={low!r} must be below high={high!r}")
        self.low, self.high = float(low), float(high)

    def step(
        self,
        state: ServerState,  # noqa: ARG002
        model: Float64,
        estimate: Float64,
        step_size: float,
    ) -> tuple[Float64, ServerState]:
        """Return x − γ ḡ, clipped."""
        return np.clip(model - step_size * estimate, self.low, self.high), NO_STATE

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[low, high]``."""
        if len(arguments) != 2:
            raise ValueError(f"box is written box:-1:1, got {arguments}")
        return cls(number("low", arguments[0]), number("high", arguments[1]))

    def __str__(self) -> str:
        return f"{self.name}:{self.low!r}:{self.high!r}"
