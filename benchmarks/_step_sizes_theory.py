"""Rounds of theory steps, beside those of an independent reference."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final

import numpy as np
from _step_sizes_data import Federation, federation
from _step_sizes_runs import descend, first_constant
from _step_sizes_synthetic import least_squares

from fl_ef21.theory import allocate, step_size

CLIENTS, LAMBDA, CAP = 100, 1e-3, 40000

FORMS: Final = ("GD", "L_QM", "L_AM", "root(B)", "root(B_sqrt)", "+ k_i")


@dataclass(frozen=True)
class Case:
    """A row of the reference: k, the share of ‖∇f(0)‖² to reach, and the known rounds."""

    build: Callable[[], Federation]
    k: int
    accuracy: float
    known: tuple[int | None, ...]
    exact: bool = True
    """Whether the reference says how its data are made."""


def _real(name: str) -> Callable[[], Federation]:
    return partial(federation, name, "norm", LAMBDA, None, clients=CLIENTS, own=True, even=True)


_dense = partial(least_squares, "synthetic", CLIENTS, 60, 1e4)
_rare = partial(least_squares, "synthetic rare", CLIENTS, 200, 100.0, owners=5)

CASES: Final = {
    "w8a": Case(_real("w8a"), 4, 1e-3, (43, 14508, 7090, 4888, 4704, 2899)),
    "mushrooms": Case(_real("mushrooms"), 4, 1e-3, (255, 18332, 18200, 9908, 8754, 8754)),
    "phishing": Case(_real("phishing"), 4, 1e-3, (431, 14838, 14832, 14359, 14165, 14165)),
    "a9a": Case(_real("a9a"), 4, 1e-3, (65, 4008, 4005, 2993, 2976, 2976)),
    "synthetic": Case(_dense, 4, 1e-4, (None, 6110, 2541, 2530, 1174, 374), exact=False),
    "rare": Case(_rare, 1, 1e-4, (None, None, None, 3166, 2413, 2413), exact=False),
}
"""None: not given, or more than `CAP` rounds."""


@dataclass(frozen=True)
class TheoryRow:
    """Measured rounds of one step size; infinite where they are more than `CAP`."""

    name: str
    form: str
    rounds: float
    reference: int | None
    exact: bool

    @property
    def deviation(self) -> float | None:
        """Measured over known rounds, less one."""
        return None if self.reference is None else self.rounds / self.reference - 1


def theory_rows(names: Sequence[str] = tuple(CASES)) -> Iterator[TheoryRow]:
    """Measure every step size of ALGORITHMS.md's last table on all rows."""
    for name in names:
        case = CASES[name]
        problem = case.build()
        gradient = problem.losses_and_gradients(np.zeros((problem.d, 1)))[1].mean(axis=0)
        target = case.accuracy * float((gradient**2).sum())
        gd = descend(problem, target, CAP)
        measured = [float(gd) if gd < CAP else inf]
        for k, step in _steps(problem, case.k):
            counts = k[0] if len(set(k)) == 1 else k
            found = first_constant(problem, counts, np.array([step]), target, CAP)
            measured.append(found.rounds)
        for form, found, known in zip(FORMS, measured, case.known, strict=True):
            yield TheoryRow(name, form, found, known, case.exact)


def _steps(problem: Federation, k: int) -> list[tuple[tuple[int, ...], float]]:
    constants = problem.constants
    sizes = constants.support_sizes
    equal = (k,) * problem.n
    # What equal k really sends: clients of empty rows have no k coordinates.
    budget = sum(min(k, r) for r in sizes)
    given = allocate(budget, constants.L_i, sizes)

    def shares(counts: Sequence[int]) -> list[float]:
        return [min(1.0, count / r) for count, r in zip(counts, sizes, strict=True)]

    dense = k / problem.d
    return [
        (equal, step_size("ef21", constants, alpha=dense, form="2021")),
        (equal, step_size("ef21", constants, alpha=dense, form="published")),
        (equal, step_size("ef21-rf", constants, alpha=shares(equal), form="support")),
        (equal, step_size("ef21-rf", constants, alpha=shares(equal), form="curvature")),
        (given, step_size("ef21-rf", constants, alpha=shares(given), form="curvature")),
    ]
