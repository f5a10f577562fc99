"""A federation of objectives: how it is made from rows, and its smoothness constants."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import block_diag, csr_array, vstack

from fl_ef21.problems.eigenvalue import largest_eigenvalue
from fl_ef21.problems.logistic import Logistic
from fl_ef21.problems.loss import Loss
from fl_ef21.problems.objective import Objective
from fl_ef21.problems.regulariser import Regulariser
from fl_ef21.problems.softmax import Softmax


def federated_objectives(
    features: csr_array,
    labels: NDArray[np.int64],
    partitions: Sequence[NDArray[np.int64]],
    lam: float = 0.0,
) -> tuple[Objective, ...]:
    """Return every client's regularised logistic regression.

    Parameters
    ----------
    features : csr_array of float64, shape (m, d)
        All rows.
    labels : ndarray of int64, shape (m,)
        −1 and +1 for binary logistic regression, or the classes 0, …, K − 1 for softmax.
    partitions : sequence of ndarray of int64
        The numbers of each client's rows.
    lam : float
        Weight λ ≥ 0 of the papers' non-convex regulariser.

    Returns
    -------
    tuple of Objective
        In the clients' order.

    Raises
    ------
    ValueError
        If a client has no row, or its data are refused; the message names the client.

    Examples
    --------
    >>> features, labels = csr_array(np.eye(3)), np.array([0, 1, 2])
    >>> first, second = federated_objectives(features, labels, [np.array([0, 2]), np.array([1])])
    >>> first.dimension, first.features.shape, second.targets.tolist()
    (9, (2, 3), [1])
    """
    loss: Loss = Logistic() if labels.min() < 0 else Softmax(outputs=int(labels.max()) + 1)
    regulariser = Regulariser(lam)

    def objective(client: int, rows: NDArray[np.int64]) -> Objective:
        try:
            return Objective(features[rows], labels[rows], loss, regulariser)
        except ValueError as error:
            raise ValueError(f"client {client}: {error}") from error

    return tuple(objective(client, rows) for client, rows in enumerate(partitions))


def smoothness_constants(
    objectives: Sequence[Objective], weights: ArrayLike | None = None
) -> tuple[float, NDArray[np.float64]]:
    """Return L of f = Σ pᵢ fᵢ and every client's Lᵢ.

    With Hᵢ = curvature · AᵢᵀAᵢ / mᵢ + 2λ diag(supportᵢ) the bound of client i's Hessian,
    L = λ_max(Σ pᵢ Hᵢ) and Lᵢ = `Objective.smoothness`, which is λ_max(Hᵢ) when the support has
    all features of the client's rows. L ≤ Σ pᵢ Lᵢ: it is much below max Lᵢ when clients differ.

    Parameters
    ----------
    objectives : sequence of Objective
        All of one dimension.
    weights : array_like, shape (n,), optional
        pᵢ > 0 with sum 1; 1/n each by default.

    Returns
    -------
    tuple of float and ndarray of float64, shape (n,)
        L and the Lᵢ.

    Raises
    ------
    ValueError
        If there are no objectives, their dimensions differ, or the weights do not fit.

    Examples
    --------
    Two clients with one feature each share nothing, so L is half of each Lᵢ:

    >>> objectives = federated_objectives(csr_array(2 * np.eye(2)), np.array([-1, 1]), [[0], [1]])
    >>> L, L_i = smoothness_constants(objectives)
    >>> round(L, 6), L_i
    (0.5, array([1., 1.]))
    """
    p = _checked_weights(objectives, weights)
    L_i = np.array([objective.smoothness() for objective in objectives])
    scales = [p_i * o.loss.curvature / len(o.targets) for p_i, o in zip(p, objectives, strict=True)]
    # Rows scaled by √(pᵢ · curvature / mᵢ), one client's below the other's: BᵀB = Σ pᵢ Hᵢ
    # but for the regularisers.
    scaled = [np.sqrt(scale) * o.features for scale, o in zip(scales, objectives, strict=True)]
    stacked = csr_array(vstack(scaled, format="csr"))
    if all(objective.regulariser.support is None for objective in objectives):
        shift = sum(p * [objective.regulariser.smoothness for objective in objectives])
        return largest_eigenvalue(stacked) + float(shift), L_i
    # A support need not be the same for every output, so each output has its own block.
    outputs = objectives[0].loss.outputs
    blocks = csr_array(block_diag([stacked] * outputs, format="csr"))
    curvatures = [o.regulariser.curvature(o.dimension) for o in objectives]
    return largest_eigenvalue(blocks, p @ curvatures), L_i


def _checked_weights(
    objectives: Sequence[Objective], weights: ArrayLike | None
) -> NDArray[np.float64]:
    dimensions = {objective.dimension for objective in objectives}
    if len(dimensions) != 1:
        raise ValueError(
            f"{len(objectives)} objectives with dimensions {sorted(dimensions)}; "
            f"give at least one, all of the same dimension"
        )
    n = len(objectives)
    p = np.full(n, 1 / n) if weights is None else np.asarray(weights, dtype=np.float64)
    if p.shape != (n,) or not (p > 0).all() or not np.isclose(p.sum(), 1):
        raise ValueError(
            f"weights of shape {p.shape} with sum {p.sum():g}; give {n} positive numbers with "
            f"sum 1, for example divide them by their sum"
        )
    return p
