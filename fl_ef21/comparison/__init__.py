"""Comparisons of strategies on one task: several seeds, measured bytes, bands and checks."""

from fl_ef21.comparison.ending import Check, Ending, Totals, at_least, at_most
from fl_ef21.comparison.running import Contender, Task, compare, open_folder

__all__ = [
    "Check",
    "Contender",
    "Ending",
    "Task",
    "Totals",
    "at_least",
    "at_most",
    "compare",
    "open_folder",
]
