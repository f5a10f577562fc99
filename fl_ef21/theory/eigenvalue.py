"""The largest eigenvalue of a sparse positive semi-definite matrix."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh

Array = NDArray[np.float64]

# Up to this size a dense solver is as fast as the iteration, and it has no lower limit: eigsh
# needs more than one dimension.
DENSE_SIZE = 64


def largest_eigenvalue(factor: csr_array, diagonal: Array | None = None) -> float:
    """Return λ_max(BᵀB + diag(δ)) without forming a large dense matrix.

    Parameters
    ----------
    factor : csr_array of float64, shape (rows, size)
        B.
    diagonal : ndarray of float64, shape (size,), optional
        δ ≥ 0; zero by default.

    Returns
    -------
    float
        With twelve significant digits.

    Examples
    --------
    >>> largest_eigenvalue(csr_array(np.diag([3.0, 1.0])), np.array([0.0, 9.0]))
    10.0
    """
    if diagonal is None:
        # BᵀB and BBᵀ have the same largest eigenvalue; the smaller of the two is quicker.
        factor = factor.T.tocsr() if factor.shape[0] < factor.shape[1] else factor
        diagonal = np.zeros(factor.shape[1])
    # An eigensolver that iterates cannot start in the null space, and zero has no other.
    if not factor.data.any():
        return _rounded(float(diagonal.max(initial=0.0)))
    transpose = factor.T.tocsr()
    if factor.shape[1] <= DENSE_SIZE:
        gram = (transpose @ factor).toarray() + np.diag(diagonal)
        return _rounded(float(np.linalg.eigvalsh(gram)[-1]))
    return largest_operator_eigenvalue(
        lambda v: np.asarray(transpose @ (factor @ v) + diagonal * v), factor.shape[1]
    )


def largest_operator_eigenvalue(apply: Callable[[Array], Array], size: int) -> float:
    """Return λ_max of a symmetric positive semi-definite operator from its products.

    Parameters
    ----------
    apply : callable
        Takes a vector v of shape (size,) to its product, of the same shape.
    size : int
        Number of rows.

    Returns
    -------
    float
        With twelve significant digits.

    Examples
    --------
    >>> largest_operator_eigenvalue(lambda v: np.array([2.0, 5.0]) * v, 2)
    5.0
    """
    if size <= DENSE_SIZE:
        columns = np.column_stack([apply(unit) for unit in np.eye(size)])
        return _rounded(float(np.linalg.eigvalsh((columns + columns.T) / 2)[-1]))
    # A random direction is orthogonal to the wanted one with probability zero; 1, …, 1 may be.
    start = np.random.default_rng(0).standard_normal(size)
    if not apply(start).any():
        return 0.0
    operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    return _rounded(float(eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0]))


def _rounded(value: float) -> float:
    # The Lanczos iteration starts from a fixed vector, but its last bits still depend on the number
    # of BLAS threads. A step size must be the same in every process, so they are rounded away.
    return float(f"{value:.12g}")
