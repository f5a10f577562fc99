"""Least-squares federations whose smoothness and supports are as they are asked for."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fl_ef21.problems.least_squares import LeastSquares
from fl_ef21.problems.objective import Objective
from fl_ef21.problems.regulariser import Regulariser

NOISE = 0.1
"""Of the targets, as a share of their standard deviation."""
DRAWS = 1000
"""Of the owners, until every client owns a coordinate."""


def least_squares_federation(
    smoothness: Sequence[float],
    dimension: int,
    *,
    smallest: float | None = None,
    owners: int | None = None,
    rows: int = 12,
    regularisation: float = 0.0,
    seed: int = 0,
) -> tuple[Objective, ...]:
    """Draw clients' least squares ½ mean (aᵀx − b)², with targets of one Gaussian model and noise.

    Parameters
    ----------
    smoothness : sequence of float
        λ_max(AᵢᵀAᵢ)/m of each client, positive. The regulariser adds 2λ to it.
    dimension : int
        d.
    smallest : float, optional
        The smallest eigenvalue that is not 0: eigenvalues then lie evenly between the two. By
        default rows are Gaussian.
    owners : int, optional
        Clients, drawn for each coordinate, that own it, as in the experiments with rare features
        (arXiv 2305.15264); by default all own all.
    rows : int
        m, of each client; 12 in those experiments.
    regularisation : float
        Weight λ ≥ 0 of the papers' non-convex regulariser, on a client's own coordinates.
    seed : int
        Decides everything.

    Raises
    ------
    ValueError
        If ``owners`` is out of range, or some client would own nothing.

    Examples
    --------
    >>> first, second = least_squares_federation([1.0, 9.0], 6)
    >>> round(first.smoothness(), 9), round(second.smoothness(), 9), first.dimension
    (1.0, 9.0, 6)
    """
    n = len(smoothness)
    if owners is not None and not 1 <= owners <= n:
        raise ValueError(f"owners={owners} is outside [1, {n}], the number of clients")
    rng = np.random.default_rng(seed)
    owned = np.ones((n, dimension), dtype=bool)
    if owners is not None:
        owned = _drawn(n, dimension, owners, rng)
    model = rng.normal(size=dimension)

    def objective(client: int) -> Objective:
        mine = owned[client]
        inside = rng.normal(size=(rows, int(mine.sum())))
        features = np.zeros((rows, dimension))
        features[:, mine] = _shaped(inside, smoothness[client], smallest)
        targets = features @ model
        targets += NOISE * targets.std() * rng.normal(size=rows)
        support = None if owners is None else mine
        regulariser = Regulariser(regularisation, support if regularisation else None)
        return Objective(csr_array(features), targets, LeastSquares(), regulariser)

    return tuple(objective(client) for client in range(n))


def _drawn(n: int, dimension: int, owners: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which clients own which coordinates, shape (n, d), so that each owns one."""
    for _ in range(DRAWS):
        owned = np.argsort(rng.random((n, dimension)), axis=0) < owners
        if owned.any(axis=1).all():
            return np.asarray(owned)
    raise ValueError(
        f"{owners} owners for each of {dimension} coordinates leave some of {n} clients with "
        f"none; give more owners or coordinates"
    )


def _shaped(
    features: NDArray[np.float64], largest: float, smallest: float | None
) -> NDArray[np.float64]:
    """Return rows with the eigenvalues of AᵀA/m that are asked for."""
    left, values, right = np.linalg.svd(features, full_matrices=False)
    wanted = values * sqrt(len(features) * largest) / values[0]
    if smallest is not None:
        wanted = np.sqrt(len(features) * np.linspace(largest, smallest, len(values)))
    return np.asarray((left * wanted) @ right)
