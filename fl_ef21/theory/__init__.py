"""Smoothness constants, step sizes and budgets, each with the theorem that it comes from."""

from fl_ef21.theory.allocation import allocate
from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import theta, xi
from fl_ef21.theory.curvature import Curvature
from fl_ef21.theory.error_bounds import (
    curvature_bound,
    dense_bound,
    published_rare_bound,
    support_bound,
)
from fl_ef21.theory.estimation import SecantEstimate
from fl_ef21.theory.step_sizes import StepSize, clone_counts, exact_root, explain, step_size

__all__ = [
    "Constants",
    "Curvature",
    "SecantEstimate",
    "StepSize",
    "allocate",
    "clone_counts",
    "curvature_bound",
    "dense_bound",
    "exact_root",
    "explain",
    "published_rare_bound",
    "step_size",
    "support_bound",
    "theta",
    "xi",
]
