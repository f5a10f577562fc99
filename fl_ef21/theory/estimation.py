"""A smoothness constant seen along a run: an estimate, not a bound."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SecantEstimate:
    """The largest ‖∇f(x) − ∇f(y)‖ / ‖x − y‖ between consecutive points: an estimate, not a bound.

    It is never above the smallest smoothness constant, and may be far below it where the run has
    not been. A step size from it has no guarantee.

    Parameters
    ----------
    value : float
        The largest ratio so far; 0 before the second point.
    point, gradient : ndarray of float64, shape (d,), optional
        The last point and the gradient there.

    Examples
    --------
    >>> estimate = SecantEstimate()
    >>> for x in (np.array([0.0, 0.0]), np.array([0.0, 2.0])):
    ...     estimate = estimate.updated(x, 3 * x)
    >>> estimate.value, estimate.label
    (3.0, 'estimate, not a bound')
    """

    label: ClassVar[str] = "estimate, not a bound"
    value: float = 0.0
    point: Vector | None = None
    gradient: Vector | None = None

    def updated(self, point: Vector, gradient: Vector) -> Self:
        """Return the estimate with one more point and the gradient there.

        Points must come with gradients of one function: a minibatch's noise is taken for
        curvature.

        Raises
        ------
        ValueError
            If the shapes differ from each other or from the last ones, or a number is not finite.
        """
        point, gradient = np.array(point, np.float64), np.array(gradient, np.float64)
        last = point if self.point is None else self.point
        if not point.shape == gradient.shape == last.shape:
            raise ValueError(
                f"a point of shape {point.shape} with a gradient of shape {gradient.shape}, after "
                f"points of shape {last.shape}; give flat vectors of one length"
            )
        if not (np.isfinite(point).all() and np.isfinite(gradient).all()):
            raise ValueError("the point or its gradient is not finite; the run has diverged")
        ratio = 0.0
        distance = float(np.linalg.norm(point - last))
        if self.gradient is not None and distance > 0:
            ratio = float(np.linalg.norm(gradient - self.gradient)) / distance
        return type(self)(max(self.value, ratio), point, gradient)
