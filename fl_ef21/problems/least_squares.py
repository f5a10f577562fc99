"""Least squares."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fl_ef21.problems.loss import Scores, Targets, first_bad


@dataclass(frozen=True)
class LeastSquares:
    """The loss ½(z − b)² of a score z with a real target b.

    With the factor ½ the derivative is z − b and the second derivative is 1.

    Examples
    --------
    >>> LeastSquares().value_and_derivative(np.array([3.0]), np.array([1.0]))
    (2.0, array([2.]))
    """

    outputs: ClassVar[int] = 1
    curvature: ClassVar[float] = 1.0

    def check(self, targets: Targets) -> None:
        """Refuse targets that are not finite."""
        bad = ~np.isfinite(targets)
        if bad.any():
            row = first_bad(bad)
            raise ValueError(
                f"target {targets[row]} in row {row} is not a finite number; remove the row"
            )

    def value_and_derivative(self, scores: Scores, targets: Targets) -> tuple[float, Scores]:
        """Return the mean loss and z − b, shape (m,)."""
        residuals = self.derivative(scores, targets)
        return float(0.5 * np.mean(np.square(residuals))), residuals

    def derivative(self, scores: Scores, targets: Targets) -> Scores:
        """Return z − b, shape (m,)."""
        return scores - targets

    def predict(self, scores: Scores) -> None:  # noqa: ARG002
        """Return None: a regression has no labels to predict."""
        return
