"""A federation of objectives: how it is made from rows, and its smoothness constants."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import block_diag, csr_array, vstack

from fl_ef21.problems.logistic import Logistic
from fl_ef21.problems.loss import Loss
from fl_ef21.problems.objective import Objective
from fl_ef21.problems.regulariser import Regulariser
from fl_ef21.problems.softmax import Softmax
from fl_ef21.theory.constants import Constants
from fl_ef21.theory.eigenvalue import largest_eigenvalue

# Share of L that stands for the smoothness of a constant objective.
NEGLIGIBLE = 1e-9


def federated_objectives(
    features: csr_array,
    labels: NDArray[np.int64],
    partitions: Sequence[NDArray[np.int64]],
    lam: float = 0.0,
    *,
    regularise_support: bool = False,
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
    regularise_support : bool
        Regularise only the coordinates that the client's rows use, as in the experiments with rare
        features (arXiv 2305.15264): a client then depends on no others.

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
    everywhere = Regulariser(lam)

    def objective(client: int, rows: NDArray[np.int64]) -> Objective:
        try:
            plain = Objective(features[rows], labels[rows], loss)
            return replace(plain, regulariser=regulariser(plain))
        except ValueError as error:
            raise ValueError(f"client {client}: {error}") from error

    def regulariser(plain: Objective) -> Regulariser:
        if not regularise_support:
            return everywhere
        used = np.zeros(plain.dimension, dtype=bool)
        used[plain.support()] = True
        return Regulariser(lam, used)

    return tuple(objective(client, rows) for client, rows in enumerate(partitions))


def smoothness_constants(
    objectives: Sequence[Objective],
    weights: ArrayLike | None = None,
    server_regulariser: Regulariser | None = None,
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
    server_regulariser : Regulariser, optional
        One that the server adds to f itself: it counts in L and in no Lᵢ.

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
    server = server_regulariser or Regulariser(0.0)
    if all(r.support is None for r in (server, *(o.regulariser for o in objectives))):
        shift = sum(p * [objective.regulariser.smoothness for objective in objectives])
        return largest_eigenvalue(stacked) + float(shift) + server.smoothness, L_i
    # A support need not be the same for every output, so each output has its own block.
    outputs, dimension = objectives[0].loss.outputs, objectives[0].dimension
    blocks = csr_array(block_diag([stacked] * outputs, format="csr"))
    curvatures = [objective.regulariser.curvature(dimension) for objective in objectives]
    return largest_eigenvalue(blocks, p @ curvatures + server.curvature(dimension)), L_i


def federated_constants(
    objectives: Sequence[Objective],
    weights: ArrayLike | None = None,
    *,
    server_regulariser: Regulariser | None = None,
) -> Constants:
    """Return all constants of f = Σ pᵢ fᵢ that the data give: L, Lᵢ, supports and curvatures.

    Parameters
    ----------
    objectives, weights, server_regulariser
        As in `smoothness_constants`. With a regulariser on the server (x −= γ(ḡ + ∇r(x))) give
        objectives without one: supports stay those of the rows, and the Lᵢ are smaller.

    Returns
    -------
    Constants
        Without μ.

    Raises
    ------
    ValueError
        As `smoothness_constants`, or if all objectives are constant.

    Examples
    --------
    >>> objectives = federated_objectives(csr_array(2 * np.eye(2)), np.array([-1, 1]), [[0], [1]])
    >>> constants = federated_constants(objectives, server_regulariser=Regulariser(0.1))
    >>> round(constants.L, 6), constants.L_i, constants.support_sizes, constants.most_owners
    (0.7, (1.0, 1.0), (1, 1), 1)
    """
    L, L_i = smoothness_constants(objectives, weights, server_regulariser)
    supports = [objective.support() for objective in objectives]
    # A client of empty rows has a constant objective, which every L_i > 0 and every J_i fit.
    constant = [client for client, support in enumerate(supports) if not support.size]
    for client in constant:
        supports[client], L_i[client] = np.array([0]), NEGLIGIBLE * L
    return Constants(
        L=float(L),
        L_i=L_i.tolist(),
        weights=None if weights is None else _checked_weights(objectives, weights).tolist(),
        supports=supports,
        curvatures=[objective.curvature() for objective in objectives],
        dimension=objectives[0].dimension,
    )


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
