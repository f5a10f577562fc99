"""The smoothness constants of a federated problem f = Σ pᵢ fᵢ."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum, isclose, isfinite, sqrt

import numpy as np
from numpy.typing import ArrayLike

from fl_ef21.compressors.support import Support
from fl_ef21.theory.curvature import Curvature


@dataclass(frozen=True)
class Constants:
    """L of f, Lᵢ of every fᵢ, the weights pᵢ, and what else is known of the problem.

    Parameters
    ----------
    L : float
        Smoothness of f, positive. At most Σ pᵢ Lᵢ.
    L_i : sequence or array of float
        Smoothness of each fᵢ, positive.
    weights : sequence or array of float, optional
        pᵢ > 0 with sum 1; 1/n each by default.
    supports : sequence of Support or of int arrays, optional
        Jᵢ, the coordinates that fᵢ depends on, as strictly increasing positions; all by default.
    curvatures : sequence of Curvature, optional
        Hᵢ with −Hᵢ ⪯ ∇²fᵢ ⪯ Hᵢ and λ_max(Hᵢ) ≤ Lᵢ.
    mu : float, optional
        μ in (0, L] of the Polyak–Łojasiewicz inequality ‖∇f‖² ≥ 2μ (f − f*).
    dimension : int, optional
        d; taken from ``curvatures`` or the `Support` values where they are given.

    Raises
    ------
    ValueError
        If a constant is not finite and positive, or weights, supports or curvatures do not fit.

    Examples
    --------
    >>> constants = Constants(L=2.0, L_i=[1.0, 7.0], supports=[[0, 1], [1, 2]], dimension=3)
    >>> constants.arithmetic_mean, constants.quadratic_mean
    (4.0, 5.0)
    >>> constants.support_sizes, constants.most_owners
    ((2, 2), 2)
    """

    L: float
    L_i: Sequence[float]
    weights: Sequence[float] | None = None
    supports: Sequence[Support] | Sequence[ArrayLike] | None = None
    curvatures: Sequence[Curvature] | None = None
    mu: float | None = None
    dimension: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "L", float(self.L))
        if self.mu is not None:
            object.__setattr__(self, "mu", float(self.mu))
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
        # A little above L is rounding: for one quadratic in one dimension they are equal.
        if self.mu is not None and not 0 < self.mu <= self.L * (1 + 1e-9):
            raise ValueError(f"mu={self.mu!r} is outside (0, L={self.L!r}]")
        self._settle_geometry()

    def _settle_geometry(self) -> None:
        """Bring curvatures, dimension and supports into one form, and check that they fit."""
        for name, values in (("supports", self.supports), ("curvatures", self.curvatures)):
            if values is not None and len(values) != self.n:
                raise ValueError(f"{len(values)} {name} for {self.n} clients; give one for each")
        if self.curvatures is not None:
            object.__setattr__(self, "curvatures", tuple(self.curvatures))
        sizes = {self.dimension} if self.dimension is not None else set()
        sizes |= {curvature.size for curvature in self.curvatures or ()}
        sizes |= {s.size for s in self.supports or () if isinstance(s, Support)}
        if len(sizes) > 1:
            raise ValueError(f"supports, curvatures and dimension differ in d: {sorted(sizes)}")
        if sizes:
            object.__setattr__(self, "dimension", sizes.pop())
        if self.supports is not None:
            object.__setattr__(self, "supports", self._as_supports(self.supports))

    def _as_supports(self, found: Sequence[Support] | Sequence[ArrayLike]) -> tuple[Support, ...]:
        if self.dimension is None:
            raise ValueError("supports are positions within [0, d): give d as dimension=")

        def support(client: int, positions: Support | ArrayLike) -> Support:
            if isinstance(positions, Support):
                return positions
            try:
                return Support(self.dimension or 0, _whole_numbers(positions))
            except ValueError as error:
                raise ValueError(f"supports[{client}]: {error}") from error

        return tuple(support(client, positions) for client, positions in enumerate(found))

    @property
    def n(self) -> int:
        """Number of clients."""
        return len(self.L_i)

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

    @property
    def equal_weight_smoothness(self) -> tuple[float, ...]:
        """The constants n pᵢ Lᵢ of n pᵢ fᵢ: with those, f is the plain mean over the clients.

        Theorems that are stated for equal weights are used through them.
        """
        return tuple(self.n * p * L for p, L in zip(self.p, self.L_i, strict=True))

    @cached_property
    def support_sizes(self) -> tuple[int, ...]:
        """rᵢ = |Jᵢ|, the number of coordinates that fᵢ depends on.

        Raises
        ------
        ValueError
            If neither supports nor the dimension are known.
        """
        supports = self._supports()
        if supports is not None:
            return tuple(support.indices.size for support in supports)
        if self.dimension is None:
            raise ValueError("r_i needs supports= or, where they are dense, dimension=")
        return (self.dimension,) * self.n

    @cached_property
    def most_owners(self) -> int:
        """Number c = max_j |I_j|: the most clients of a coordinate; n for dense supports."""
        return round(self.largest_sum((1.0,) * self.n))

    def largest_sum(self, values: Sequence[float]) -> float:
        """Return max_j Σ_{i ∈ I_j} aᵢ over the coordinates j, with I_j the clients that own j.

        Parameters
        ----------
        values : sequence of float, length n
            aᵢ ≥ 0.
        """
        supports = self._supports()
        if supports is None:
            return fsum(values)
        totals = np.zeros(self.dimension or 0)
        for support, value in zip(supports, values, strict=True):
            totals[support.indices] += value
        return float(totals.max())

    def _supports(self) -> tuple[Support, ...] | None:
        if self.supports is None:
            return None
        return tuple(support for support in self.supports if isinstance(support, Support))


def _whole_numbers(positions: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    array = np.asarray(positions)
    if array.dtype.kind not in "iu":
        raise ValueError(f"positions of dtype {array.dtype} are not whole numbers")
    return array.astype(np.int64)
