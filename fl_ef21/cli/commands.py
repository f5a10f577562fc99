"""The commands."""
# ruff: noqa: PLC0415

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fl_ef21._version import __version__
from fl_ef21.cli import options
from fl_ef21.cli.running import run
from fl_ef21.cli.settings import checked_settings, refusing
from fl_ef21.engine.studies import Study, find_study

if TYPE_CHECKING:
    from fl_ef21.report.run_folder import RunFolder

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


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
    study: Annotated[str, typer.Argument()] = options.DEFAULT_STUDY,
    *,
    data: options.Data = None,
    clients: options.Clients = None,
    partition: options.Partition = None,
    method: options.Method = None,
    compressor: options.CompressorText = None,
    step_size: options.StepSize = None,
    server: options.ServerText = None,
    downlink: options.DownlinkText = None,
    participation: options.Participation = None,
    scope: options.ScopeWord = None,
    initialisation: options.InitialisationWord = None,
    minibatch: options.Minibatch = None,
    rounds: options.Rounds = None,
    engine: options.EngineWord = options.Engine.SIMULATION,
    out: options.Out = None,
    seed: options.Seed = None,
) -> None:
    """Run a study and compare what its methods send with what they reach.

    STUDY is the name of a folder in simulations/, or the path of any Flower app folder. Without
    arguments: EF21 with Top-k against uncompressed training, on data that need no download.
    """
    with refusing("STUDY"):
        chosen = find_study(study)
    settings = checked_settings(
        chosen,
        {
            "data": data,
            "clients": clients,
            "partition": partition,
            "method": method,
            "compressor": compressor,
            "step-size": step_size,
            "server": server,
            "downlink": downlink,
            "participation": participation,
            "scope": scope and scope.value,
            "initialisation": initialisation and initialisation.value,
            "minibatch": minibatch,
            "rounds": rounds,
            "seed": seed,
        },
    )
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
