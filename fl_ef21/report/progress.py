"""How far a run is, read from its history while it lives."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fl_ef21.report.run_folder import HistoryReader

INTERVAL = 0.2  # seconds between two looks at the history
STEPS = 10  # lines per method where there is no terminal


class RunProgress:
    """Show a live run's progress: bars on a terminal, a line every tenth of the rounds elsewhere.

    Used as a context; :meth:`poll` is called as often as is convenient and reads the history at
    most five times a second, however long it has grown.

    Parameters
    ----------
    history : Path
        ``history.jsonl`` of the run folder; it need not exist yet.
    rounds : int or None
        Rounds of each method, or None where the study does not say.
    console : rich.console.Console
        Where to show it.
    clock : callable
        Seconds, monotonic; replaced in tests.
    """

    def __init__(
        self,
        history: Path,
        rounds: int | None,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = HistoryReader(history)
        self._clock = clock
        self._next_look = clock()
        self._sent: dict[str, int] = {}
        self._view = (
            _Bars(rounds, console) if console.is_terminal else _Lines(rounds, console, clock)
        )

    def __enter__(self) -> Self:
        self._view.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:  # what a stopped engine still wrote is in the run folder
            self._look()
        self._view.close()

    def poll(self) -> None:
        """Show what is new, unless the last look was a moment ago."""
        now = self._clock()
        if now >= self._next_look:
            self._look()
            self._next_look = now + INTERVAL

    def _look(self) -> None:
        for row in self._reader.read():
            method = row["method"]
            self._sent[method] = self._sent.get(method, 0) + row["uplink_payload_bytes"]
            self._view.show(row, self._sent[method])


class _Bars:
    """One bar per method, added when its first row appears."""

    def __init__(self, rounds: int | None, console: Console) -> None:
        self._rounds = rounds
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._starting: TaskID | None = None

    def open(self) -> None:
        self._progress.start()
        self._starting = self._progress.add_task("starting", total=None, state="")

    def show(self, row: dict[str, Any], sent: int) -> None:
        if self._starting is not None:
            self._progress.remove_task(self._starting)
            self._starting = None
        method = row["method"]
        if method not in self._tasks:
            self._tasks[method] = self._progress.add_task(method, total=self._rounds, state="")
        state = _state(row, sent, self._rounds)
        self._progress.update(self._tasks[method], completed=row["round"], state=state)

    def close(self) -> None:
        if self._starting is not None:
            self._progress.remove_task(self._starting)
        self._progress.stop()


class _Lines:
    """One line for every tenth of the rounds, for logs and pipes."""

    def __init__(self, rounds: int | None, console: Console, clock: Callable[[], float]) -> None:
        self._rounds = rounds
        self._console = console
        self._clock = clock
        self._started: dict[str, float] = {}

    def open(self) -> None:
        self._console.print("starting")

    def show(self, row: dict[str, Any], sent: int) -> None:
        method, done = row["method"], row["round"]
        elapsed = self._clock() - self._started.setdefault(method, self._clock())
        every = max(1, (self._rounds or STEPS * STEPS) // STEPS)
        if done == 0 or (done % every and done != self._rounds):
            return
        left = f", {elapsed / done * (self._rounds - done):.0f} s left" if self._rounds else ""
        state = _state(row, sent, self._rounds)
        self._console.print(f"{method}: round {state}, {elapsed:.0f} s{left}", soft_wrap=True)

    def close(self) -> None:
        """Nothing is held open."""


def _state(row: dict[str, Any], sent: int, rounds: int | None) -> str:
    of = f"/{rounds}" if rounds else ""
    loss = "" if row.get("loss") is None else f" loss {row['loss']:.4f}"
    return f"{row['round']}{of}{loss} {decimal(sent)} up"
