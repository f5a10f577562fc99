"""How fast the in-process engine runs a small problem, against loops of numpy and FedAvg.

Run: python benchmarks/engine.py [--rounds 200] [--repeats 7] [--without-flower] [--json PATH]
         [--figure PATH.png]

EF21 Top-1 on phishing with n = 20 and λ = 0.1, one thread; then many clients, and memory. All
loops run in the same process in turn; times are CPU time, but for the comparison with FedAvg on
the Simulation Engine, which runs in several processes: there both are elapsed time.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import logging
from dataclasses import asdict, dataclass
from statistics import median
from time import process_time
from typing import Final

from _engine_loops import as_in_scripts, batched, dense, phishing, plain
from _engine_report import draw, memory_table, rounds_table, scaling_table
from _engine_runs import (
    Run,
    fedavg_seconds,
    peak_memory,
    phishing_app,
    scaling,
    wall_seconds,
)
from _report import (
    Stopwatch,
    Target,
    machine,
    machine_line,
    new_console,
    new_parser,
    target_table,
    write_json,
)

SIZE: Final = 68
STEP_SIZE: Final = 1.0
CLIENTS: Final = (20, 100, 500, 2000)
MESSAGES: Final = 20_000
MEMORY_SIZE: Final = 100_000
MEMORY_CLIENTS: Final = (20, 60)

PLAIN, BATCHED, SCRIPT = "plain loop over clients", "loop batched over clients", "as in scripts"
OURS, APART = "fl-ef21, in process", "fl-ef21, gradients one by one"
SERIALISED, FEDAVG = "fl-ef21, records as bytes", "Flower's FedAvg, simulated"
QUOTED_SCRIPT: Final = 500 / 3300
"""The authors' own script against a plain loop, both measured elsewhere; quoted."""


@dataclass(frozen=True)
class RoundRow:
    """Seconds of a round: the best and the median of all repeats."""

    name: str
    best: float
    median: float

    @property
    def rate(self) -> float:
        """Rounds a second, at best."""
        return 1 / self.best


@dataclass(frozen=True)
class ScalingRow:
    """CPU seconds of one client's message, early and late in a run."""

    clients: int
    first_half: float
    second_half: float


@dataclass(frozen=True)
class MemoryRow:
    """Growth of the peak with each client: model vectors, and bytes whatever their size."""

    initialisation: str
    vectors: float
    beside: float


def measure_rounds(rounds: int, repeats: int) -> list[RoundRow]:
    """Time all loops in turn, some rounds at a time."""
    objectives = phishing()
    clients = dense(objectives)

    def numpy_loop(loop):
        def seconds() -> float:
            started = process_time()
            loop(clients, STEP_SIZE, rounds)
            return (process_time() - started) / rounds

        return seconds

    def engine(app, isolation="none"):
        run = Run(app, len(clients), SIZE, STEP_SIZE, isolation)
        return lambda: median(run.seconds(rounds))

    cases = {
        PLAIN: numpy_loop(plain),
        BATCHED: numpy_loop(batched),
        SCRIPT: numpy_loop(as_in_scripts),
        OURS: engine(phishing_app(objectives)),
        APART: engine(phishing_app(objectives, together=False)),
        SERIALISED: engine(phishing_app(objectives), "serialised"),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, seconds in cases.items():
            times[name].append(seconds())
    return [RoundRow(name, min(taken), median(taken)) for name, taken in times.items()]


def measure_flower(rounds: int) -> tuple[RoundRow, RoundRow]:
    """Time FedAvg on the Simulation Engine and this engine by elapsed time."""
    objectives = phishing()
    fedavg = fedavg_seconds(rounds)
    ours = wall_seconds(Run(phishing_app(objectives), len(objectives), SIZE, 0.9 * STEP_SIZE), 200)
    return RoundRow(FEDAVG, fedavg, fedavg), RoundRow(f"{OURS}, elapsed", ours, ours)


def measure_scaling() -> list[ScalingRow]:
    """Time a message with more and more clients."""
    return [ScalingRow(clients, *scaling(clients, MESSAGES)) for clients in CLIENTS]


def measure_memory() -> list[MemoryRow]:
    """Measure how the peak grows from few clients to more."""
    rows = []
    few, many = MEMORY_CLIENTS
    for initialisation in ("compressed", "full"):
        small, large = (
            (peak_memory(many, size, initialisation) - peak_memory(few, size, initialisation))
            / (many - few)
            for size in (MEMORY_SIZE // 2, MEMORY_SIZE)
        )
        vectors = (large - small) / (8 * (MEMORY_SIZE - MEMORY_SIZE // 2))
        rows.append(MemoryRow(initialisation, vectors, large - vectors * 8 * MEMORY_SIZE))
    return rows


def all_targets(
    rounds: list[RoundRow],
    flower: tuple[RoundRow, RoundRow] | None,
    scale: list[ScalingRow],
    memory: list[MemoryRow],
) -> list[Target]:
    """Return every target of the engine."""
    rate = {row.name: row.rate for row in rounds}
    costs = [cost for row in scale for cost in (row.first_half, row.second_half)]
    targets = [
        Target("slower than the plain loop by", rate[PLAIN] / rate[OURS], 6, "×"),
        Target(
            "rounds / those of the authors' script (quoted: 500 to a plain loop's 3,300)",
            rate[OURS] / (QUOTED_SCRIPT * rate[PLAIN]),
            1,
            "×",
            at_least=True,
        ),
        Target("dearest message / cheapest, to 2,000 clients", max(costs) / min(costs), 1.5, "×"),
        Target("peak memory per client, model vectors", round(memory[0].vectors, 3), 2),
    ]
    if flower is not None:
        faster = flower[0].best / flower[1].best
        targets.append(
            Target("faster than FedAvg on the Simulation Engine by", faster, 50, "×", True)
        )
    return targets


def main() -> None:
    """Measure, print and write."""
    parser = new_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="of one repeat")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--without-flower", action="store_true", help="leave FedAvg out")
    arguments = parser.parse_args()
    if arguments.rounds < 10 or arguments.repeats < 1:
        parser.error("choose --rounds from 10 and --repeats from 1")
    # Lines of a log take longer than rounds.
    logging.getLogger("flwr").setLevel(logging.ERROR)
    watch, facts, console = Stopwatch(), machine(), new_console()

    rounds = measure_rounds(arguments.rounds, arguments.repeats)
    flower = None if arguments.without_flower else measure_flower(100)
    scale, memory = measure_scaling(), measure_memory()
    targets = all_targets(rounds, flower, scale, memory)

    console.print(machine_line(facts), highlight=False)
    console.print(rounds_table([*rounds, *(flower or ())]))
    console.print(scaling_table(scale))
    console.print(memory_table(memory, MEMORY_SIZE))
    console.print(target_table(targets))
    console.print(watch.line(), highlight=False)
    if arguments.json:
        plain_rows = {
            "rounds": [asdict(row) for row in [*rounds, *(flower or ())]],
            "scaling": [asdict(row) for row in scale],
            "memory": [asdict(row) for row in memory],
        }
        write_json(arguments.json, facts, plain_rows, targets)
    if arguments.figure:
        draw([*rounds, *(flower or ())], scale, arguments.figure, machine_line(facts))


if __name__ == "__main__":
    main()
