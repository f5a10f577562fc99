"""Runs the real strategy and mod under a schedule of faults, and checks every round.

Deterministic: everything that happens follows from the schedule and the case, so that a seed that
fails fails again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.app.user_config import UserConfig
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from fl_ef21.engine.faults.checker import LogChecker
from fl_ef21.engine.faults.folding import BrokenInvariantError
from fl_ef21.engine.faults.grid import FaultyGrid, ServerCrashedError
from fl_ef21.engine.faults.schedule import FaultKind, FaultSchedule
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.round import MetricsAggregator
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy

SETTLED: Final = 6
"""Exchanges after the last fault, from which on nothing may fail or be rejected any more: late
replies have come, and everybody has joined again."""


@dataclass(frozen=True)
class Case:
    """What runs under faults: a method, a problem and how its progress is measured.

    Attributes
    ----------
    name : str
        For people.
    strategy : callable
        From keyword arguments, which it has to hand on, to a new strategy.
    app : callable
        From the Grid's clock, which returns whether faults still go on, to the clients' app,
        whose last mod is ``failing_mod``.
    node_configs : callable
        From a folder that lasts as long as the run to one node configuration for each client.
    arrays : callable
        Returns the first model.
    gap : callable
        ‖∇f‖² of a model.
    floor : float
        What ``gap`` has to reach once faults have stopped; infinite for methods that cannot.
    weight_of : callable
        mᵢ from client key and number of examples.
    scale_of : callable
        By what a client multiplies its signal, from its key.
    server : callable
        From a folder that lasts as long as the run to what else the strategy is given, such as
        ``checkpoint_dir``; with it a server that has died goes on from its last checkpoint.
    """

    name: str
    strategy: Callable[..., ErrorFeedbackStrategy]
    app: Callable[[Callable[[], bool]], ClientApp]
    node_configs: Callable[[Path], Sequence[UserConfig]]
    arrays: Callable[[], ArrayRecord]
    gap: Callable[[ArrayRecord], float]
    floor: float = 1e-24
    weight_of: Callable[[str, float], float] = lambda _, examples: examples
    scale_of: Callable[[str], float] = lambda _: 1.0
    server: Callable[[Path], Mapping[str, Any]] = lambda _: {}


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    Attributes
    ----------
    case : str
        Its name.
    seed : int
        Of the schedule.
    failure : str
        What broke; empty if nothing did.
    rounds, recovery : int
        All rounds, and those from the last fault to the floor.
    accepted, rejoined, compared : int
        Messages accepted, of these first ones of known clients, and clients' states compared.
    rejections, failures : int
        Replies quarantined and instructions without a good answer.
    crashes : int
        How often the server died.
    injected : mapping
        Faults by kind.
    gap : float
        ‖∇f‖² at the end.
    """

    case: str
    seed: int
    failure: str = ""
    rounds: int = 0
    recovery: int = 0
    accepted: int = 0
    rejoined: int = 0
    compared: int = 0
    rejections: int = 0
    failures: int = 0
    crashes: int = 0
    injected: Mapping[FaultKind, int] = field(default_factory=dict)
    gap: float = float("nan")


class _FloorReachedError(Exception):
    """Ends a run that has nothing left to show."""


class Simulation:
    """One run of a case under a schedule.

    Mutable: it follows its run, server after server.

    Parameters
    ----------
    case : Case
        What runs.
    schedule : FaultSchedule
        What goes wrong.
    folder : Path
        For what lasts longer than a process, of clients and server; empty at first.
    max_rounds : int
        After which a run that has not reached its floor is a failure.
    watch : callable, optional
        Called after every round with its row and ‖∇f‖², for people.
    """

    def __init__(
        self,
        case: Case,
        schedule: FaultSchedule,
        folder: Path,
        *,
        max_rounds: int = 400,
        watch: Callable[[RoundRecord, float], None] = lambda _row, _gap: None,
    ) -> None:
        self._case, self._max_rounds, self._watch = case, max_rounds, watch
        self._server = dict(case.server(folder))
        self.checker = LogChecker(case.weight_of, case.scale_of)
        self.grid = FaultyGrid(
            case.app(lambda: not self.grid.is_over),
            case.node_configs(folder),
            schedule,
            tap=self.checker.tap,
            rollback=schedule.seed % 2 == 0,
        )
        self.arrays = case.arrays()
        self._forgotten = 0  # rounds of servers of which nothing is left
        self._rounds = self._crashes = self._recovery = self._rejections = self._failures = 0
        self._gap = case.gap(self.arrays)

    def run(self) -> Outcome:
        """Run until the floor is reached; an invariant that breaks is part of the outcome."""
        failure = ""
        try:
            while not self._serve():
                self._crashes += 1
            failure = self._missed()
        except _FloorReachedError:
            pass
        # The answer to any bug is a seed that shows it.
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        checker = self.checker
        return Outcome(
            self._case.name,
            self.grid.schedule.seed,
            failure,
            self._rounds,
            self._recovery,
            checker.folding.accepted,
            checker.folding.rejoined,
            checker.compared,
            self._rejections,
            self._failures,
            self._crashes,
            dict(self.grid.injected),
            self._gap,
        )

    def _serve(self) -> bool:
        """Let one server live; return whether it came to the end of its rounds."""
        strategy = self._case.strategy(
            train_metrics_aggr_fn=self._aggregation(),
            seed=self.grid.schedule.seed,
            **self._server,
        )
        checkpoint = self._last_checkpoint()
        if checkpoint is None:
            self._forgotten = self._rounds
            self.checker.begin(self.grid, strategy, self.arrays)
        else:
            self.checker.resume(strategy, checkpoint)
        try:
            strategy.start(
                self.grid,
                self.arrays,
                num_rounds=self._max_rounds - self._forgotten,
                callbacks=[self._after_round],
                resume_from=None if checkpoint is None else self._server["checkpoint_dir"],
            )
        except ServerCrashedError:
            return False
        return True

    def _last_checkpoint(self) -> int | None:
        """Return the round of the last checkpoint, if there is any."""
        folder = self._server.get("checkpoint_dir")
        names = sorted(path.stem for path in Path(folder).glob("*.checkpoint")) if folder else []
        return int(names[-1].split("-")[-1]) if names else None

    def _aggregation(self) -> MetricsAggregator:
        def aggregate(records: list[RecordDict], weighted_by_key: str) -> MetricRecord:
            self.grid.reached("crash-aggregating")
            return aggregate_metricrecords(records, weighted_by_key)

        return aggregate

    def _after_round(self, row: RoundRecord, arrays: ArrayRecord) -> None:
        self.checker.after_round(row, arrays)
        self.arrays, self._gap = arrays, self._case.gap(arrays)
        self._rounds += 1
        self._rejections += row.rejections
        self._failures += row.failures
        self._watch(row, self._gap)
        self.grid.reached("crash-after-round")
        if not self.grid.is_over:
            return
        self._recovery += 1
        if self.grid.exchange > self.grid.schedule.exchanges + SETTLED:
            if row.failures or row.rejections:
                raise BrokenInvariantError(
                    f"round {row.round}, long after the last fault: {', '.join(row.reasons)}"
                )
            if self._gap <= self._case.floor:
                raise _FloorReachedError

    def _missed(self) -> str:
        return (
            f"the floor {self._case.floor:g} was not reached in {self._recovery} rounds without "
            f"faults: ‖∇f‖² = {self._gap:.3g}"
        )


def simulate(case: Case, schedule: FaultSchedule, **options: Any) -> Outcome:  # noqa: ANN401
    """Run a case under a schedule; parameters are those of :class:`Simulation`."""
    with TemporaryDirectory(prefix="fl-ef21-faults-") as folder:
        return Simulation(case, schedule, Path(folder), **options).run()
