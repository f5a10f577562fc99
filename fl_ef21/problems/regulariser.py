"""The non-convex regulariser of the papers' experiments."""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regulariser:
    """The regulariser λ Σⱼ xⱼ² / (1 + xⱼ²), over all coordinates or over a support.

    EF21 (arXiv 2106.05203) and its successors add it to make logistic regression non-convex.
    With a support it is that of the experiments with rare features (arXiv 2305.15264), where a
    client regularises only the coordinates that its rows use.

    Parameters
    ----------
    weight : float
        λ ≥ 0.
    support : ndarray of bool, shape (dim,), optional
        Coordinates that count; all by default.

    Raises
    ------
    ValueError
        If ``weight`` is negative or not finite, or ``support`` is no vector of bools.

    Examples
    --------
    >>> regulariser = Regulariser(0.1, support=np.array([True, False]))
    >>> x = np.array([1.0, 1.0])
    >>> round(regulariser.value(x), 12), regulariser.gradient(x).round(12).tolist()
    (0.05, [0.05, 0.0])
    """

    weight: float
    support: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight < inf:
            raise ValueError(
                f"regularisation weight {self.weight!r} is outside [0, ∞); "
                f"the papers use 0.1, and 0 switches it off"
            )
        if self.support is not None and (self.support.dtype != bool or self.support.ndim != 1):
            raise ValueError(
                f"support has dtype {self.support.dtype} and shape {self.support.shape}; "
                f"give one bool per coordinate"
            )

    def value(self, x: Vector) -> float:
        """Return λ Σⱼ xⱼ² / (1 + xⱼ²) at ``x``, shape (dim,)."""
        # With h = √(1 + x²): (x/h)² overflows for no x, unlike x² / (1 + x²).
        return float(self.weight * np.sum(self._kept(np.square(x / np.hypot(1, x)))))

    def gradient(self, x: Vector) -> Vector:
        """Return the gradient, λ · 2xⱼ / (1 + xⱼ²)² on the support and 0 elsewhere."""
        h = np.hypot(1, x)
        return self._kept(2 * self.weight * (x / h) * (1 / h) ** 3)

    @property
    def smoothness(self) -> float:
        """2λ, the largest second derivative, at xⱼ = 0."""
        return 2 * self.weight

    def curvature(self, dimension: int) -> Vector:
        """Return the bound of each coordinate's second derivative: 2λ, or 0 off the support."""
        return self._kept(np.full(dimension, self.smoothness))

    def _kept(self, vector: Vector) -> Vector:
        return vector if self.support is None else np.where(self.support, vector, 0.0)
