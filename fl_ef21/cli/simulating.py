"""``fl-ef21 simulate``: one run of a study."""
# ruff: noqa: PLC0415

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_ef21.cli import options
from fl_ef21.cli.keeping import kept_beside, resumed_settings
from fl_ef21.cli.running import run
from fl_ef21.cli.settings import asked, checked, default_of, refusing
from fl_ef21.engine.studies import Study, find_study

if TYPE_CHECKING:
    from fl_ef21.report.run_folder import RunFolder


@options.taking_settings
def simulate(
    study: Annotated[str, typer.Argument()] = options.DEFAULT_STUDY,
    *,
    flags: options.Flags,
    engine: options.EngineWord = None,
    full: options.Full = False,
    out: options.Out = None,
    checkpoint: options.Checkpoint = False,
    journal: options.Journal = False,
    resume: options.Resume = None,
) -> None:
    """Run a study and compare what its methods send with what they reach.

    STUDY is the name of a folder in simulations/, or the path of any Flower app folder. Without
    arguments: EF21 with Top-k against uncompressed training, on data that need no download.
    """
    with refusing("STUDY"):
        chosen = find_study(study)
    if resume is None:
        with refusing("--full"):
            size = chosen.full if full else {}
        settings = checked(chosen, {**size, **asked(chosen, flags)})
        with refusing("--out"):
            folder = _new_folder(chosen, out)
        kept = kept_beside(folder.path, checkpoint=checkpoint, journal=journal)
        with refusing("--checkpoint" if checkpoint else "--journal"):
            for key in kept:
                default_of(chosen, key)
    else:
        with refusing("--resume"):
            if out is not None:
                raise ValueError("a run goes on in its own folder; leave --out out")
            folder = _old_folder(resume)
            settings, kept = resumed_settings(chosen, folder, flags), {}
    with refusing("STUDY"):
        where = engine or options.Engine(chosen.engine or options.Engine.SIMULATION)
    run(chosen, where, {**settings, **kept}, folder)
    from fl_ef21.cli.showing import show

    show(chosen, folder)


def _old_folder(path: Path) -> "RunFolder":
    from fl_ef21.report.run_folder import RunFolder

    return RunFolder(path.expanduser().absolute())


def _new_folder(study: Study, out: Path | None) -> "RunFolder":
    from fl_ef21.report.run_folder import RunFolder, claim

    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    path = out if out is not None else Path("results", study.name, started)
    return RunFolder(claim(path.expanduser().absolute()))
