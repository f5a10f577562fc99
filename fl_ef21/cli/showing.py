"""What a run says at its end."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from fl_ef21.engine.studies import Study
from fl_ef21.report.draw import figures_of
from fl_ef21.report.report import report_of
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.summary import describe_problem, headline
from fl_ef21.report.table import summary_table

MOST_LINES: Final = 16
"""Methods of a run that are still shown as a table: more are a file to look things up in."""


def show(study: Study, folder: RunFolder) -> None:
    """Print the table, where the figures and records are, and what to try next."""
    console = Console(highlight=False, markup=False)
    summary = folder.summary()
    problem = summary.get("problem", {})
    config = folder.config()
    method = str(config.get("method", ""))
    title = headline(summary["study"], config, problem.get("clients"))
    title = f"{title} · {method}" if method else title
    if len(summary["methods"]) <= MOST_LINES:
        console.print(summary_table(summary["methods"], title, console.width))
    else:
        console.print(f"{title}: {len(summary['methods'])} lines, in {folder.path / 'table.md'}")
    if "checks" in summary:
        console.print(checks_table(summary["checks"]))
    lines = [("Problem", describe_problem(problem))] if problem else []
    lines += [("Report", str(report_of(folder)))]
    lines += [("Figure", str(figure)) for figure in figures_of(folder)]
    lines += [("Records", str(folder.path))]
    for word, text in lines:
        console.print(f"{word:8} {text}", soft_wrap=True)
    console.print(f"Next     {_advice(study, method)}", soft_wrap=True)


def checks_table(checks: Sequence[Mapping[str, Any]]) -> Table:
    """Return what a study was to show, with what was measured."""
    table = Table("Claim", "measured", "target", "", title="Checks", title_justify="left", box=None)
    for check in checks:
        verdict = "holds" if check["holds"] else "NOT REACHED"
        numbers = (f"{check[name]:.4g}" for name in ("measured", "target"))
        table.add_row(str(check["claim"]), *numbers, verdict)
    return table


def _advice(study: Study, method: str) -> str:
    again = f"fl-ef21 simulate {study.name}"
    if (study.path / "full.toml").is_file():
        return f"the paper's size: {again} --full"
    if "compressor" not in study.settings:
        return f"another seed: {again} --seed 1"
    if method in ("", "ef21"):
        return f"compare another compressor: {again} --compressor topk:0.005"
    return f"compare with EF21: {again}"
