"""Binary logistic regression."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fl_ef21.problems.loss import Scores, Targets, first_bad


@dataclass(frozen=True)
class Logistic:
    """The loss log(1 + exp(−b z)) of a score z with a label b in {−1, +1}.

    Its second derivative is at most 1/4, at z = 0.

    Examples
    --------
    A score of 0 leaves both labels equally likely; a large one costs nothing or its size:

    >>> value, _ = Logistic().value_and_derivative(np.array([0.0]), np.array([1]))
    >>> round(value, 6)
    0.693147
    >>> Logistic().value_and_derivative(np.array([-1000.0, 1000.0]), np.array([1, 1]))
    (500.0, array([-1., -0.]))
    """

    outputs: ClassVar[int] = 1
    curvature: ClassVar[float] = 0.25

    def check(self, targets: Targets) -> None:
        """Refuse labels other than −1 and +1."""
        bad = np.abs(targets) != 1
        if bad.any():
            row = first_bad(bad)
            raise ValueError(
                f"label {targets[row]} in row {row} is neither -1 nor +1; "
                f"map the two classes to -1 and +1, or use Softmax for more than two"
            )

    def value_and_derivative(self, scores: Scores, targets: Targets) -> tuple[float, Scores]:
        """Return the mean loss and −b / (1 + exp(b z)), shape (m,); neither overflows."""
        value = float(np.logaddexp(0, -(targets * scores)).mean())
        return value, self.derivative(scores, targets)

    def derivative(self, scores: Scores, targets: Targets) -> Scores:
        """Return −b / (1 + exp(b z)), shape (m,)."""
        negative = -targets
        slopes: Scores = negative * scores
        expit(slopes, out=slopes)
        slopes *= negative
        return slopes

    def predict(self, scores: Scores) -> NDArray[np.int64]:
        """Return the sign of each score, +1 at 0."""
        return np.where(scores >= 0, 1, -1)
