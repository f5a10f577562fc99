"""The papers' objectives, with their gradients and smoothness constants.

Needs numpy and scipy only, and knows nothing of data sets: it takes features and labels.
"""

from fl_ef21.problems.federated import (
    federated_constants,
    federated_objectives,
    smoothness_constants,
)
from fl_ef21.problems.least_squares import LeastSquares
from fl_ef21.problems.logistic import Logistic
from fl_ef21.problems.loss import Loss
from fl_ef21.problems.objective import Objective
from fl_ef21.problems.regulariser import Regulariser
from fl_ef21.problems.softmax import Softmax
from fl_ef21.problems.synthetic import least_squares_federation
from fl_ef21.problems.together import Together

__all__ = [
    "LeastSquares",
    "Logistic",
    "Loss",
    "Objective",
    "Regulariser",
    "Softmax",
    "Together",
    "federated_constants",
    "federated_objectives",
    "least_squares_federation",
    "smoothness_constants",
]
