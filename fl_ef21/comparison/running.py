"""Several strategies, several seeds, one Grid: every round of each is a row of one history."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import INFO
from pathlib import Path
from typing import Any, Protocol

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid

from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.report.run_folder import Row, RunFolder
from fl_ef21.report.words import settings_of

FirstModel = Callable[[int], ArrayRecord]
"""From a seed to the first model."""

Judge = Callable[[ArrayRecord, int], Mapping[str, float]]
"""From a model and the seed to its numbers, such as ``loss`` and ``accuracy``."""


class Startable(Protocol):
    """A strategy with a history: ours, or one of Flower's that is metered."""

    history: list[RoundRecord]

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int,
        *,
        train_config: ConfigRecord | None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None,
        callbacks: Sequence[Callable[[RoundRecord, ArrayRecord], None]],
    ) -> object:
        """Run all rounds."""


@dataclass(frozen=True)
class Contender:
    """A label, and the strategy behind it for a seed."""

    label: str
    strategy: Callable[[int], Startable]


@dataclass(frozen=True)
class Task:
    """What all contenders are compared on.

    Attributes
    ----------
    start : callable
        From a seed to the first model.
    evaluate : callable
        From a model and the seed to its numbers, such as ``loss`` and ``accuracy``.
    told : callable
        From a seed to what clients are told beside the model.
    rounds, every : int
        Rounds of each contender, and after how many the model is evaluated; the last one is
        always.
    """

    start: FirstModel
    evaluate: Judge
    told: Callable[[int], ConfigRecord]
    rounds: int
    every: int = 1


def compare(
    grid: Grid, task: Task, contenders: Sequence[Contender], seeds: Sequence[int], folder: RunFolder
) -> None:
    """Run every contender with every seed, and append their rounds to the folder's history.

    What the history holds already is not run again.
    """
    finished = _finished(folder.rows(), task.rounds)
    for seed in seeds:
        for contender in contenders:
            if (contender.label, seed) not in finished:
                log(INFO, "Training %s, seed %d", contender.label, seed)
                _run(grid, task, contender, seed, folder)


def open_folder(path: Path, config: Mapping[str, Any], rounds: int) -> RunFolder:
    """Return a new run folder, or the one of an interrupted run with the same settings.

    Raises
    ------
    FileExistsError
        If it holds another run, or one that ended.
    """
    folder = RunFolder(path)
    if not folder.history_path.exists() or folder.is_finished():
        return RunFolder.create(path, config)
    asked = settings_of(folder.config())
    wanted = settings_of(config)
    if asked != wanted:
        changed = sorted(k for k in asked.keys() | wanted.keys() if asked.get(k) != wanted.get(k))
        raise FileExistsError(
            f"{path} holds a run with other settings ({', '.join(changed)}); give another folder"
        )
    rows = folder.rows()
    finished = _finished(rows, rounds)
    folder.history_path.unlink()
    folder.history_path.touch()
    for row in rows:
        if (row["method"], row["seed"]) in finished:
            folder.append(row)
    return folder


def _finished(rows: Sequence[Row], rounds: int) -> set[tuple[str, int]]:
    return {(row["method"], row["seed"]) for row in rows if row["round"] == rounds}


def _run(grid: Grid, task: Task, contender: Contender, seed: int, folder: RunFolder) -> None:
    strategy = contender.strategy(seed)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        if server_round % task.every and server_round != task.rounds:
            return None
        found = MetricRecord(dict(task.evaluate(arrays, seed)))
        if server_round == 0:
            record(RoundRecord.before_the_first(0.0), arrays, dict(found))
        return found

    def record(row: RoundRecord, _: ArrayRecord, evaluation: dict[str, Any] | None = None) -> None:
        # Envelopes differ a little from run to run; totals with them say how much framing costs.
        envelopes = {
            "uplink_envelope_bytes": row.uplink_envelope_bytes,
            "downlink_envelope_bytes": row.downlink_envelope_bytes,
        }
        told = {"method": contender.label, "seed": seed, **row.as_row(), **envelopes}
        folder.append({**told, **(evaluation or {})})

    strategy.start(
        grid,
        task.start(seed),
        task.rounds,
        train_config=task.told(seed),
        evaluate_fn=evaluate,
        callbacks=[record],
    )
    if not any(row.clients for row in strategy.history):
        reasons = strategy.history[0].reasons or ("no client answered",)
        raise RuntimeError(f"{contender.label}: no reply was accepted in any round: {reasons[0]}")
