"""``fl-ef21 compare``: several runs laid over each other."""
# ruff: noqa: PLC0415

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from fl_ef21.cli import options
from fl_ef21.cli.settings import refusing

if TYPE_CHECKING:
    from fl_ef21.report.comparison import Comparison
    from fl_ef21.report.runs import Run

PAGE: Final = "compare.html"


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", show_default=False)],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder for page, figures and tables.",
            show_default="results/compare/TIME",
        ),
    ] = None,
    table: options.Table = None,
) -> None:
    """Lay runs over each other: a table, figures, and a page that opens offline.

    RUN is a run folder, or the folder of a sweep for all of its runs. Runs of different studies and
    lengths are fine; a run that is not finished yet is shown as far as it is.
    """
    from fl_ef21.report.comparison import compare as lay_over
    from fl_ef21.report.report import write_comparison
    from fl_ef21.report.run_folder import claim
    from fl_ef21.report.runs import read_runs

    with refusing("RUN"):
        read = read_runs(path.expanduser() for path in runs)
    _warn(read)
    with refusing("--out"):
        folder = claim((out or _default_folder()).expanduser().absolute())
    comparison = lay_over(read)
    command = shlex.join(["fl-ef21", "compare", *map(str, runs)])
    page = write_comparison(comparison, folder, PAGE, command)
    show_comparison(comparison, page, table)


def show_comparison(
    comparison: "Comparison", page: Path, table: options.TableForm | None = None
) -> None:
    """Print the table, and where the page and the rest is."""
    if table is not None:
        name = "table.md" if table is options.TableForm.MARKDOWN else "table.csv"
        typer.echo((page.parent / name).read_text(encoding="utf-8"), nl=False)
        return
    from fl_ef21.report.table import summary_table

    console = Console(highlight=False, markup=False)
    console.print(summary_table(comparison.totals, "", console.width, brief=True))
    for word, text in [("Report", page), ("Records", page.parent)]:
        console.print(f"{word:8} {text}", soft_wrap=True)


def _warn(runs: "Sequence[Run]") -> None:
    console = Console(stderr=True, highlight=False, markup=False)
    for run in runs:
        if not run.is_finished:
            last = max(row["round"] for row in run.rows)
            text = f"{run.folder.path} is not finished; it is shown up to round {last}"
            console.print(text, soft_wrap=True)


def _default_folder() -> Path:
    return Path("results", "compare", datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S"))
