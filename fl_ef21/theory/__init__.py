"""Smoothness constants and step sizes, each with the theorem that it comes from."""

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import theta, xi
from fl_ef21.theory.step_sizes import exact_root, step_size

__all__ = ["Constants", "exact_root", "step_size", "theta", "xi"]
