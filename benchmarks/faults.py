"""Faults: thousands of seeded schedules through the real strategies and mod, and a naive version.

Run: python benchmarks/faults.py [--schedules 10000] [--workers 2] [--first 0] [--naive]
         [--json PATH] [--figure PATH.png]
     python benchmarks/faults.py --seed N          (one schedule, round by round)

A schedule's seed decides everything; the cases take turns. The figure and its table, the naive
version beside ours, come with ``--naive``.
"""

import logging
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import flwr  # noqa: F401 - sets the level of its logger, which is set again below
from _faults_naive import Curve, curve_table, curves, draw
from _report import (
    Target,
    machine,
    machine_line,
    new_console,
    new_parser,
    new_table,
    number,
    target_table,
    write_json,
)
from rich.markup import escape
from rich.progress import Progress

from fl_ef21.engine.faults import KINDS, FaultSchedule
from fl_ef21.engine.faults.cases import CASES
from fl_ef21.engine.faults.simulator import Outcome, simulate

NAMES = tuple(CASES)
CHUNK = 20


def run_seed(seed: int, **options) -> Outcome:
    """Run the schedule of a seed with the case whose turn it is."""
    return simulate(CASES[NAMES[seed % len(NAMES)]], FaultSchedule.from_seed(seed), **options)


def run_chunk(seeds: range) -> list[Outcome]:
    """Run some schedules in a process of their own, silently."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL + 1)
    return [run_seed(seed) for seed in seeds]


def run_all(first: int, schedules: int, workers: int, console) -> list[Outcome]:
    """Run all schedules and show how far they are; seeds that fail are printed at once."""
    end = first + schedules
    chunks = [range(s, min(s + CHUNK, end)) for s in range(first, end, CHUNK)]
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(workers) as pool, Progress(console=console) as progress:
        task = progress.add_task("schedules", total=schedules)
        for done in pool.map(run_chunk, chunks):
            outcomes += done
            progress.advance(task, len(done))
            for outcome in done:
                if outcome.failure:
                    text = escape(f"{outcome.case}: {outcome.failure}")
                    console.print(f"[red]seed {outcome.seed}[/] {text}", highlight=False)
    return outcomes


def replay(seed: int, console) -> None:
    """Run one schedule and say everything."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL + 1)
    console.print(str(FaultSchedule.from_seed(seed)), highlight=False)

    def watch(row, gap):
        console.print(
            f"round {row.round}: {row.clients} of {row.instructed} applied, {row.failures} "
            f"failures, {row.rejections} rejected, ‖∇f‖² = {gap:.3g}",
            *(f"\n    {reason}" for reason in row.reasons),
            highlight=False,
        )

    outcome = run_seed(seed, watch=watch)
    for name, value in asdict(outcome).items():
        console.print(f"{name}: {value}", highlight=False, markup=False)


def case_table(outcomes):
    """Lay out what came of each case."""
    columns = "schedules", "failed", "rounds", "accepted", "joined again", "compared"
    table = new_table(
        "Schedules by case",
        "case",
        *columns,
        "crashes",
        "to the floor",
        caption="to the floor: rounds after the last fault, median and most",
    )
    for name in NAMES:
        mine = [outcome for outcome in outcomes if outcome.case == name]
        if not mine:
            continue
        recovery = [outcome.recovery for outcome in mine]
        table.add_row(
            name,
            str(len(mine)),
            str(sum(bool(outcome.failure) for outcome in mine)),
            *(
                f"{sum(getattr(outcome, field) for outcome in mine):,}"
                for field in ("rounds", "accepted", "rejoined", "compared", "crashes")
            ),
            f"{median(recovery):.0f}, {max(recovery)}",
        )
    return table


def fault_table(injected: Counter):
    """Lay out what was injected."""
    table = new_table(f"{injected.total():,} faults injected", "kind", "times", "what happens")
    table.columns[2].justify = "left"
    for kind, text in KINDS.items():
        table.add_row(kind, f"{injected[kind]:,}", text)
    return table


def main() -> None:
    """Run, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("--schedules", type=int, default=1000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--seed", type=int, metavar="SEED", help="replay one schedule")
    parser.add_argument("--naive", action="store_true", help="run the naive version too")
    arguments = parser.parse_args()
    console, facts = new_console(), machine()
    if arguments.seed is not None:
        replay(arguments.seed, console)
        return
    console.print(machine_line(facts))
    started = time.perf_counter()
    outcomes = run_all(arguments.first, arguments.schedules, arguments.workers, console)
    seconds = time.perf_counter() - started
    injected = sum((Counter(outcome.injected) for outcome in outcomes), Counter())
    failed = [outcome.seed for outcome in outcomes if outcome.failure]
    console.print(case_table(outcomes), fault_table(injected))
    targets = [
        Target("schedules run", len(outcomes), 10_000, at_least=True),
        Target("schedules that failed", len(failed), 0),
        Target("minutes", seconds / 60, 30, "min"),
    ]
    shown: list[Curve] = []
    if arguments.naive or arguments.figure:
        logging.getLogger("flwr").setLevel(logging.CRITICAL + 1)
        shown = curves(console)
        console.print(curve_table(shown))
    console.print(target_table(targets))
    console.print(
        f"seeds that failed: {failed or 'none'}; {number(seconds / len(outcomes))} s each"
    )
    if arguments.figure:
        draw(shown, arguments.figure, machine_line(facts))
    if arguments.json:
        rows = {
            "schedules": {"first": arguments.first, "count": len(outcomes), "seconds": seconds},
            "failed": failed,
            "injected": dict(injected),
            "cases": [asdict(outcome) for outcome in outcomes if outcome.failure],
            "curves": [asdict(curve) for curve in shown],
        }
        write_json(arguments.json, facts, rows, targets)


if __name__ == "__main__":
    main()
