"""``fl-ef21 simulate``: one run of a study."""
# ruff: noqa: PLC0415

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_ef21.cli import options
from fl_ef21.cli.running import run
from fl_ef21.cli.settings import asked, checked, refusing
from fl_ef21.engine.studies import Study, find_study

if TYPE_CHECKING:
    from fl_ef21.report.run_folder import RunFolder


@options.taking_settings
def simulate(
    study: Annotated[str, typer.Argument()] = options.DEFAULT_STUDY,
    *,
    flags: options.Flags,
    engine: options.EngineWord = options.Engine.SIMULATION,
    out: options.Out = None,
) -> None:
    """Run a study and compare what its methods send with what they reach.

    STUDY is the name of a folder in simulations/, or the path of any Flower app folder. Without
    arguments: EF21 with Top-k against uncompressed training, on data that need no download.
    """
    with refusing("STUDY"):
        chosen = find_study(study)
    settings = checked(chosen, asked(chosen, flags))
    with refusing("--out"):
        folder = _new_folder(chosen, out)
    run(chosen, engine, settings, folder)
    from fl_ef21.cli.showing import show

    show(chosen, folder)


def _new_folder(study: Study, out: Path | None) -> "RunFolder":
    from fl_ef21.report.run_folder import RunFolder, claim

    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    path = out if out is not None else Path("results", study.name, started)
    return RunFolder(claim(path.expanduser().absolute()))
