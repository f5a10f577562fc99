"""Runs arms one after the other, each to its target, and writes the run folder."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid

from fl_ef21.comparison.ending import Check, at_most
from fl_ef21.engine.studies import Setting
from fl_ef21.experiments.answering import PARAMETERS
from fl_ef21.experiments.arm import DIVERGED, REACHED, STOPPED, Arm, Outcome
from fl_ef21.experiments.problem import Problem
from fl_ef21.experiments.recorder import Recorder
from fl_ef21.flower import RoundRecord
from fl_ef21.report.report import write_report
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.sheet import Sheet
from fl_ef21.report.style import save
from fl_ef21.report.summary import summarise

HOPELESS: Final = 1e12
"""How many times ‖∇f‖² may grow before a run is given up."""


class _Ended(Exception):  # noqa: N818 - no error: the only way out of Flower's loop
    """Leaves a strategy's rounds before their last."""


class Races:
    """Runs arms on a Grid and collects their outcomes.

    Mutable: it holds the outcomes.

    Parameters
    ----------
    study : str
        Its name.
    grid : Grid
        One node for each client of every problem.
    config : mapping
        The run config: ``rounds`` is the most of each arm, ``accuracy`` the share of ‖∇f(x⁰)‖²
        at which an arm has reached its target, and ``out`` the folder, by default
        ``results/STUDY/TIME``.
    problems : mapping of Problem
        By name.
    """

    def __init__(
        self,
        study: str,
        grid: Grid,
        config: Mapping[str, Setting],
        problems: Mapping[str, Problem],
    ) -> None:
        self.started = time.perf_counter()
        self.outcomes: list[Outcome] = []
        self._study, self._grid, self._problems = study, grid, problems
        self._rounds, self._accuracy = int(config["rounds"]), float(config["accuracy"])
        self._seed = int(config["seed"])
        self.folder = RunFolder.create(_out(str(config["out"]), study), config)

    def run(self, arm: Arm, rounds: int | None = None, accuracy: float | None = None) -> Outcome:
        """Run an arm to its target, or for ``rounds``; an ``accuracy`` of 0 is never reached."""
        problem = self._problems[arm.problem]
        share = self._accuracy if accuracy is None else accuracy
        course = _Course(problem, arm, rounds or self._rounds, share, self.folder)
        told = ConfigRecord(
            {
                "problem": arm.problem,
                "minibatch": arm.minibatch,
                "report-loss": arm.strategy.steps.rule == "auto",
                "seed": self._seed,
            }
        )
        with quiet():
            outcome = course.run(self._grid, told)
        self.outcomes.append(outcome)
        return outcome

    def best_of(
        self, arms: Iterable[Arm], patience: int | None = None, *, cut: bool = True
    ) -> Outcome:
        """Run arms that differ in the step alone; return the best.

        That is the one that reaches the target in the fewest rounds, or else comes nearest.

        Parameters
        ----------
        arms : iterable of Arm
            In the order in which they are run.
        patience : int, optional
            How many in a row may be no better before the others are left out.
        cut : bool
            Whether an arm is stopped once it has had as many rounds as the best so far.
        """
        best: Outcome | None = None
        worse = 0
        for arm in arms:
            known = cut and best is not None and best.end == REACHED
            outcome = self.run(arm, best.rounds if known and best else self._rounds)
            if best is None or outcome.merit < best.merit:
                best, worse = outcome, 0
            else:
                worse += 1
            if patience is not None and worse >= patience:
                break
        if best is None:
            raise ValueError("there is no arm to choose from; give at least one")
        return best

    def finish(
        self,
        checks: Sequence[Check],
        sheets: Mapping[str, Sheet],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the summary, the figures and the report."""
        for name, sheet in sheets.items():
            save(sheet.figure(), self.folder.path / "figures" / f"{name}.png")
        totals = {total["method"]: total for total in summarise(self.folder.rows(), "")}
        self.folder.write_summary(
            {
                "study": self._study,
                "status": "completed",
                "seconds": time.perf_counter() - self.started,
                "problems": [problem.described() for problem in self._problems.values()],
                "methods": [{**totals[o.arm.method], **_facts(o)} for o in self.outcomes],
                "checks": [asdict(check) for check in checks],
                **(more or {}),
            }
        )
        write_report(self.folder, list(sheets.values()))

    def histories(
        self, outcomes: Sequence[Outcome] | None = None
    ) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
        """Return rows by panel and by line, of all outcomes or of those given."""
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in self.folder.rows():
            rows.setdefault(row["method"], []).append(row)
        panels: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
        for outcome in self.outcomes if outcomes is None else outcomes:
            arm = outcome.arm
            panels.setdefault(arm.problem, {})[arm.name] = rows[arm.method]
        return panels

    def of(self, experiment: str) -> list[Outcome]:
        """Return the outcomes of an experiment, in order."""
        return [outcome for outcome in self.outcomes if outcome.arm.experiment == experiment]


def all_accepted(races: Races) -> Check:
    """Return the check that every reply of every arm was accepted."""
    refused = sum(row["rejections"] + row["failures"] for row in races.folder.rows())
    return at_most("replies that were rejected or failed", refused, 0, kind="derived here")


class _Course:
    """One arm's way: watches the gradient, records rows, and ends it."""

    def __init__(
        self, problem: Problem, arm: Arm, rounds: int, accuracy: float, folder: RunFolder
    ) -> None:
        self._problem, self._arm, self._rounds = problem, arm, rounds
        self._accuracy = accuracy
        self._recorder = Recorder(folder, {"method": arm.method, "problem": arm.panel})
        self._sent, self._done = 0, 0
        self._norms: tuple[float, float] = (np.nan, np.nan)
        self._losses: tuple[float, float] = (np.nan, np.nan)
        self._end = ""
        self._latest: RoundRecord | None = None

    def run(self, grid: Grid, told: ConfigRecord) -> Outcome:
        arrays = ArrayRecord({PARAMETERS: Array(self._problem.first)})
        try:
            self._arm.strategy.start(
                grid,
                arrays,
                self._rounds,
                train_config=told,
                evaluate_fn=self._evaluate,
                callbacks=[self._after],
            )
        except _Ended:
            pass
        except FloatingPointError:
            self._end = DIVERGED
            self._losses = (self._losses[0], np.inf)
            if self._latest is not None:
                self._record(self._latest, last=True)
        return Outcome(
            self._arm,
            self._end,
            self._done,
            *self._norms,
            *self._losses,
            bits=8 * self._sent / len(self._problem.objectives),
        )

    def _evaluate(self, server_round: int, arrays: ArrayRecord) -> MetricRecord:
        x = arrays[PARAMETERS].numpy().astype(np.float64, copy=False)
        # A step that is too long may take the model to where squares are infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            norm = float(np.sum(np.square(self._problem.gradient(x))))
            self._norms = (norm if server_round == 0 else self._norms[0], norm)
            self._end = self._judged(server_round)
            found = {"gradient_norm_squared": norm}
            if self._end or self._recorder.wants(server_round):
                loss = self._problem.value(x)
                self._losses = (loss if server_round == 0 else self._losses[0], loss)
                found["loss"] = loss
        if server_round == 0:
            start = RoundRecord.before_the_first(self._arm.strategy.step_size)
            self._record(replace(start, evaluation=found))
        return MetricRecord({**found})

    def _judged(self, server_round: int) -> str:
        first, last = self._norms
        if not isfinite(last) or last > HOPELESS * first:
            return DIVERGED
        if server_round and last <= self._accuracy * first:
            return REACHED
        return STOPPED if server_round >= self._rounds else ""

    def _after(self, row: RoundRecord, _: ArrayRecord) -> None:
        self._latest, self._done = row, row.round
        self._sent += row.uplink_payload_bytes
        self._record(row, last=bool(self._end))
        if self._end:
            # Also after the last round: Flower would go on to print every round's metrics.
            raise _Ended

    def _record(self, row: RoundRecord, *, last: bool = False) -> None:
        share = 8 / len(self._problem.objectives)
        both_ways = row.uplink_bytes + row.downlink_bytes
        bits = {
            "uplink_payload_bits_per_client": share * row.uplink_payload_bytes,
            "sent_both_ways_bits_per_client": share * both_ways,
        }
        self._recorder.add({**row.as_row(), **bits}, last=last)


def _facts(outcome: Outcome) -> dict[str, object]:
    arm = outcome.arm
    return {
        "experiment": arm.experiment,
        "problem": arm.problem,
        "name": arm.name,
        "multiple": arm.multiple,
        "step": arm.step,
        "kind": arm.kind,
        "end": outcome.end,
        "bits_per_client": outcome.bits,
    }


def _out(out: str, study: str) -> Path:
    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return Path(out) if out else Path.cwd() / "results" / study / started


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Flower says of each strategy, and of each of 10⁴ rounds, out of the log."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
