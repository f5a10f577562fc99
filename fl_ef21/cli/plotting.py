"""``fl-ef21 plot``: one quantity of a run's history against another."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated, Final

import typer

from fl_ef21.cli.settings import refusing

FORMATS: Final = (".png", ".svg", ".pdf")


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", show_default=False)],
    *,
    x: Annotated[str, typer.Option(metavar="COLUMN", help="On the horizontal axis.")] = "bytes",
    y: Annotated[str, typer.Option(metavar="COLUMN", help="On the vertical axis.")] = "loss",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .png, .svg or .pdf file.",
            show_default="RUN/figures/Y-against-X.png and .svg",
        ),
    ] = None,
    log_x: Annotated[
        bool | None, typer.Option("--log-x/--linear-x", show_default="what suits the column")
    ] = None,
    log_y: Annotated[
        bool | None, typer.Option("--log-y/--linear-y", show_default="what suits the column")
    ] = None,
) -> None:
    """Draw one column of history.jsonl against another.

    Any numeric column will do; a wrong name lists them. "bytes" is the uplink payload so far,
    "sent" all that was sent up, "seconds" the wall time. On the horizontal axis, what is counted
    round by round is added up.
    """
    from fl_ef21.report.comparison import compare
    from fl_ef21.report.figures import figure_of, scaled
    from fl_ef21.report.quantities import quantity
    from fl_ef21.report.run_folder import writable
    from fl_ef21.report.runs import read_runs
    from fl_ef21.report.style import save_as

    with refusing("RUN"):
        read = read_runs(path.expanduser() for path in runs)
    rows = compare(read).rows
    with refusing("--x"):
        across = scaled(quantity(x, rows, across=True), log_x)
    with refusing("--y"):
        up = scaled(quantity(y, rows), log_y)
    name = f"{y}-against-{x}"
    default = read[0].folder.path / "figures" / name
    paths = [out.expanduser()] if out else [default.with_name(f"{name}{s}") for s in FORMATS[:2]]
    title = read[0].title if len(read) == 1 else ""
    with refusing("--out"):
        _check(paths)
        writable(paths[0].absolute().parent)
        written = save_as(figure_of(rows, across, [up], title), paths)
    for path in written:
        typer.echo(path)


def _check(paths: list[Path]) -> None:
    for path in paths:
        if path.suffix not in FORMATS:
            raise ValueError(f"{path} is no {', '.join(FORMATS)} file; give one of these suffixes")
