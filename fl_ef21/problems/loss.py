"""What every loss provides: its value and derivative in the scores, and a curvature bound."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Targets = NDArray[Any]


class Loss(Protocol):
    """A loss of one row, as a function of the row's scores and its target.

    The scores of m rows have shape (m,) for a loss with one output and (m, K) for K outputs.
    Implementations are frozen values without state.
    """

    @property
    def outputs(self) -> int:
        """Number of scores per row, K."""
        ...

    @property
    def curvature(self) -> float:
        """An upper bound of the Hessian's norm in the scores, for every row and every score."""
        ...

    def check(self, targets: Targets) -> None:
        """Refuse targets that the loss does not take.

        Raises
        ------
        ValueError
            If a target is outside the loss's range.
        """
        ...

    def value_and_derivative(self, scores: Scores, targets: Targets) -> tuple[float, Scores]:
        """Return the mean loss of the rows, and each row's derivative in its own scores."""
        ...

    def derivative(self, scores: Scores, targets: Targets) -> Scores:
        """Return each row's derivative in its own scores, alone."""
        ...

    def predict(self, scores: Scores) -> Targets | None:
        """Return each row's predicted label, or None where targets are no labels."""
        ...


def first_bad(bad: NDArray[np.bool_]) -> int:
    """Return the position of the first True, for an error message."""
    return int(np.flatnonzero(bad)[0])
