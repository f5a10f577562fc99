"""Faults by schedule: a Grid that injects them, a checker of the log, and a simulator of both.

>>> from fl_ef21.engine.faults import FaultSchedule
>>> schedule = FaultSchedule.from_seed(7, clients=3, exchanges=4)
>>> schedule == FaultSchedule.from_seed(7, clients=3, exchanges=4)
True
"""

from fl_ef21.engine.faults.checker import LogChecker
from fl_ef21.engine.faults.failing import failing_mod
from fl_ef21.engine.faults.folding import BrokenInvariantError
from fl_ef21.engine.faults.grid import FaultyGrid, ServerCrashedError
from fl_ef21.engine.faults.schedule import KINDS, Fault, FaultKind, FaultSchedule

__all__ = [
    "KINDS",
    "BrokenInvariantError",
    "Fault",
    "FaultKind",
    "FaultSchedule",
    "FaultyGrid",
    "LogChecker",
    "ServerCrashedError",
    "failing_mod",
]
