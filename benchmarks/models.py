"""What EF21 costs and saves with networks: bytes in a deployment, time of a round, memory.

Run: FL_EF21_DATA=DATA python benchmarks/models.py [--parts bytes time memory] [--json PATH]

`bytes` runs 1.1 million weights on Flower's Deployment Engine, a SuperLink and two SuperNodes.
`time` runs the study mnist on the Simulation Engine, some rounds of each method. `memory` has one
client answer with 25 million weights in process.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from typing import Any, Final

from _models_runs import best_and_median, client_vectors, deployed, simulated
from _report import (
    Stopwatch,
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
from rich.console import Console

SIZE: Final = 25_000_000
COMPRESSOR: Final = "topk:0.01|natural-nearest"
PARTS: Final = ("bytes", "time", "memory")


def measure_bytes(console: Console) -> tuple[dict[str, Any], Target]:
    """Count a reply's bytes in a deployment."""
    found = deployed(2)
    table = new_table("A reply on the Deployment Engine, bytes", "method", "payload", "message")
    for name, row in found.items():
        table.add_row(name, number(row["payload"]), number(row["message"]))
    console.print(table)
    fewer = found["FedAvg"]["message"] / found["EF21"]["message"]
    return found, Target("fewer bytes with Flower's framing, 1.1M weights", fewer, 50, "×", True)


def measure_time(console: Console, rounds: int) -> tuple[dict[str, Any], Target]:
    """Time the rounds of all methods in a simulation."""
    found = {name: best_and_median(taken) for name, taken in simulated(rounds).items()}
    table = new_table("A round of MNIST on the Simulation Engine, s", "method", "best", "median")
    for name, (best, middle) in found.items():
        table.add_row(name, f"{best:.2f}", f"{middle:.2f}")
    console.print(table)
    longer = found["EF21"][1] / found["FedAvg"][1]
    return dict(found), Target("a median round takes, of FedAvg's", longer, 1.15, "×")


def measure_memory(_: Console) -> tuple[float, Target]:
    """Measure what one client holds."""
    vectors = client_vectors(SIZE, COMPRESSOR)
    return vectors, Target("a client's peak with 25M weights, model vectors", vectors, 4)


def main() -> None:
    """Measure, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=24, help="of each method, for the time")
    arguments = parser.parse_args()
    if arguments.rounds < 8:
        parser.error("choose --rounds from 8: the first quarter is not counted")
    watch, facts, console = Stopwatch(), machine(), new_console()
    console.print(machine_line(facts), highlight=False)
    measured = {
        "bytes": lambda: measure_bytes(console),
        "time": lambda: measure_time(console, arguments.rounds),
        "memory": lambda: measure_memory(console),
    }
    found = {part: measured[part]() for part in PARTS if part in arguments.parts}
    targets = [target for _, target in found.values()]
    console.print(target_table(targets))
    console.print(watch.line(), highlight=False)
    if arguments.json:
        rows = {part: value for part, (value, _) in found.items()}
        write_json(arguments.json, facts, rows, targets)


if __name__ == "__main__":
    main()
