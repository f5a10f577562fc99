"""Everything that a person reads of a run: page, tables and figures, into its folder."""

from pathlib import Path

from fl_ef21.report.draw import draw_run
from fl_ef21.report.page import page_of_run
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.runs import Run
from fl_ef21.report.summary import with_common_loss
from fl_ef21.report.table import csv_table, markdown_table

PAGE = "report.html"


def report_of(folder: RunFolder) -> Path:
    """Return the page of a finished run, which is written if the study has not done so."""
    page = folder.path / PAGE
    return page if page.exists() else write_report(folder)


def write_report(folder: RunFolder) -> Path:
    """Write ``report.html``, ``table.md``, ``table.csv`` and ``figures/`` of a finished run.

    Returns
    -------
    Path
        The page.
    """
    run = Run.read(folder.path)
    if not (folder.path / "figures").exists():
        draw_run(folder)
    write_tables(folder.path, with_common_loss(run.totals(), run.rows))
    return page_of_run(run).write(folder.path / PAGE)


def write_tables(path: Path, totals: list[dict[str, object]]) -> None:
    """Write totals as Markdown and as CSV into a folder."""
    (path / "table.md").write_text(markdown_table(totals) + "\n", encoding="utf-8")
    (path / "table.csv").write_text(csv_table(totals), encoding="utf-8")
