"""A comparison as the main function of a study's server app."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from fl_ef21.comparison.ending import Ending
from fl_ef21.comparison.running import Contender, FirstModel, Judge, Task, compare, open_folder
from fl_ef21.engine.studies import Setting


def run_comparison(
    grid: Grid,
    config: Mapping[str, Setting],
    contenders: Sequence[Contender],
    start: FirstModel,
    evaluate: Judge,
    ending: Ending,
) -> None:
    """Train every contender with every seed, and write down what each has sent and reached.

    Parameters
    ----------
    grid : Grid
        The nodes.
    config : mapping
        The run config: ``rounds``, ``seeds`` (as in ``0,1,2``), ``evaluate-every`` (rounds) and
        ``out``, among others. Clients are told the seed.
    contenders, start, evaluate, ending
        As in :class:`Task` and :class:`Ending`.
    """
    started, rounds = time.perf_counter(), int(config["rounds"])
    folder = open_folder(_out(str(config["out"]), ending.study), config, rounds)
    task = Task(
        start=start,
        evaluate=evaluate,
        told=lambda seed: ConfigRecord({"seed": seed}),
        rounds=rounds,
        every=int(config["evaluate-every"]),
    )
    seeds = [int(seed) for seed in str(config["seeds"]).split(",")]
    compare(grid, task, contenders, seeds, folder)
    ending.write(folder, time.perf_counter() - started)


def _out(out: str, study: str) -> Path:
    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return Path(out) if out else Path.cwd() / "results" / study / started
