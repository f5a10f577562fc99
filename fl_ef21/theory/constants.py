"""The smoothness constants of a federated problem f = Σ pᵢ fᵢ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum, isclose, isfinite, sqrt


@dataclass(frozen=True)
class Constants:
    """L of f, Lᵢ of every fᵢ, and the weights pᵢ.

    Parameters
    ----------
    L : float
        Smoothness of f, positive. At most Σ pᵢ Lᵢ.
    L_i : sequence or array of float
        Smoothness of each fᵢ, positive.
    weights : sequence or array of float, optional
        pᵢ > 0 with sum 1; 1/n each by default.

    Raises
    ------
    ValueError
        If a constant is not finite and positive, or the weights do not fit.

    Examples
    --------
    >>> constants = Constants(L=2.0, L_i=[1.0, 7.0])
    >>> constants.arithmetic_mean, constants.quadratic_mean
    (4.0, 5.0)
    """

    L: float
    L_i: Sequence[float]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "L_i", tuple(float(value) for value in self.L_i))
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(float(value) for value in self.weights))
        for name, value in [("L", self.L), *((f"L_i[{i}]", v) for i, v in enumerate(self.L_i))]:
            if not isfinite(value) or value <= 0:
                raise ValueError(f"{name}={value!r} is not a positive number")
        if not self.L_i:
            raise ValueError("L_i is empty; give one smoothness constant for each client")
        p = self.p
        if len(p) != len(self.L_i) or any(w <= 0 for w in p) or not isclose(fsum(p), 1):
            raise ValueError(
                f"weights must be {len(self.L_i)} positive numbers with sum 1, got {len(p)} "
                f"with sum {fsum(p):g}; divide them by their sum"
            )

    @cached_property
    def p(self) -> tuple[float, ...]:
        """The weights pᵢ, 1/n each unless given."""
        n = len(self.L_i)
        return (1 / n,) * n if self.weights is None else tuple(self.weights)

    @property
    def arithmetic_mean(self) -> float:
        """L_AM = Σ pᵢ Lᵢ, the constant of Reloaded (arXiv 2402.10774)."""
        return fsum(p * L for p, L in zip(self.p, self.L_i, strict=True))

    @property
    def quadratic_mean(self) -> float:
        """L_QM = √(Σ pᵢ Lᵢ²), the constant of EF21 (arXiv 2106.05203)."""
        return sqrt(fsum(p * L**2 for p, L in zip(self.p, self.L_i, strict=True)))
