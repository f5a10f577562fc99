"""One client's objective: the mean loss of its rows plus the regulariser."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csc_array, csr_array

from fl_ef21.problems.loss import Loss, Scores, Targets
from fl_ef21.problems.regulariser import Regulariser
from fl_ef21.theory.curvature import Curvature
from fl_ef21.theory.eigenvalue import largest_eigenvalue

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Objective:
    """The function fᵢ(x) = (1/m) Σᵣ loss(xᵀaᵣ, bᵣ) + regulariser(x).

    Parameters
    ----------
    features : csr_array of float64, shape (m, d)
        The rows aᵣ.
    targets : ndarray, shape (m,)
        The targets bᵣ, as ``loss`` takes them.
    loss : Loss
        With K outputs, x is the K × d matrix of the outputs' weights, flattened row by row.
    regulariser : Regulariser
        Its support, if it has one, has the length of x.

    Raises
    ------
    ValueError
        If there is no row, the shapes do not fit, or the loss refuses a target.

    Examples
    --------
    >>> from fl_ef21.problems import Logistic, Objective, Regulariser
    >>> features = csr_array(np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> objective = Objective(features, np.array([1, -1]), Logistic(), Regulariser(0.1))
    >>> value, gradient = objective.value_and_gradient(np.zeros(2))
    >>> round(value, 6), gradient.tolist(), round(objective.smoothness(), 6)
    (0.693147, [-0.25, 0.5], 0.7)
    """

    # Products of a scipy CSR matrix run on one thread in a fixed order, so a client computes the
    # same bits in every process. Dense products go through BLAS, whose sums depend on the number
    # of threads: features stay sparse even where most entries are not zero.
    features: csr_array
    targets: Targets
    loss: Loss
    regulariser: Regulariser = field(default_factory=lambda: Regulariser(0.0))

    def __post_init__(self) -> None:
        rows = self.features.shape[0]
        if rows == 0:
            raise ValueError("an objective has no rows; give every client at least one")
        if self.targets.shape != (rows,):
            raise ValueError(
                f"{rows} rows of features with targets of shape {self.targets.shape}; "
                f"give one target per row"
            )
        if self.features.dtype != np.float64:
            raise ValueError(
                f"features have dtype {self.features.dtype}; convert them with astype(float)"
            )
        support = self.regulariser.support
        if support is not None and len(support) != self.dimension:
            raise ValueError(
                f"the regulariser's support has {len(support)} coordinates for "
                f"{self.dimension} parameters; give one bool per parameter"
            )
        self.loss.check(self.targets)

    @property
    def dimension(self) -> int:
        """Number of parameters, K·d."""
        return self.loss.outputs * self.features.shape[1]

    def value_and_gradient(self, x: Vector) -> tuple[float, Vector]:
        """Return fᵢ(x) and ∇fᵢ(x).

        Parameters
        ----------
        x : ndarray of float64, shape (dimension,)
            The point.

        Returns
        -------
        tuple of float and ndarray of float64, shape (dimension,)

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        loss, derivative = self.loss.value_and_derivative(self.scores(x), self.targets)
        slopes = (self._transpose @ derivative) / len(self.targets)
        value = loss + self.regulariser.value(x)
        return value, slopes.T.ravel() + self.regulariser.gradient(x)

    def value(self, x: Vector) -> float:
        """Return fᵢ(x)."""
        return self.value_and_gradient(x)[0]

    def gradient(self, x: Vector) -> Vector:
        """Return ∇fᵢ(x), shape (dimension,)."""
        return self.value_and_gradient(x)[1]

    def scores(self, x: Vector) -> Scores:
        """Return the rows' scores, shape (m,) for one output and (m, K) for K."""
        if x.shape != (self.dimension,):
            raise ValueError(
                f"x has shape {x.shape} for {self.dimension} parameters; give a vector"
            )
        weights = x if self.loss.outputs == 1 else x.reshape(self.loss.outputs, -1).T
        return np.asarray(self.features @ weights)

    def predict(self, x: Vector) -> Targets | None:
        """Return the predicted labels, shape (m,), or None for a regression."""
        return self.loss.predict(self.scores(x))

    def accuracy(self, x: Vector) -> float | None:
        """Return the share in [0, 1] of rows whose label is predicted, or None."""
        predicted = self.predict(x)
        return None if predicted is None else float(np.mean(predicted == self.targets))

    def smoothness(self) -> float:
        """Return Lᵢ = curvature · λ_max(AᵀA) / m + 2λ, with A the rows.

        For least squares without regulariser this is the smallest constant; for the others it
        is the bound that the papers use.
        """
        bound = self.loss.curvature / len(self.targets)
        return bound * largest_eigenvalue(self.features) + self.regulariser.smoothness

    def support(self) -> NDArray[np.int64]:
        """Return the coordinates that fᵢ depends on, shape (r,), increasing.

        Those of the features that some row uses, for every output, and the regulariser's.
        """
        used = np.zeros(self.features.shape[1], dtype=bool)
        used[self.features.indices[self.features.data != 0]] = True
        owned = np.tile(used, self.loss.outputs)
        return np.flatnonzero(owned | (self.regulariser.curvature(self.dimension) > 0))

    def curvature(self) -> Curvature:
        """Return Hᵢ = curvature · AᵀA / m + 2λ diag(support), with −Hᵢ ⪯ ∇²fᵢ ⪯ Hᵢ.

        With K outputs AᵀA stands K times on the diagonal.
        """
        outputs, kept = self.loss.outputs, self.regulariser.support
        factor = self.features
        if outputs > 1:
            factor = csr_array(block_diag([factor] * outputs, format="csr"))
        return Curvature(
            factor,
            scale=self.loss.curvature / len(self.targets),
            ridge=self.regulariser.smoothness,
            support=None if kept is None else np.flatnonzero(kept),
        )

    @cached_property
    def _transpose(self) -> csc_array:
        return self.features.T
