"""How fast the compression errors follow the model: the constant B beside L in a step size.

EF21 needs γL + γ²B² ≤ 1, where ‖ḡ − ∇f‖ stays below B times the steps of the model in the mean
square. Smaller constants know more of the problem: its supports, its curvatures.
"""

from collections.abc import Callable, Sequence
from math import fsum, sqrt

import numpy as np

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import xi
from fl_ef21.theory.curvature import Curvature, sum_norm, sum_of_squares_norm

Alphas = float | Sequence[float]


def per_client(values: Alphas, n: int, name: str = "alpha") -> tuple[float, ...]:
    """Return one number for each of n clients; one number stands for all.

    Raises
    ------
    ValueError
        If a sequence has another length.

    Examples
    --------
    >>> per_client(0.5, 2), per_client([0.5, 1], 2)
    ((0.5, 0.5), (0.5, 1.0))
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        return (float(array),) * n
    found = tuple(float(value) for value in array)
    if len(found) != n:
        raise ValueError(
            f"{name} has {len(found)} values for {n} clients; give one for each, or one number"
        )
    return found


def dense_bound(constants: Constants, alphas: Alphas, rate: float = 0.0) -> float:
    """Return Σ pᵢ Lᵢ ξ(αᵢ), which is L_AM ξ(α) for equal α (published: Reloaded, 2402.10774).

    It holds for every contractive compressor, supports or not. ``rate`` is that of `xi`.

    Examples
    --------
    >>> dense_bound(Constants(L=1.0, L_i=[1.0, 3.0]), 0.75)
    2.0
    """
    return fsum(_products(constants, alphas, rate))


def support_bound(constants: Constants, alphas: Alphas, rate: float = 0.0) -> float:
    """Return B = max_j Σ_{i ∈ I_j} pᵢ Lᵢ ξ(αᵢ) (derived here).

    For compressors that leave a vector on its support Jᵢ; with dense supports it is `dense_bound`.

    Examples
    --------
    >>> constants = Constants(L=1.0, L_i=[1.0, 3.0], supports=[[0], [1]], dimension=2)
    >>> support_bound(constants, 0.75)
    1.5
    """
    return constants.largest_sum(_products(constants, alphas, rate))


def curvature_bound(
    constants: Constants,
    alphas: Alphas,
    *,
    exact_quadratics: bool = False,
    within_supports: bool = True,
) -> float:
    """Return B_sqrt = √(B · λ_max(Σ pᵢ ξ(αᵢ) Hᵢ)) ≤ B (derived here).

    Parameters
    ----------
    constants : Constants
        With curvatures.
    alphas : float or sequence of float
        Contraction of each client's compressor.
    exact_quadratics : bool
        Take Σ pᵢ ξᵢ Hᵢ²/Lᵢ instead, for quadratics whose Hessians are the Hᵢ.
    within_supports : bool
        Whether the compressors leave a vector on its support Jᵢ; otherwise B is `dense_bound`.

    Raises
    ------
    ValueError
        If the constants have no curvatures.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> curvatures = [Curvature(csr_array(np.diag(row))) for row in ([1.0, 0.0], [0.0, 1.0])]
    >>> constants = Constants(L=0.5, L_i=[1.0, 1.0], curvatures=curvatures)
    >>> round(curvature_bound(constants, 0.75), 6)
    0.707107
    """
    curvatures = needed_curvatures(constants)
    bound = (support_bound if within_supports else dense_bound)(constants, alphas)
    xis = [xi(alpha) for alpha in per_client(alphas, constants.n)]
    weights = [p * x for p, x in zip(constants.p, xis, strict=True)]
    if exact_quadratics:
        weights = [w / L for w, L in zip(weights, constants.L_i, strict=True)]
    norm: Callable[[Sequence[Curvature], Sequence[float]], float]
    norm = sum_of_squares_norm if exact_quadratics else sum_norm
    return sqrt(bound * norm(curvatures, weights))


def published_rare_bound(
    constants: Constants, alphas: Alphas, *, exact_quadratics: bool = False
) -> float:
    """Return L₊ ξ(α) √(c/n) (published: Rare, arXiv 2305.15264), with the smallest of the α.

    L₊ = √min(mean Lᵢ², (c/n) max Lᵢ²), and ‖mean Hᵢ²‖^½ for exact quadratics. Weights that differ
    enter through n pᵢ Lᵢ. Never below `support_bound` for equal α.

    Raises
    ------
    ValueError
        If ``exact_quadratics`` is asked for and the constants have no curvatures.
    """
    n, share = constants.n, constants.most_owners / constants.n
    squares = [L**2 for L in constants.equal_weight_smoothness]
    if exact_quadratics:
        weights = [n * p**2 for p in constants.p]
        square = sum_of_squares_norm(needed_curvatures(constants), weights)
    else:
        square = min(fsum(squares) / n, share * max(squares))
    return sqrt(square * share) * xi(min(per_client(alphas, n)))


def needed_curvatures(constants: Constants) -> Sequence[Curvature]:
    """Return the curvatures, or refuse with what to do about it."""
    if constants.curvatures is None:
        raise ValueError(
            "this bound needs curvatures: give Constants(curvatures=[Curvature(...), ...]), or "
            "take the constants from fl_ef21.problems.federated_constants"
        )
    return constants.curvatures


def _products(constants: Constants, alphas: Alphas, rate: float) -> list[float]:
    found = per_client(alphas, constants.n)
    # Without compression there is no error to shrink, whatever the rate.
    xis = [xi(alpha, rate) if alpha < 1 else 0.0 for alpha in found]
    return [p * L * x for p, L, x in zip(constants.p, constants.L_i, xis, strict=True)]
