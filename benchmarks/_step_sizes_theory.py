"""Rounds of theory steps, beside those of an independent reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from _step_sizes_data import Federation, federation
from _step_sizes_runs import descend, first_constant
from numpy import array

from fl_ef21.theory import allocate, step_size

CLIENTS, K, LAMBDA, ACCURACY, CAP = 100, 4, 1e-3, 1e-3, 40000

REFERENCE: Final = {
    "w8a": (43, 14508, 7090, 4888, 4704, 2899),
    "mushrooms": (255, 18332, 18200, 9908, 8754, 8754),
    "phishing": (431, 14838, 14832, 14359, 14165, 14165),
    "a9a": (65, 4008, 4005, 2993, 2976, 2976),
}
FORMS: Final = ("GD", "L_QM", "L_AM", "root(B)", "root(B_sqrt)", "+ k_i")


@dataclass(frozen=True)
class TheoryRow:
    """Measured rounds of one step size."""

    name: str
    form: str
    rounds: float
    reference: int


def theory_rows(names: Sequence[str] = tuple(REFERENCE)) -> list[TheoryRow]:
    """Measure every step size of ALGORITHMS.md's last table on all rows."""
    rows = []
    for name in names:
        problem = federation(name, "norm", LAMBDA, None, clients=CLIENTS, own=True)
        gradient = problem.losses_and_gradients(array([[0.0]] * problem.d))[1].mean(axis=0)
        target = ACCURACY * float((gradient**2).sum())
        measured: list[float] = [descend(problem, target, CAP)]
        for k, step in _steps(problem):
            counts = k[0] if len(set(k)) == 1 else k
            measured.append(first_constant(problem, counts, array([step]), target, CAP).rounds)
        triples = zip(FORMS, measured, REFERENCE[name], strict=True)
        rows += [TheoryRow(name, form, found, known) for form, found, known in triples]
    return rows


def _steps(problem: Federation) -> list[tuple[tuple[int, ...], float]]:
    constants = problem.constants
    sizes = constants.support_sizes
    equal = (K,) * problem.n
    given = allocate(K * problem.n, constants.L_i, sizes)

    def shares(counts: Sequence[int]) -> list[float]:
        return [min(1.0, k / r) for k, r in zip(counts, sizes, strict=True)]

    dense = K / problem.d
    return [
        (equal, step_size("ef21", constants, alpha=dense, form="2021")),
        (equal, step_size("ef21", constants, alpha=dense, form="published")),
        (equal, step_size("ef21-rf", constants, alpha=shares(equal), form="support")),
        (equal, step_size("ef21-rf", constants, alpha=shares(equal), form="curvature")),
        (given, step_size("ef21-rf", constants, alpha=shares(given), form="curvature")),
    ]
