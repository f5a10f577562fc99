"""Comparisons of strategies on one task: several seeds, measured bytes, bands and checks."""

from fl_ef21.comparison.contenders import (
    BOTH_WAYS,
    FEDADAM,
    FEDAVG,
    FEEDBACK,
    WITHOUT,
    usual_contenders,
)
from fl_ef21.comparison.ending import Check, Ending, Totals, at_least, at_most, usual_checks
from fl_ef21.comparison.running import Contender, Task, compare, open_folder
from fl_ef21.comparison.study import run_comparison

__all__ = [
    "BOTH_WAYS",
    "FEDADAM",
    "FEDAVG",
    "FEEDBACK",
    "WITHOUT",
    "Check",
    "Contender",
    "Ending",
    "Task",
    "Totals",
    "at_least",
    "at_most",
    "compare",
    "open_folder",
    "run_comparison",
    "usual_checks",
    "usual_contenders",
]
