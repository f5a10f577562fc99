"""``report.html`` and ``compare.html``: one file each, which opens without a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fl_ef21.report.page_figures import Figures, Swatch, figures_of_rows, partition_of, swatches
from fl_ef21.report.runs import Run
from fl_ef21.report.summary import describe_problem, with_common_loss
from fl_ef21.report.table import COMMON_PAYLOAD, document_columns, size
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
        What repeats it, by what it does.
    footer : str
        Versions and times.
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
    commands: dict[str, str] = field(default_factory=dict)
    footer: str = ""

    def html(self) -> str:
        """Return the whole page; every text in it is escaped."""
        return _environment().get_template("page.html").render(page=self)

    def write(self, path: Path) -> Path:
        """Write the page, and return where."""
        path.write_text(self.html(), encoding="utf-8")
        return path


def page_of_run(run: Run) -> Page:
    """Return the page of a finished run."""
    totals = with_common_loss(run.totals(), run.rows)
    problem = run.problem
    clients = problem.get("clients")
    figures = figures_of_rows(run.rows)
    if partition := partition_of(problem):
        figures.append(partition)
    return Page(
        title=run.title or run.folder.path.name,
        subtitle=describe_problem(problem),
        findings=findings(totals),
        legend=swatches(run.rows),
        table=totals_table(totals),
        figures=figures,
        troubles=_troubles(run),
        words=in_words(run.config, clients),
        tables={"All settings": _settings_table(run.config)},
        commands={"Run it again": repeat_command(run.study, run.config, clients)},
        footer=_footer(run),
    )


def findings(totals: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return sentences on what compression saved, where there is something to compare with.

    Examples
    --------
    >>> plain = {"method": "uncompressed", "uplink_payload_bytes": 4000, "reduction": 1.0}
    >>> ef21 = {"method": "EF21 topk:1", "uplink_payload_bytes": 100, "reduction": 40.0}
    >>> findings([plain | {"loss": 0.5}, ef21 | {"loss": 0.6}])
    ['EF21 topk:1 sent 100 B up, 40.0 times less than uncompressed; final loss 0.6000 against 0.5000.']
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


def _troubles(run: Run) -> Table | None:
    """Return rounds in which replies were rejected or failed, with the reasons where known."""
    rows: list[list[str]] = []
    for total in run.totals():
        for key, word in (("rejections", "rejected"), ("failures", "failed")):
            if not total.get(key):
                continue
            history = [row for row in run.rows if row["method"] == total["method"]]
            rounds = [row["round"] for row in history if row.get(key)]
            rows.append([str(total["method"]), f"{total[key]:,} {word}", _some(rounds), ""])
        for entry in total.get("reasons") or []:
            count, first = f"{entry['count']:,} times", f"first in round {entry['first_round']}"
            rows.append([str(total["method"]), count, first, str(entry["reason"])])
    return Table(["Method", "Replies", "Rounds", "Reason"], rows) if rows else None


def _some(rounds: Sequence[int], most: int = 10) -> str:
    shown = ", ".join(f"{number:,}" for number in rounds[:most])
    return shown if len(rounds) <= most else f"{shown} and {len(rounds) - most:,} more"


def _settings_table(config: Mapping[str, Any]) -> Table:
    settings = settings_of(config)
    return Table(
        ["Setting", "Value"], [[k, "none" if v == "" else str(v)] for k, v in settings.items()]
    )


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
