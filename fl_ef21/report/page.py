"""``report.html`` and ``compare.html``: one file each, which opens without a network."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fl_ef21.report.comparison import Comparison
from fl_ef21.report.page_figures import (
    Figures,
    Swatch,
    figures_of_rows,
    figures_of_sheets,
    partition_of,
    swatches,
)
from fl_ef21.report.runs import Run
from fl_ef21.report.sheet import Sheet
from fl_ef21.report.summary import COMMON_PAYLOAD, by_method, describe_problem, with_common_loss
from fl_ef21.report.table import CAPTION, document_columns, size
from fl_ef21.report.words import in_words, repeat_command, settings_of


@dataclass(frozen=True)
class Table:
    """Texts in columns, the first of which names the rows."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Page:
    """What a page shows; the template decides how.

    Attributes
    ----------
    title, subtitle : str
        What was run.
    findings : list of str
        What came out, in sentences.
    legend : list of Swatch
        The lines of all figures.
    table : Table
        The totals.
    figures : list of Figures
        Groups of drawings.
    troubles : Table or None
        Replies that were rejected or failed, where there were any.
    words : list of str
        What was asked for, in sentences.
    tables : dict
        More tables by their headings, closed until they are asked for.
    commands : dict
        What repeats it, by what it does, in pieces between which a line may end.
    footer : str
        Versions and times.
    caption : str
        What the columns of the table mean.
    """

    title: str
    subtitle: str
    findings: list[str]
    legend: list[Swatch]
    table: Table
    figures: list[Figures]
    words: list[str]
    troubles: Table | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    footer: str = ""
    caption: str = CAPTION

    def html(self) -> str:
        """Return the whole page; every text in it is escaped."""
        return _environment().get_template("page.html").render(page=self)

    def write(self, path: Path) -> Path:
        """Write the page, and return where."""
        path.write_text(self.html(), encoding="utf-8")
        return path


def page_of_run(run: Run, sheets: Sequence[Sheet] = ()) -> Page:
    """Return the page of a finished run, with the study's own figures where it has some."""
    # Lines of several problems have no loss in common.
    totals = run.totals() if sheets else with_common_loss(run.totals(), run.rows)
    problem = run.problem
    clients = problem.get("clients")
    figures = figures_of_sheets(sheets) or figures_of_rows(run.rows)
    if partition := partition_of(problem):
        figures.append(partition)
    return Page(
        title=run.title or run.folder.path.name,
        subtitle=describe_problem(problem),
        findings=findings(totals),
        legend=swatches(run.rows),
        table=totals_table(totals),
        figures=figures,
        troubles=_troubles(totals, run.rows),
        words=in_words(run.config, clients),
        tables={**_checks_table(run), "All settings": _settings_table(run.config)},
        commands={"Run it again": _pieces(repeat_command(run.study, run.config, clients))},
        footer=_footer(run),
    )


def page_of_comparison(comparison: Comparison, command: str) -> Page:
    """Return the page of several runs laid over each other.

    Parameters
    ----------
    comparison : Comparison
        At least one run.
    command : str
        What makes the page again.
    """
    runs, totals = list(comparison.runs), comparison.totals
    figures = figures_of_rows(comparison.rows)
    problem = runs[0].problem
    alike = all(run.problem == problem for run in runs)
    if alike and (partition := partition_of(problem)):
        figures.append(partition)
    shared = {k: v for k, v in runs[0].config.items() if k not in comparison.varied}
    titles = list(dict.fromkeys(run.title or run.folder.path.name for run in runs))
    several = len(titles) > 1
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return Page(
        title=f"{count} compared" if several else f"{titles[0]}: {count}",
        subtitle=" / ".join(titles) if several or not alike else describe_problem(problem),
        findings=[],
        legend=swatches(comparison.rows),
        table=totals_table(totals),
        figures=figures,
        troubles=_troubles(totals, comparison.rows),
        words=in_words(shared, problem.get("clients") if alike else None),
        tables={"The runs": _runs_table(comparison)},
        commands={"Make this page again": _pieces(command)},
        footer=_footer(runs[0]) if len(runs) == 1 else "",
    )


def _runs_table(comparison: Comparison) -> Table:
    """Return where the runs are, what differs between them, and what they ran with."""
    varied = comparison.varied
    return Table(
        ["Folder", "Study", *varied, "Rounds in all", "State", "Versions"],
        [
            [
                str(run.folder.path),
                run.study,
                *(_setting(run.config.get(key, "")) for key in varied),
                f"{max(row['round'] for row in run.rows):,}",
                "finished" if run.is_finished else "unfinished",
                ", ".join(f"{k} {v}" for k, v in run.config.get("versions", {}).items()),
            ]
            for run in comparison.runs
        ],
    )


def findings(totals: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return sentences on what compression saved, where there is something to compare with.

    Examples
    --------
    >>> plain = {"method": "uncompressed", "uplink_payload_bytes": 4000, "reduction": 1.0}
    >>> ef21 = {"method": "EF21 topk:1", "uplink_payload_bytes": 100, "reduction": 40.0}
    >>> findings([plain, ef21])
    ['EF21 topk:1 sent 100 B up, 40.0 times less than uncompressed.']
    """
    baseline = next((t for t in totals if t.get("reduction") == 1), None)
    if baseline is None or len(totals) > MOST_SENTENCES:
        return []
    sentences = []
    for total in totals:
        if total is baseline or not total.get("reduction"):
            continue
        text = f"{total['method']} sent {size(total['uplink_payload_bytes'])} up,"
        text += f" {_times(total['reduction'])} than {baseline['method']}"
        if total.get("loss") is not None and baseline.get("loss") is not None:
            text += f"; final loss {total['loss']:.4f} against {baseline['loss']:.4f}"
        if total.get(COMMON_PAYLOAD) and baseline.get(COMMON_PAYLOAD):
            ratio = baseline[COMMON_PAYLOAD] / total[COMMON_PAYLOAD]
            text += f". Up to a loss that both reach, it needed {_times(ratio)}"
        sentences.append(text + ".")
    return sentences


MOST_SENTENCES: Final = 5


def totals_table(totals: Sequence[Mapping[str, Any]]) -> Table:
    """Return totals as texts, without the columns in which there is nothing."""
    columns = document_columns(totals)
    return Table(
        ["Method", *(column.heading for column in columns)],
        [[str(t["method"]), *(column.cell(t) for column in columns)] for t in totals],
    )


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times less" if ratio >= 1 else f"{1 / ratio:.1f} times more"


def _troubles(
    totals: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> Table | None:
    """Return rounds in which replies were rejected or failed, with the reasons where known."""
    histories = by_method(rows)
    lines: list[list[str]] = []
    for total in totals:
        method = str(total["method"])
        for key, word in (("rejections", "rejected"), ("failures", "failed")):
            rounds = [row["round"] for row in histories.get(method, []) if row.get(key)]
            if rounds:
                lines.append(
                    [method, f"{total.get(key) or len(rounds):,} {word}", _some(rounds), ""]
                )
        for entry in total.get("reasons") or []:
            first = f"first in round {entry['first_round']:,}"
            lines.append([method, f"{entry['count']:,} of them", first, str(entry["reason"])])
    return Table(["Method", "Replies", "Rounds", "Reason"], lines) if lines else None


def _some(rounds: Sequence[int], most: int = 10) -> str:
    shown = ", ".join(f"{number:,}" for number in rounds[:most])
    return shown if len(rounds) <= most else f"{shown} and {len(rounds) - most:,} more"


def _checks_table(run: Run) -> dict[str, Table]:
    """Return what the study has checked, if it has."""
    checks = run.summary.get("checks", [])
    rows = [
        [c["claim"], _measured(c["measured"]), _measured(c["target"]), _verdict(c), c["kind"]]
        for c in checks
    ]
    headings = ["Claim", "Measured", "Limit", "", "Kind"]
    return {"Checks": Table(headings, rows)} if rows else {}


def _measured(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.4g}"


def _verdict(check: Mapping[str, Any]) -> str:
    return "holds" if check["holds"] else "does NOT hold"


def _settings_table(config: Mapping[str, Any]) -> Table:
    settings = settings_of(config)
    return Table(["Setting", "Value"], [[k, _setting(v)] for k, v in settings.items()])


def _setting(value: object) -> str:
    return "none" if value == "" else str(value)


def _pieces(command: str) -> list[str]:
    return re.split(" (?=--)", command)


def _footer(run: Run) -> str:
    versions = run.config.get("versions", {})
    words = [f"{name} {version}" for name, version in versions.items()]
    if run.config.get("started"):
        words.insert(0, f"Started {run.config['started']}")
    if run.summary.get("seconds"):
        words.insert(1, f"took {run.summary['seconds']:.0f} s")
    return " · ".join(words)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fl_ef21.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = environment.loader.get_source(environment, "page.css")[0]  # type: ignore[union-attr]
    environment.globals["css"] = Markup(source)
    return environment
