"""The ``fl-ef21`` command.

What a command needs is imported inside it, so that ``--help`` answers at once.
"""
# ruff: noqa: PLC0415

import logging
import math
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from fl_ef21._version import __version__
from fl_ef21.engine.studies import Setting, Study, find_study

if TYPE_CHECKING:
    from fl_ef21.report.run_folder import RunFolder

DEFAULT_STUDY = "quickstart"
POLL = 0.2  # seconds between two looks at a run in this process
INTERRUPTED = 130  # what a shell reports after Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


class Engine(StrEnum):
    """Where a study runs."""

    SIMULATION = "simulation"
    IN_PROCESS = "in-process"


def _default(key: str) -> str:
    """Return a default as help shows it, from the one place where it stands."""
    try:
        return f"{DEFAULT_STUDY}: {find_study(DEFAULT_STUDY).settings[key]}"
    except (ValueError, KeyError):
        return "the study's"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fl-ef21 {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Federated learning with compressed updates: EF21 and its family on Flower."""


@app.command()
def simulate(
    study: Annotated[str, typer.Argument()] = DEFAULT_STUDY,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="The data set: a known name, or a LIBSVM file (.bz2 and .gz are fine).",
            show_default=_default("data"),
        ),
    ] = None,
    clients: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many clients share the data.", show_default=_default("clients")
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option(
            help="How the data are split: dirichlet:0.3 skews the labels (smaller is more skewed),"
            " contiguous cuts the file into chunks.",
            show_default=_default("partition"),
        ),
    ] = None,
    compressor: Annotated[
        str | None,
        typer.Option(
            help="What a client sends: topk:0.02 the largest 2 % of the entries, topk:5 the"
            " largest five, identity everything.",
            show_default=_default("compressor"),
        ),
    ] = None,
    step_size: Annotated[
        str | None,
        typer.Option(
            help="The server's step: a number, or a rule that the study knows by name.",
            show_default=_default("step-size"),
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of each method.", show_default=_default("rounds")),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="simulation: Flower's Simulation Engine, as in flwr run."
            " in-process: the same app in this process, without the engine's start-up."
        ),
    ] = Engine.SIMULATION,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new folder for the records.", show_default="results/STUDY/TIME", metavar="DIR"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Decides everything that is random.", show_default=_default("seed")
        ),
    ] = None,
) -> None:
    """Run a study and compare what its methods send with what they reach.

    STUDY is the name of a folder in simulations/, or the path of any Flower app folder. Without
    arguments: EF21 with Top-k against uncompressed training, on data that need no download.
    """
    with _refusing("STUDY"):
        chosen = find_study(study)
    settings = _settings(
        chosen,
        {
            "data": data,
            "clients": clients,
            "partition": partition,
            "compressor": compressor,
            "step-size": step_size,
            "rounds": rounds,
            "seed": seed,
        },
    )
    with _refusing("--out"):
        folder = _new_folder(chosen, out)
    _run(chosen, engine, settings, folder)
    _show(chosen, folder)


@contextmanager
def _refusing(parameter: str) -> Iterator[None]:
    """Turn what the library says of a bad argument into a usage error, exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint=parameter) from error


def _settings(study: Study, flags: Mapping[str, Setting | None]) -> dict[str, Setting]:
    """Return the run config that the flags ask for, refusing what can be refused without a run."""
    given = {key: value for key, value in flags.items() if value is not None}
    for key in given:
        if key not in study.settings:
            raise typer.BadParameter(
                f"study {study.name!r} has no setting {key!r}; it has {', '.join(study.settings)}",
                param_hint=f"--{key}",
            )
    if "data" in given and Path(str(given["data"])).exists():
        given["data"] = str(Path(str(given["data"])).resolve())
    for key, check in _CHECKS.items():
        if key in given:
            with _refusing(f"--{key}"):
                check(str(given[key]))
    return given


def _check_compressor(text: str) -> None:
    from fl_ef21.compressors import from_text

    from_text(text)


def _check_data(text: str) -> None:
    from fl_ef21.data import known_names

    if text not in known_names() and not Path(text).is_file():
        raise ValueError(
            f"{text!r} is no known data set and no file; known are {', '.join(known_names())}"
        )


def _check_partition(text: str) -> None:
    from fl_ef21.data import partition_from_text

    partition_from_text(text)


def _check_step_size(text: str) -> None:
    """Refuse a number that is no step; words are the study's own."""
    try:
        number = float(text)
    except ValueError:
        return
    if not 0 < number < math.inf:
        raise ValueError(f"step size {text} is outside (0, ∞); give a positive number")


_CHECKS = {
    "data": _check_data,
    "compressor": _check_compressor,
    "partition": _check_partition,
    "step-size": _check_step_size,
}


def _new_folder(study: Study, out: Path | None) -> "RunFolder":
    from fl_ef21.report.run_folder import RunFolder, claim

    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    path = out if out is not None else Path("results", study.name, started)
    return RunFolder(claim(path.expanduser().absolute()))


def _run(study: Study, engine: Engine, settings: dict[str, Setting], folder: "RunFolder") -> None:
    """Run the study to its end under a progress display, or leave with the reason."""
    from fl_ef21.engine.simulation import RunFailed
    from fl_ef21.report.progress import RunProgress

    everything = {**study.settings, **settings}
    clients, rounds = int(everything["clients"]), everything.get("rounds")
    console = Console(stderr=True)
    progress = RunProgress(folder.history_path, int(rounds) if rounds else None, console)
    run_config = {**settings, "clients": clients, "out": str(folder.path)}
    log = folder.path / "log.txt"
    try:
        with _stopping_on_terminate(), progress:
            _start(engine, study.path, clients, run_config, progress.poll, log)
    except KeyboardInterrupt:
        _leave(f"Stopped. What was finished is in {folder.path}", INTERRUPTED)
    except RunFailed as failure:
        with log.open("a", encoding="utf-8") as file:
            file.write(failure.log)
        _leave(f"The run failed: {failure.reason}\nIts log: {log}", 1)
    except OSError as error:  # no Flower command, no space left, ...
        _leave(f"The run failed: {error}", 1)
    if not folder.is_finished():
        _leave(f"The study ended without writing a summary to {folder.path}", 1)


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


@contextmanager
def _stopping_on_terminate() -> Iterator[None]:
    """Let a polite kill unwind the engines too, so that no process of theirs stays behind."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(study: Study, folder: "RunFolder") -> None:
    from fl_ef21.report.draw import draw_run
    from fl_ef21.report.summary import describe_problem, headline
    from fl_ef21.report.table import summary_table

    console = Console(highlight=False, markup=False)
    summary = folder.summary()
    problem = summary.get("problem", {})
    title = headline(summary["study"], folder.config(), problem.get("clients"))
    console.print(summary_table(summary["methods"], title, console.width))
    lines = [("Problem", describe_problem(problem))] if problem else []
    lines += [("Figure", str(figure)) for figure in draw_run(folder)]
    lines += [("Records", str(folder.path))]
    for word, text in lines:
        console.print(f"{word:8} {text}", soft_wrap=True)
    again = f"fl-ef21 simulate {study.name} --compressor topk:0.005"
    console.print(f"Next     compare another compressor: {again}", soft_wrap=True)


def _leave(message: str, code: int) -> NoReturn:
    Console(stderr=True, highlight=False, markup=False).print(message, soft_wrap=True)
    raise typer.Exit(code)
