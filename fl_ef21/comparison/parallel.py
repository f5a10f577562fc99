"""A study's seeds side by side, each in a process of its own, and their runs put together.

``python simulations/STUDY/run.py`` calls :func:`main`.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer

from fl_ef21.comparison.running import open_folder
from fl_ef21.comparison.tables import markdown_checks, markdown_table
from fl_ef21.engine.studies import Setting, find_study
from fl_ef21.engine.study import importable, run_study
from fl_ef21.report.run_folder import RunFolder


def main(study: Path) -> None:
    """Read the command line and run a study."""

    def command(
        out: Annotated[Path | None, typer.Option(help="A folder; one that exists goes on.")] = None,
        jobs: Annotated[int, typer.Option(min=1, help="Seeds side by side.")] = 2,
        setting: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting of the study."),
        ] = None,
    ) -> None:
        """Run all seeds of the study in process; print the table and where the records are."""
        started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        path = (out or Path("results", study.name, started)).absolute()
        try:
            settings = _settings(find_study(str(study)).settings, setting or [])
            folder = run_seeds(study, path, settings, jobs)
        except (OSError, ValueError) as error:  # data that are not there, a setting that is none
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from error
        summary = folder.summary()
        typer.echo(markdown_table(summary["methods"]))
        typer.echo(markdown_checks(summary["checks"]))
        typer.echo(f"Records  {folder.path}")

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()


def run_seeds(study: Path, out: Path, settings: Mapping[str, Setting], jobs: int) -> RunFolder:
    """Run each seed of a study in a process of its own, and put the runs together.

    Seeds that have ended in ``out`` already are not run again.

    Parameters
    ----------
    study, out : Path
        The study's folder, and a folder for the records, absolute.
    settings : mapping
        All settings, ``seeds`` among them.
    jobs : int
        Processes at a time.

    Returns
    -------
    RunFolder
        All seeds' rounds, with one summary and one figure.
    """
    started = time.perf_counter()
    seeds = str(settings["seeds"]).split(",")
    folders = [out / f"seed-{seed}" for seed in seeds]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        tasks = [
            pool.submit(_run_one, study, {**settings, "seeds": seed, "out": str(folder)})
            for seed, folder in zip(seeds, folders, strict=True)
            if not RunFolder(folder).is_finished()
        ]
        for task in tasks:
            task.result()
    return _together(study, out, folders, settings, time.perf_counter() - started)


def _together(
    study: Path,
    out: Path,
    folders: Sequence[Path],
    settings: Mapping[str, Setting],
    seconds: float,
) -> RunFolder:
    whole = RunFolder(out)
    whole.history_path.unlink(missing_ok=True)
    (out / "summary.json").unlink(missing_ok=True)
    (out / "config.json").unlink(missing_ok=True)
    whole = open_folder(out, {**settings, "out": str(out)}, int(settings["rounds"]))
    for folder in folders:
        for row in RunFolder(folder).rows():
            whole.append(row)
    with importable(study):
        import_module("checks").ending(settings).write(whole, seconds)
    return whole


def _run_one(study: Path, settings: Mapping[str, Setting]) -> None:
    # A line for each contender is enough; Flower has several a round.
    logger = logging.getLogger("flwr")
    logger.addFilter(lambda record: "Training" in record.getMessage() or record.levelno > 30)
    run_study(study, clients=int(settings["clients"]), run_config=dict(settings))


def _settings(known: Mapping[str, Setting], given: Sequence[str]) -> dict[str, Setting]:
    """Return the study's settings with those of the command line, in the types that they have."""
    settings = dict(known)
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or key not in settings:
            raise typer.BadParameter(
                f"{text!r} sets nothing; write KEY=VALUE with one of {', '.join(settings)}"
            )
        settings[key] = type(settings[key])(value)
    return settings
