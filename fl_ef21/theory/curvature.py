"""Bounds Hᵢ of the Hessians, kept as sparse factors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from fl_ef21.theory.eigenvalue import largest_eigenvalue, largest_operator_eigenvalue

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curvature:
    """The matrix H = scale · AᵀA + ridge · diag(J), with −H ⪯ ∇²fᵢ ⪯ H.

    No d × d matrix is ever formed.

    Parameters
    ----------
    factor : csr_array of float64, shape (m, d)
        A, for example a client's rows.
    scale : float
        Non-negative: 1/(4m) for logistic regression, 1/m for least squares.
    ridge : float
        Non-negative: 2λ for the regulariser λ Σ x²/(1 + x²).
    support : ndarray of int, shape (r,), optional
        The coordinates J that ``ridge`` applies to; all by default.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or a position outside [0, d).

    Examples
    --------
    >>> curvature = Curvature(csr_array(np.array([[2.0, 0.0]])), scale=0.25, ridge=0.5)
    >>> curvature.apply(np.array([1.0, 1.0])), curvature.norm()
    (array([1.5, 0.5]), 1.5)
    """

    factor: csr_array
    scale: float = 1.0
    ridge: float = 0.0
    support: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name, value in (("scale", self.scale), ("ridge", self.ridge)):
            if not 0 <= value < inf:
                raise ValueError(f"{name}={value!r} of a curvature is not a number from 0 up")
        if not np.isfinite(self.factor.data).all():
            raise ValueError("the factor of a curvature has an entry that is not finite")
        found = self.support
        if found is not None and found.size and not 0 <= found.min() <= found.max() < self.size:
            raise ValueError(
                f"the support of a curvature has positions {found.min()} to {found.max()}, "
                f"outside [0, {self.size})"
            )

    @property
    def size(self) -> int:
        """Dimension d."""
        return int(self.factor.shape[1])

    @cached_property
    def diagonal(self) -> Array:
        """The vector ridge · J, shape (d,)."""
        values = np.zeros(self.size)
        values[slice(None) if self.support is None else self.support] = self.ridge
        return values

    @cached_property
    def rows(self) -> csr_array:
        """The matrix √scale · A, shape (m, d)."""
        return csr_array(np.sqrt(self.scale) * self.factor)

    def apply(self, v: Array) -> Array:
        """Return H v, shape (d,)."""
        return np.asarray(self.rows.T @ (self.rows @ v) + self.diagonal * v)

    def norm(self) -> float:
        """Return λ_max(H), a smoothness constant Lᵢ."""
        return largest_eigenvalue(self.rows, self.diagonal)


def sum_norm(curvatures: Sequence[Curvature], weights: Sequence[float]) -> float:
    """Return λ_max(Σ wᵢ Hᵢ) for weights wᵢ ≥ 0.

    Examples
    --------
    >>> one = Curvature(csr_array(np.eye(2)))
    >>> sum_norm([one, one], [1.0, 2.0])
    3.0
    """
    # Rows scaled by √wᵢ, one client's below the other's: BᵀB = Σ wᵢ Hᵢ but for the ridges.
    pairs = list(zip(weights, curvatures, strict=True))
    rows = vstack([np.sqrt(w) * c.rows for w, c in pairs], format="csr")
    diagonal = np.sum([w * c.diagonal for w, c in pairs], axis=0)
    return largest_eigenvalue(csr_array(rows), diagonal)


def sum_of_squares_norm(curvatures: Sequence[Curvature], weights: Sequence[float]) -> float:
    """Return λ_max(Σ wᵢ Hᵢ²) for weights wᵢ ≥ 0.

    Examples
    --------
    >>> two = Curvature(csr_array(np.eye(2)), scale=2.0)
    >>> sum_of_squares_norm([two, two], [1.0, 2.0])
    12.0
    """
    pairs = [(w, c) for w, c in zip(weights, curvatures, strict=True) if w > 0]

    def apply(v: Array) -> Array:
        return sum((w * c.apply(c.apply(v)) for w, c in pairs), start=np.zeros_like(v))

    return largest_operator_eigenvalue(apply, curvatures[0].size)
