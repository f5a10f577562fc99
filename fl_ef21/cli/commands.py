"""The commands, each in a file of its own."""

from typing import Annotated

import typer

from fl_ef21._version import __version__
from fl_ef21.cli import deploy
from fl_ef21.cli.auditing import audit
from fl_ef21.cli.comparing import compare
from fl_ef21.cli.plotting import plot
from fl_ef21.cli.simulating import simulate
from fl_ef21.cli.sweeping import sweep

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


app.command()(simulate)
app.command()(sweep)
app.command()(compare)
app.command()(plot)
app.command()(audit)
app.add_typer(deploy.app, name="deploy")
