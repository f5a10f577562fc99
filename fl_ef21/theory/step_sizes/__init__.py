"""Step sizes γ, one family of methods a module, and the theorems that they come from.

A rule is a function of the constants and the options; `explain` and `step_size` look it up.
"""

from fl_ef21.theory.step_sizes.ef21 import clone_counts
from fl_ef21.theory.step_sizes.registry import explain, step_size
from fl_ef21.theory.step_sizes.value import StepSize, exact_root

__all__ = ["StepSize", "clone_counts", "exact_root", "explain", "step_size"]
