"""``fl-ef21 sweep``: a study with every combination of a grid, one run after the other."""
# ruff: noqa: PLC0415

import hashlib
import json
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from fl_ef21.cli import options
from fl_ef21.cli.comparing import show_comparison
from fl_ef21.cli.grid import combinations
from fl_ef21.cli.running import INTERRUPTED, leave, perform, stopping_on_terminate
from fl_ef21.cli.settings import asked, checked, refusing, setting_from_text
from fl_ef21.engine.studies import Setting, Study, find_study

if TYPE_CHECKING:
    from fl_ef21.report.sweep_folder import Entry, SweepFolder

PAGE: Final = "report.html"
LOCK: Final = "sweep.lock"
SHOWN: Final = 5
"""Combinations that cannot run of which the reason is printed."""


@options.taking_settings
def sweep(
    study: Annotated[str, typer.Argument(show_default=False)],
    *,
    grid: Annotated[
        list[str],
        typer.Option(
            metavar="GRID",
            help='Settings and their values, as "compressor=topk:1,topk:5 step-size=auto,theory":'
            " every combination is a run. Values with a comma or a space stand in quotes. Several"
            " grids are added up.",
            show_default=False,
        ),
    ],
    flags: options.Flags,
    engine: Annotated[
        options.Engine,
        typer.Option(
            help="Where the runs are made. In process by default, as the numbers are the same and"
            " no engine has to start for each run.",
            rich_help_panel=options.RUN,
        ),
    ] = options.Engine.IN_PROCESS,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder of the sweep.",
            show_default="results/STUDY/sweep-ID, the same for the same command",
            rich_help_panel=options.RUN,
        ),
    ] = None,
    table: options.Table = None,
) -> None:
    """Run a study with every combination of a grid, and lay the runs over each other.

    The folder has one sub-folder a run, sweep.json with the state of each, and at the end a table,
    figures and a page over all runs. Started again, the same command goes on where it was stopped:
    what is finished is not run again. A grid may grow.
    """
    with refusing("STUDY"):
        chosen = find_study(study)
    wanted = _wanted(chosen, grid, flags)
    with refusing("--out"):
        path = (out or _default_folder(chosen, wanted)).expanduser().absolute()
        folder = _prepared(path, chosen, wanted)
    command = _command(study, grid, flags, engine, path)
    with _alone(path):
        failed = _run_all(chosen, engine, folder, command)
        _report(folder, command, table)
    if failed:
        reasons = "\n".join(f"  {folder.folder_of(e)}: {e.reason}" for e in failed)
        again = f"{_count(len(failed), 'run')} failed; the command again tries them again"
        leave(f"{again}\n{reasons}", 1)


def _wanted(study: Study, grids: Sequence[str], flags: options.Flags) -> list[dict[str, Setting]]:
    """Return the settings of every run, or leave if one of them cannot be run."""
    fixed = asked(study, flags)
    with refusing("--grid"):
        found = combinations(grids)
        if twice := sorted({key for c in found for key in c} & fixed.keys()):
            raise ValueError(f"{', '.join(twice)} is in the grid and given by a flag; give it once")
        typed = [{k: setting_from_text(study, k, v) for k, v in c.items()} for c in found]
    settings, refused = [], []
    for combination in typed:
        try:
            settings.append(checked(study, {**fixed, **combination}))
        except typer.BadParameter as error:
            text = " ".join(f"{key}={value}" for key, value in combination.items())
            refused.append(f"{text}: {error.message}")
    if refused:
        shown = "; ".join(refused[:SHOWN])
        raise typer.BadParameter(
            f"{_count(len(refused), 'combination')} of {len(typed)} cannot be run: {shown}. Give"
            " several --grid, which are added up, so that each method has what fits it",
            param_hint="--grid",
        )
    return settings


def _default_folder(study: Study, wanted: Sequence[dict[str, Setting]]) -> Path:
    """Return the same folder for the same runs, so that the same command goes on."""
    text = json.dumps([str(study.path), wanted], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return Path("results", study.name, f"sweep-{digest}")


def _prepared(path: Path, study: Study, wanted: Sequence[dict[str, Setting]]) -> "SweepFolder":
    """Return the sweep's folder, once it is sure that all of its runs can write to it."""
    from fl_ef21.report.run_folder import writable
    from fl_ef21.report.sweep_folder import SweepFolder

    folder = SweepFolder.continued(writable(path), str(study.path), wanted)
    for entry in folder.waiting():
        writable(folder.folder_of(entry))
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the sweep's folder against a second command; a killed one lets it go."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(path / LOCK, timeout=0):
            yield
    except Timeout:
        leave(f"Another sweep is at work in {path}; wait for it, or give another --out", 1)


def _run_all(
    study: Study, engine: options.Engine, folder: "SweepFolder", command: str
) -> "list[Entry]":
    """Make the runs that have not finished; return those that failed."""
    from fl_ef21.report.sweep_folder import State

    console = Console(stderr=True, highlight=False, markup=False)
    waiting = folder.waiting()
    done = len(folder.entries) - len(waiting)
    if done:
        console.print(f"{_count(done, 'run')} of {len(folder.entries)} finished before")
    folder.write()
    started = time.monotonic()
    try:
        with stopping_on_terminate():
            for place, entry in enumerate(waiting):
                left = _left(time.monotonic() - started, place, len(waiting))
                number = f"[{done + place + 1}/{len(folder.entries)}]"
                console.print(f"{number} {entry.folder}{left}", soft_wrap=True)
                _run_one(study, engine, folder, entry, console)
    except KeyboardInterrupt:
        leave(f"Stopped. To go on: {command}", INTERRUPTED)
    return [entry for entry in folder.entries if entry.state is State.FAILED]


def _run_one(
    study: Study,
    engine: options.Engine,
    folder: "SweepFolder",
    entry: "Entry",
    console: Console,
) -> None:
    from fl_ef21.engine.simulation import RunFailed
    from fl_ef21.report.run_folder import RunFolder, claim
    from fl_ef21.report.sweep_folder import State

    folder.clear(entry)
    folder.note(entry, State.RUNNING)
    try:
        records = RunFolder(claim(folder.folder_of(entry)))
        perform(study, engine, dict(entry.settings), records)
    except RunFailed as failure:
        folder.note(entry, State.FAILED, failure.reason)
        console.print(f"failed: {failure.reason}", soft_wrap=True)
    except BaseException:
        folder.note(entry, State.WAITING)
        raise
    else:
        folder.note(entry, State.FINISHED)


def _report(folder: "SweepFolder", command: str, table: options.TableForm | None) -> None:
    """Lay the finished runs over each other, and show where that is."""
    from fl_ef21.report.comparison import compare
    from fl_ef21.report.report import write_comparison
    from fl_ef21.report.runs import read_runs

    if not folder.finished():
        return
    comparison = compare(read_runs([folder.path]))
    page = write_comparison(comparison, folder.path, PAGE, command)
    show_comparison(comparison, page, table)


def _command(
    study: str, grids: Sequence[str], flags: options.Flags, engine: options.Engine, path: Path
) -> str:
    """Return the command that goes on with the sweep."""
    words = ["fl-ef21", "sweep", study]
    words += [word for grid in grids for word in ("--grid", grid)]
    words += [word for key, value in flags.given.items() for word in (f"--{key}", str(value))]
    words += [word for pair in flags.more for word in ("--set", pair)]
    if engine is not options.Engine.IN_PROCESS:
        words += ["--engine", engine.value]
    return shlex.join([*words, "--out", str(path)])


def _left(seconds: float, done: int, of: int) -> str:
    return f", about {seconds / done * (of - done):.0f} s left" if done else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
