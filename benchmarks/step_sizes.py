"""Step sizes: the automatic one against the best constant one, gradient descent and theory.

Run: python benchmarks/step_sizes.py [--quick] [--rows 3000] [--parts full sampled methods theory]
         [--data NAME ...] [--json PATH] [--figure PATH.png]

Real data, EF21 Top-k from x = 0 with full initialisation, one thread. The part ``theory`` is left
out by default: the rounds of theory steps, on all rows, take about ten minutes more.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
from _report import (
    Stopwatch,
    machine,
    machine_line,
    new_console,
    new_parser,
    target_table,
    write_json,
)
from _step_sizes_data import Federation, federation
from _step_sizes_methods import method_rows
from _step_sizes_report import (
    all_targets,
    draw,
    full_table,
    methods_table,
    sampled_table,
    theory_table,
)
from _step_sizes_runs import Sampling, automatic, descend, first_constant, sampled_losses
from _step_sizes_theory import CASES, theory_rows

from fl_ef21.theory import step_size

TARGET, CAP, ROUNDS = 1e-5, 5000, 400
DATA: Final = ("mushrooms", "phishing", "a9a", "w8a")
SPLITS: Final = ("contiguous", "norm", "iid")
SAME_BY_NORM: Final = ("mushrooms", "phishing")
"""Sets whose rows all have one norm: sorted by it they are contiguous."""
LAMBDAS: Final = (0.0, 1e-3)
MULTIPLES: Final = 2.0 ** np.arange(15)
STARTS: Final = (1e-6, 1.0)
NOISY: Final = {"25 % of clients": Sampling(0.25), "minibatches of 32": Sampling(batch=32)}
SEEDS: Final = (0, 1, 2, 3)
PARTS: Final = ("full", "sampled", "methods", "theory")


@dataclass(frozen=True)
class FullRow:
    """Rounds of one case with full participation."""

    name: str
    lam: float
    k: int
    d: int
    best: float
    multiple: int
    best_loss: float
    tiny: float
    unit: float
    losses: tuple[float, float]
    rejected: tuple[int, int]
    gd: int

    @property
    def tiny_ratio(self) -> float:
        """Rounds from 10⁻⁶/L over those of the best constant step."""
        return self.tiny / self.best

    @property
    def unit_ratio(self) -> float:
        """The same from 1/L."""
        return self.unit / self.best

    @property
    def ratio(self) -> float:
        """The worse of both."""
        return max(self.tiny, self.unit) / self.best

    @property
    def saving(self) -> float:
        """How many times fewer floats a client sends than with gradient descent."""
        return self.gd * self.d / (self.d + max(self.tiny, self.unit) * (self.k + 1))


@dataclass(frozen=True)
class SampledRow:
    """Loss f of the best constant step, and f and f − f* of the automatic one relative to it."""

    name: str
    setting: str
    lam: float
    k: int
    seed: int
    multiple: int
    best_loss: float
    lowest: float
    loss_ratios: tuple[float, float]
    """From 10⁻⁶/L and from 1/L."""
    excess_ratios: tuple[float, float]


def sizes(d: int) -> list[int]:
    """Return 1, 1 % and 5 % of d, as far as they differ."""
    return sorted({1, max(1, round(0.01 * d)), max(1, round(0.05 * d))})


def problems(rows: int, data, splits, lambdas) -> Iterator[Federation]:
    """Build every federation in turn."""
    for name in data:
        for split in splits:
            if split != "norm" or name not in SAME_BY_NORM:
                yield from (federation(name, split, lam, rows) for lam in lambdas)


def full_rows(problem: Federation) -> Iterator[FullRow]:
    """Measure full participation."""
    L = problem.constants.L
    gd = descend(problem, TARGET, 4 * CAP)
    for k in sizes(problem.d):
        steps = step_size("ef21", problem.constants, alpha=k / problem.d) * MULTIPLES
        best = first_constant(problem, k, steps, TARGET, CAP)
        runs = [automatic(problem, k, start / L, TARGET, CAP) for start in STARTS]
        (tiny, _), (unit, _) = runs
        yield FullRow(
            *(problem.name, problem.lam, k, problem.d, best.rounds, best.column, best.loss),
            *(tiny.rounds, unit.rounds, (tiny.loss, unit.loss), (runs[0][1], runs[1][1]), gd),
        )


def sampled_rows(problem: Federation) -> Iterator[SampledRow]:
    """Measure noisy rounds."""
    starts = [start / problem.constants.L for start in STARTS]
    for setting, sampling in NOISY.items():
        for k in (sizes(problem.d)[0], sizes(problem.d)[-1]):
            theory = step_size("ef21", problem.constants, alpha=k / problem.d)
            steps = list(theory * MULTIPLES[4:])
            for seed in SEEDS:
                seeded = replace(sampling, seed=seed)
                losses = sampled_losses(problem, k, steps, starts, ROUNDS, seeded)
                losses = np.nan_to_num(losses, nan=np.inf)
                best, lowest = int(losses[: len(steps)].argmin()), problem.lowest()
                excess = losses - lowest
                tiny, unit = losses[len(steps) :] / losses[best]
                tiny_excess, unit_excess = excess[len(steps) :] / excess[best]
                yield SampledRow(
                    *(problem.name, setting, problem.lam, k, seed, best + 4),
                    *(float(losses[best]), lowest, (float(tiny), float(unit))),
                    (float(tiny_excess), float(unit_excess)),
                )


def main() -> None:
    """Measure, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two data sets, one split, λ = 10⁻³")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:3])
    parser.add_argument("--data", nargs="+", choices=tuple(CASES), help="these only")
    parser.add_argument("--rows", type=int, default=3000, help="rows of each set, evenly thinned")
    arguments = parser.parse_args()
    if arguments.rows < 500:
        parser.error("choose --rows from 500")
    np.seterr(over="ignore", invalid="ignore")
    watch, facts, console = Stopwatch(), machine(), new_console()
    console.print(machine_line(facts), highlight=False)
    wanted, parts = arguments.data or CASES, arguments.parts
    data = [name for name in DATA if name in wanted]
    choice = (data[:2], SPLITS[:1], LAMBDAS[1:]) if arguments.quick else (data, SPLITS, LAMBDAS)
    full, sampled, methods = [], [], []
    for problem in problems(arguments.rows, *choice) if set(parts) - {"theory"} else ():
        first = problem.name.endswith("contiguous")
        full += full_rows(problem) if "full" in parts else ()
        sampled += sampled_rows(problem) if "sampled" in parts and first else ()
        methods += method_rows(problem) if "methods" in parts and first and problem.lam else ()
    theory = (
        list(theory_rows([name for name in CASES if name in wanted])) if "theory" in parts else []
    )

    title = f"about {arguments.rows} rows of each set"
    for rows, table in (
        (full, full_table(full, title)),
        (sampled, sampled_table(sampled, f"{ROUNDS} rounds, {title}")),
        (methods, methods_table(methods)),
        (theory, theory_table(theory)),
    ):
        if rows:
            console.print(table)
    targets = all_targets(full, sampled, theory)
    console.print(target_table(targets))
    console.print(watch.line(), highlight=False)
    if arguments.json:
        kinds = {"full": full, "sampled": sampled, "methods": methods, "theory": theory}
        plain = {name: [asdict(row) for row in kind] for name, kind in kinds.items()}
        write_json(arguments.json, facts, {"rows": arguments.rows} | plain, targets)
    if arguments.figure and full and sampled:
        draw(full, sampled, arguments.figure, f"{title}; {machine_line(facts)}")


if __name__ == "__main__":
    main()
