"""Everything that a person reads of a run, or of several: page, tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fl_ef21.report.comparison import Comparison
from fl_ef21.report.draw import draw, figures_of
from fl_ef21.report.page import page_of_comparison, page_of_run
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.runs import Run
from fl_ef21.report.sheet import Sheet
from fl_ef21.report.summary import with_common_loss
from fl_ef21.report.table import csv_table, markdown_table

PAGE = "report.html"


def report_of(folder: RunFolder) -> Path:
    """Return the page of a finished run, which is written if the study has not done so."""
    page = folder.path / PAGE
    return page if page.exists() else write_report(folder)


def write_report(folder: RunFolder, sheets: Sequence[Sheet] = ()) -> Path:
    """Write ``report.html``, ``table.md``, ``table.csv`` and ``figures/`` of a finished run.

    Parameters
    ----------
    folder : RunFolder
        The run.
    sheets : sequence of Sheet
        The page's figures, of a study that has more lines than one panel can hold. It has put
        them into ``figures/`` itself.

    Returns
    -------
    Path
        The page.
    """
    run = Run.read(folder.path)
    figures_of(folder)
    # Lines of several problems have no loss in common.
    totals = run.totals() if sheets else with_common_loss(run.totals(), run.rows)
    _write_tables(folder.path, totals)
    return page_of_run(run, sheets).write(folder.path / PAGE)


def write_comparison(comparison: Comparison, folder: Path, page: str, command: str) -> Path:
    """Write page, ``table.md``, ``table.csv`` and ``figures/`` of several runs.

    Parameters
    ----------
    comparison : Comparison
        The runs.
    folder : Path
        Where to; it exists.
    page : str
        The page's file name.
    command : str
        What makes it again.

    Returns
    -------
    Path
        The page.
    """
    shown = page_of_comparison(comparison, command)
    draw(comparison.rows, shown.title, folder)
    _write_tables(folder, comparison.totals)
    return shown.write(folder / page)


def _write_tables(folder: Path, totals: list[dict[str, Any]]) -> None:
    (folder / "table.md").write_text(markdown_table(totals) + "\n", encoding="utf-8")
    (folder / "table.csv").write_text(csv_table(totals), encoding="utf-8")
