"""Federations of logistic regressions that compute many models at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import block_diag, csr_array, vstack
from scipy.sparse.linalg import norm

from fl_ef21.data import Dataset, load, partition, partition_from_text
from fl_ef21.problems import Objective, federated_constants, federated_objectives
from fl_ef21.theory import Constants

Array = NDArray[np.float64]

CLIENTS: Final = {"mushrooms": 20, "phishing": 20, "a9a": 40, "w8a": 50}


@dataclass(frozen=True, eq=False)
class Federation:
    """n logistic regressions with λΣx²/(1 + x²), each row bᵣaᵣ once, one client below the other.

    Arrays over clients and models have the shapes (n, B) and (n, d, B).
    """

    name: str
    n: int
    d: int
    rows: csr_array
    blocks: csr_array
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    lam: float
    kept: Array
    constants: Constants

    def losses_and_gradients(self, x: Array) -> tuple[Array, Array]:
        """Return fᵢ and ∇fᵢ at the columns of x, shape (d, B)."""
        margins = self.rows @ x
        small = np.exp(-np.abs(margins))
        sums = np.add.reduceat(np.log1p(small) - np.minimum(margins, 0), self.starts, axis=0)
        slopes = np.where(margins >= 0, small, 1.0) / (1 + small)
        gradients = -(self.blocks @ slopes).reshape(self.n, self.d, -1)
        return self._regularised(x, sums / self.sizes[:, None], gradients)

    def batch(self, x: Array, rng: np.random.Generator, size: int) -> tuple[Array, Array]:
        """Return the same of ``size`` rows of every client, drawn with replacement."""
        drawn = self.starts[:, None] + rng.integers(self.sizes[:, None], size=(self.n, size))
        rows = self.rows[drawn.ravel()].toarray().reshape(self.n, size, self.d)
        margins = rows @ x
        small = np.exp(-np.abs(margins))
        losses = (np.log1p(small) - np.minimum(margins, 0)).mean(axis=1)
        slopes = np.where(margins >= 0, small, 1.0) / (1 + small) / size
        return self._regularised(x, losses, -(rows.transpose(0, 2, 1) @ slopes))

    def _regularised(self, x: Array, losses: Array, gradients: Array) -> tuple[Array, Array]:
        if not self.lam:
            return losses, gradients
        squares = x * x
        losses = losses + self.lam * self.kept @ (squares / (1 + squares))
        return losses, gradients + self.kept[:, :, None] * (2 * self.lam * x / (1 + squares) ** 2)

    @lru_cache(maxsize=64)  # noqa: B019
    def lowest(self) -> float:
        """Return the loss that L-BFGS reaches from x = 0: f*, if f is convex."""

        def value(x: Array) -> tuple[float, Array]:
            losses, gradients = self.losses_and_gradients(x[:, None])
            return float(losses.mean()), gradients.mean(axis=0)[:, 0]

        options: dict[str, Any] = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-14, "gtol": 1e-8}
        return float(
            minimize(value, np.zeros(self.d), jac=True, method="L-BFGS-B", options=options).fun
        )


def federation(
    name: str,
    split: str,
    lam: float,
    rows: int | None,
    *,
    clients: int = 0,
    own: bool = False,
    even: bool = False,
) -> Federation:
    """Build one from a data set of which every s-th row is kept, so that about ``rows`` are left.

    ``own`` restricts the regulariser to the coordinates that a client's rows use. ``even`` leaves
    the longest rows out, so that all clients have equally many.
    """
    data, clients = _thinned(name, rows), clients or CLIENTS[name]
    if even:
        data = _evened(data, clients)
    parts = partition(data, partition_from_text(split), clients)
    objectives = federated_objectives(
        data.features, data.labels, parts, lam, regularise_support=own
    )
    return stacked(f"{name} {split}", objectives, lam)


def stacked(name: str, objectives: Sequence[Objective], lam: float) -> Federation:
    """Build one from its clients' objectives."""
    signed = [csr_array(o.features.multiply(o.targets[:, None])) for o in objectives]
    sizes = np.array([rows.shape[0] for rows in signed])
    blocks = [csr_array(rows.T / rows.shape[0]) for rows in signed]
    curvatures = [o.regulariser.curvature(o.dimension) > 0 for o in objectives]
    return Federation(
        name=name,
        n=len(signed),
        d=signed[0].shape[1],
        rows=csr_array(vstack(signed, format="csr")),
        blocks=csr_array(block_diag(blocks, format="csr")),
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        sizes=sizes,
        lam=lam,
        kept=np.array(curvatures, dtype=float),
        constants=federated_constants(objectives),
    )


def _evened(data: Dataset, clients: int) -> Dataset:
    # Rounded like the norms by which the rows are spread.
    norms = norm(data.features, axis=1).astype(np.float32)
    kept = np.sort(np.argsort(norms, kind="stable")[: len(norms) // clients * clients])
    return replace(data, features=csr_array(data.features[kept]), labels=data.labels[kept])


@lru_cache(maxsize=4)
def _thinned(name: str, rows: int | None) -> Dataset:
    data = load(name)
    step = max(1, round(data.features.shape[0] / rows)) if rows else 1
    return replace(data, features=csr_array(data.features[::step]), labels=data.labels[::step])
