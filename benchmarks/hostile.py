"""Hostile replies: structured mutations of real ones, offered to the real strategies.

Run: python benchmarks/hostile.py [--replies 100000] [--workers 2] [--first SEED] [--json PATH]

What is refused must change nothing; what is accepted must follow the protocol; nothing may raise.
"""

import logging
import os
import time
import tracemalloc
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import flwr  # noqa: F401 - sets the level of its logger, which is set again below
from _report import (
    Target,
    machine,
    machine_line,
    new_console,
    new_parser,
    new_table,
    target_table,
    write_json,
)
from rich.markup import escape
from rich.progress import Progress

from fl_ef21.engine.faults.cases import AUTOMATIC, CASES
from fl_ef21.engine.faults.mutations import MUTATIONS
from fl_ef21.engine.faults.siege import Siege, besiege

ALL = [*CASES.values(), AUTOMATIC]
EACH = 3


def run_siege(number: int) -> Siege:
    """Besiege the case whose turn it is, silently."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore", RuntimeWarning)  # huge losses overflow in the history
    return besiege(ALL[number % len(ALL)], number, EACH)


def memory_peak() -> float:
    """Return the most MB that Python holds at once more than before, over one siege of a case."""
    run_siege(0)
    tracemalloc.start()
    run_siege(len(ALL))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def besiege_all(first: int, replies: int, workers: int, console) -> Siege:
    """Besiege all cases in turn until enough replies were offered."""
    total = Siege()
    with ProcessPoolExecutor(workers) as pool, Progress(console=console) as progress:
        task, numbers = progress.add_task("hostile replies", total=replies), count(first)
        while total.offered.total() < replies:
            for siege in pool.map(run_siege, list(islice(numbers, 4 * workers))):
                total.offered += siege.offered
                total.accepted += siege.accepted
                for name in ("breaches", "crashes", "moves"):
                    for text in getattr(siege, name):
                        console.print(f"[red]{name}[/] {escape(text)}", highlight=False)
                    getattr(total, name).extend(getattr(siege, name))
                progress.update(task, completed=total.offered.total())
    return total


def main() -> None:
    """Run, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("--replies", type=int, default=10_000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    arguments = parser.parse_args()
    console, facts = new_console(), machine()
    console.print(machine_line(facts))
    started = time.perf_counter()
    siege = besiege_all(arguments.first, arguments.replies, arguments.workers, console)
    table = new_table(
        f"{siege.offered.total():,} hostile replies, {len(ALL)} cases",
        "mutation",
        "offered",
        "accepted",
        caption="accepted: their number and digest are right, and all values within the limits",
    )
    for kind in MUTATIONS:
        table.add_row(kind, f"{siege.offered[kind]:,}", f"{siege.accepted[kind]:,}")
    targets = [
        Target("replies offered", siege.offered.total(), 100_000, at_least=True),
        Target("accepted against the protocol", len(siege.breaches), 0),
        Target("exceptions", len(siege.crashes), 0),
        Target("refused ones that changed something", len(siege.moves), 0),
        Target("most memory of one siege", memory_peak(), 4, "MB"),
    ]
    console.print(table, target_table(targets))
    console.print(f"{time.perf_counter() - started:.0f} s with {arguments.workers} workers")
    if arguments.json:
        rows = {
            "offered": Counter(siege.offered),
            "accepted": Counter(siege.accepted),
            **{name: getattr(siege, name) for name in ("breaches", "crashes", "moves")},
        }
        write_json(arguments.json, facts, rows, targets)


if __name__ == "__main__":
    main()
