"""Adaptive steps: what Adam, Yogi and Adagrad on the server share (FedOpt).

Reddi et al. 2020 (arXiv 2003.00295), Algorithm 2. From m = v = 0, coordinate by coordinate:

    m ← β₁ m + (1 − β₁) ḡ,  v ← V(v, ḡ²),  x ← x − γ m / (√v + τ)

The paper starts v at τ² or above; Flower's FedAdam, FedYogi and FedAdagrad start it at 0, and so do
these, so that uncompressed runs are theirs.
"""

from abc import abstractmethod
from math import inf
from typing import Self

import numpy as np

from fl_ef21.compressors.arguments import is_number
from fl_ef21.methods.arguments import number, share
from fl_ef21.methods.server.step import Float64, ServerState, ServerStep

FIRST = "first-moment"
SECOND = "second-moment"


class Adaptive(ServerStep):
    """A step that each coordinate's own past makes longer or shorter.

    Parameters
    ----------
    beta_1 : float
        β₁ in [0, 1), momentum.
    tau : float
        τ > 0: the smaller, the more adaptive. It is in the unit of the estimate.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(self, beta_1: float, tau: float) -> None:
        self.beta_1 = forgetting("beta_1", beta_1)
        if not is_number(tau) or not 0 < tau < inf:
            raise ValueError(f"tau={tau!r} is not a positive number; 0.001 is usual")
        self.tau = float(tau)

    def step(
        self, state: ServerState, model: Float64, estimate: Float64, step_size: float
    ) -> tuple[Float64, ServerState]:
        """Return x − γ m / (√v + τ) with the new m and v."""
        zero = np.zeros_like(estimate)
        first = self.beta_1 * state.get(FIRST, zero) + (1 - self.beta_1) * estimate
        second = self.second_moment(state.get(SECOND, zero), estimate**2)
        moved = model - step_size * first / (np.sqrt(second) + self.tau)
        return moved, {FIRST: first, SECOND: second}

    @abstractmethod
    def second_moment(self, before: Float64, squared: Float64) -> Float64:
        """Return the new v from the old one and ḡ²; neither is changed."""

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from none, some or all of the numbers, in the order of the constructor."""
        names = cls.parameters()
        if len(arguments) > len(names):
            raise ValueError(
                f"{cls.name} takes at most {':'.join(names)}, got {':'.join(arguments)}"
            )
        given = zip(names, arguments, strict=False)
        return cls(**{name: number(name, text) for name, text in given})

    @classmethod
    @abstractmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the constructor's parameters."""

    def __str__(self) -> str:
        return ":".join([self.name, *(repr(getattr(self, name)) for name in self.parameters())])


def forgetting(name: str, value: object) -> float:
    """Return a weight in [0, 1) of what was before.

    Raises
    ------
    ValueError
        If it is none.
    """
    checked = share(name, value, above_zero=False)
    if checked == 1:
        raise ValueError(f"{name}=1 never forgets; choose one in [0, 1), for example 0.9")
    return checked
