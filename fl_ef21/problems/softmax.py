"""Multinomial logistic regression."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from fl_ef21.problems.loss import Scores, Targets, first_bad


@dataclass(frozen=True)
class Softmax:
    """The loss log Σⱼ exp(zⱼ) − z_b of K scores z with a label b in {0, …, K − 1}.

    Its Hessian diag(p) − ppᵀ, where p is the softmax of z, is at most ½ I (Böhning, Multinomial
    logistic regression algorithm, Ann. Inst. Statist. Math. 44, 1992).

    Parameters
    ----------
    outputs : int
        Number of classes K, from 2 up.

    Raises
    ------
    ValueError
        If ``outputs`` is below 2.

    Examples
    --------
    >>> value, _ = Softmax(outputs=10).value_and_derivative(np.zeros((1, 10)), np.array([3]))
    >>> bool(np.isclose(value, np.log(10)))
    True
    """

    outputs: int
    curvature: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        if self.outputs < 2:
            raise ValueError(f"outputs={self.outputs} is below 2; give the number of classes")

    def check(self, targets: Targets) -> None:
        """Refuse labels that are not whole numbers in {0, …, K − 1}."""
        bad = (targets < 0) | (targets >= self.outputs) | (targets != np.floor(targets))
        if bad.any():
            row = first_bad(bad)
            raise ValueError(
                f"label {targets[row]} in row {row} is not one of 0 to {self.outputs - 1}; "
                f"number the classes from 0, or give Softmax more outputs"
            )

    def value_and_derivative(self, scores: Scores, targets: Targets) -> tuple[float, Scores]:
        """Return the mean loss and softmax(z) − e_b, shape (m, K); neither overflows."""
        own = np.arange(len(targets)), targets.astype(np.intp)
        log_probabilities = log_softmax(scores, axis=1)
        derivative = np.exp(log_probabilities)
        derivative[own] -= 1
        return float(-log_probabilities[own].mean()), derivative

    def derivative(self, scores: Scores, targets: Targets) -> Scores:
        """Return softmax(z) − e_b, shape (m, K)."""
        return self.value_and_derivative(scores, targets)[1]

    def predict(self, scores: Scores) -> NDArray[np.int64]:
        """Return the class with the largest score, the first of equals."""
        return np.asarray(np.argmax(scores, axis=1), dtype=np.int64)
