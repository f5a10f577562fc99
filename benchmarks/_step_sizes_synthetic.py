"""Least-squares federations whose smoothness constants spread as they are told to."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from _step_sizes_data import Array, Federation, stacked
from scipy.sparse import csr_array

from fl_ef21.problems import LeastSquares, Objective

ROWS: Final = 12
"""Of each client, as in the synthetic regression of arXiv 2305.15264."""


@dataclass(frozen=True, eq=False)
class Quadratics(Federation):
    """n losses ½ mean (aᵣᵀx − bᵣ)²."""

    targets: Array

    def losses_and_gradients(self, x: Array) -> tuple[Array, Array]:
        """Return fᵢ and ∇fᵢ at the columns of x, shape (d, B)."""
        residuals = self.rows @ x - self.targets[:, None]
        sums = np.add.reduceat(0.5 * residuals**2, self.starts, axis=0)
        gradients = (self.blocks @ residuals).reshape(self.n, self.d, -1)
        return sums / self.sizes[:, None], gradients


def least_squares(
    name: str, n: int, d: int, spread: float, owners: int | None = None, seed: int = 0
) -> Quadratics:
    """Build one with log Lᵢ uniform in [0, log spread].

    Gaussian rows, on the coordinates that a client owns: all, or each coordinate is given to
    ``owners`` random clients. Targets are those of one Gaussian model, with a tenth of noise.
    """
    rng = np.random.default_rng(seed)
    owned = np.ones((n, d), dtype=bool)
    if owners is not None:
        owned = np.argsort(rng.random((n, d)), axis=0) < owners
    model, objectives = rng.normal(size=d), []
    for client in range(n):
        rows = rng.normal(size=(ROWS, d)) * owned[client]
        rows *= np.sqrt(ROWS * spread ** rng.random()) / np.linalg.norm(rows, 2)
        targets = rows @ model
        targets += 0.1 * targets.std() * rng.normal(size=ROWS)
        objectives.append(Objective(csr_array(rows), targets, LeastSquares()))
    # Signs of targets belong to logistic regression.
    unsigned = [replace(objective, targets=np.ones(ROWS)) for objective in objectives]
    plain = stacked(name, unsigned, 0.0)
    return Quadratics(**vars(plain), targets=np.concatenate([o.targets for o in objectives]))
