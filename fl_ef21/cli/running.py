"""Run a study to its end under a progress display."""
# ruff: noqa: PLC0415

import logging
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

import typer
from rich.console import Console

from fl_ef21.cli.options import Engine
from fl_ef21.engine.studies import Setting, Study

if TYPE_CHECKING:
    from fl_ef21.report.run_folder import RunFolder

POLL: Final = 0.2  # seconds between two looks at a run in this process
LOG: Final = "log.txt"
INTERRUPTED: Final = 130  # what a shell reports after Ctrl-C


def run(study: Study, engine: Engine, settings: dict[str, Setting], folder: "RunFolder") -> None:
    """Run the study to its end under a progress display, or leave with the reason."""
    from fl_ef21.engine.simulation import RunFailed

    try:
        with stopping_on_terminate():
            perform(study, engine, settings, folder)
    except KeyboardInterrupt:
        leave(f"Stopped. What was finished is in {folder.path}", INTERRUPTED)
    except RunFailed as failure:
        log = folder.path / LOG
        where = f"\nIts log: {log}" if log.exists() else ""
        leave(f"The run failed: {failure.reason}{where}", 1)


def perform(
    study: Study, engine: Engine, settings: dict[str, Setting], folder: "RunFolder"
) -> None:
    """Run the study to its end under a progress display; what it logs is in the run folder.

    Raises
    ------
    RunFailed
        If it came to no end, whatever the reason.
    """
    from fl_ef21.engine.simulation import RunFailed
    from fl_ef21.report.progress import RunProgress

    everything = {**study.settings, **settings}
    clients, rounds = int(everything["clients"]), everything.get("rounds")
    console = Console(stderr=True)
    progress = RunProgress(folder.history_path, int(rounds) if rounds else None, console)
    run_config = {**settings, "clients": clients, "out": str(folder.path)}
    log = folder.path / LOG
    try:
        with progress:
            _start(engine, study.path, clients, run_config, progress.poll, log)
    except RunFailed as failure:
        with log.open("a", encoding="utf-8") as file:
            file.write(failure.log)
        raise
    except OSError as error:  # no Flower command, no space left, ...
        raise RunFailed(str(error), log="") from error
    if not folder.is_finished():
        raise RunFailed(f"the study ended without writing a summary to {folder.path}", log="")


def _start(
    engine: Engine,
    study: Path,
    clients: int,
    run_config: Mapping[str, Setting],
    on_poll: Callable[[], None],
    log: Path,
) -> None:
    from fl_ef21.engine import simulation

    if engine is Engine.SIMULATION:
        simulation.run(study, clients=clients, run_config=run_config, on_poll=on_poll)
        return
    from fl_ef21.engine.study import run_study

    try:
        with _logging_to(log), _polling(on_poll):
            run_study(study, clients=clients, run_config=run_config)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise simulation.RunFailed(reason, traceback.format_exc()) from error


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Keep Flower's log off the screen, where the progress is, and in the run folder."""
    logger, file = (
        logging.getLogger("flwr"),
        logging.FileHandler(path, delay=True, encoding="utf-8"),
    )
    before, logger.handlers = logger.handlers, [file]
    try:
        yield
    finally:
        logger.handlers = before
        file.close()


@contextmanager
def _polling(poll: Callable[[], None]) -> Iterator[None]:
    """Call ``poll`` from a thread, while this one is busy being the server and the clients."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(POLL):
            poll()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Terminated(BaseException):
    """A polite kill on its way out: of a client, the mod survives even a SystemExit."""


@contextmanager
def stopping_on_terminate() -> Iterator[None]:
    """Let a polite kill unwind the engines too, so that no process of theirs stays behind."""

    def unwind(number: int, _: FrameType | None) -> NoReturn:
        raise Terminated(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except Terminated as asked:
        raise SystemExit(asked.args[0]) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(message: str, code: int) -> NoReturn:
    """End the command with a message and an exit code."""
    Console(stderr=True, highlight=False, markup=False).print(message, soft_wrap=True)
    raise typer.Exit(code)
