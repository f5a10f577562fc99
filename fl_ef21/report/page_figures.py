"""The figures of a page: a small drawing for each quantity, which a phone shows one by one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from fl_ef21.report.figures import (
    BYTES_CAPTION,
    ERROR_CAPTION,
    ROUNDS_CAPTION,
    draw_panel,
    drawable,
)
from fl_ef21.report.inline_svg import inline_svg, page_style
from fl_ef21.report.partition_figure import has_partition, partition_caption, partition_figure
from fl_ef21.report.quantities import BYTES, DIAGNOSTICS, PROGRESS, ROUND, History, Quantity
from fl_ef21.report.sheet import Sheet
from fl_ef21.report.style import COLOURS, LINES, paper_style
from fl_ef21.report.summary import by_method

SIZE: Final = (4.3, 2.9)  # inches of one drawing
MARGINS: Final = {"left": 0.155, "right": 0.97, "bottom": 0.165, "top": 0.91}
"""Of a drawing, the same in all, so that their axes stand in line."""

DASHES: Final = ("", "7 3", "8 3 2 3", "2 3", "14 3 2 3 2 3")
"""The line styles of figures, as the page's legend draws them."""


@dataclass(frozen=True)
class Swatch:
    """One line of the legend: a name, its colour's number and its dashes."""

    name: str
    colour: int
    dashes: str


@dataclass(frozen=True)
class Figures:
    """A group of drawings with one heading and one caption."""

    heading: str
    caption: str
    drawings: Sequence[Markup]
    large: bool = False
    legend: Sequence[Swatch] | None = None
    """Its own, where its lines are not those of the page."""


def swatches(rows: Iterable[Mapping[str, Any]]) -> list[Swatch]:
    """Return the legend of a history's figures."""
    return _swatches(by_method(rows))


def _swatches(names: Iterable[str]) -> list[Swatch]:
    return [
        Swatch(name, place % len(COLOURS), DASHES[place % len(LINES)])
        for place, name in enumerate(names)
    ]


def figures_of_sheets(sheets: Sequence[Sheet]) -> list[Figures]:
    """Return the drawings of a study's own figures: one a panel, with the legend above them."""
    return [
        Figures(
            f"{sheet.title}: {sheet.y.label} / {sheet.x.label}",
            sheet.caption,
            [
                _panel(sheet, panel, f"s{number}-{place}")
                for place, panel in enumerate(sheet.panels)
            ],
            legend=_swatches(sheet.names),
        )
        for number, sheet in enumerate(sheets)
    ]


def _panel(sheet: Sheet, panel: str, name: str) -> Markup:
    with paper_style(), page_style():
        figure = Figure(figsize=SIZE)
        figure.subplots_adjust(**MARGINS)
        axes = figure.add_subplot()
        sheet.draw(axes, panel)
        axes.set_ylabel("")  # in the heading
        words = f"{panel}. {_describe(sheet.panels[panel], sheet.x, sheet.y)}"
        return inline_svg(figure, name, words)


def figures_of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Figures]:
    """Return the drawings of a history: against bytes, against rounds, estimate and step."""
    methods = by_method(rows)
    groups = [
        ("Against bytes sent", BYTES_CAPTION, BYTES, PROGRESS),
        ("Against rounds", ROUNDS_CAPTION, ROUND, PROGRESS),
        ("Estimate and step", ERROR_CAPTION, ROUND, DIAGNOSTICS),
    ]
    figures = []
    for number, (heading, caption, x, ys) in enumerate(groups):
        drawn = drawable(ys, methods)
        drawings = [_drawing(methods, x, y, f"f{number}-{place}") for place, y in enumerate(drawn)]
        if drawings:
            figures.append(Figures(heading, caption, drawings))
    return figures


def partition_of(problem: Mapping[str, Any]) -> Figures | None:
    """Return the drawing of the clients' data, if the study describes them."""
    if not has_partition(problem):
        return None
    with page_style():
        figure = partition_figure(problem, width=5.4, caption=False)
        drawing = inline_svg(figure, "partition", _describe_partition(problem))
    return Figures("The clients' data", partition_caption(problem), [drawing], large=True)


def _drawing(methods: Mapping[str, History], x: Quantity, y: Quantity, name: str) -> Markup:
    with paper_style(), page_style():
        figure = Figure(figsize=SIZE)
        figure.subplots_adjust(**MARGINS)
        draw_panel(figure.add_subplot(), methods, x, y)
        return inline_svg(figure, name, _describe(methods, x, y))


def _describe(methods: Mapping[str, History], x: Quantity, y: Quantity) -> str:
    """Return where every line starts and ends, in words."""
    lines = []
    for method, history in methods.items():
        values, across = y.values(history), x.values(history)
        seen = np.flatnonzero(np.isfinite(values) & np.isfinite(across))
        if len(seen):
            first, last = seen[0], seen[-1]
            lines.append(
                f"{method} goes from {_text(y, values[first])}"
                f" to {_text(y, values[last])} at {_text(x, across[last])}"
            )
    return f"{y.label} against {x.label[0].lower()}{x.label[1:]}: {'; '.join(lines)}."


def _text(quantity: Quantity, value: float) -> str:
    if quantity.percent:
        return f"{value:.1%}"
    if quantity.unit == "B":
        return f"{value:,.0f} bytes"
    return f"round {value:,.0f}" if quantity is ROUND else f"{value:.4g}"


def _describe_partition(problem: Mapping[str, Any]) -> str:
    parts = []
    if "label_counts" in problem:
        counts = np.asarray(problem["label_counts"])
        sizes, held = counts.sum(axis=1), (counts > 0).sum(axis=1)
        parts.append(
            f"{len(counts)} clients hold {sizes.min():,} to {sizes.max():,} samples"
            f" of {held.min()} to {held.max()} of the {counts.shape[1]} labels"
        )
    if problem.get("L_i"):
        constants = problem["L_i"]
        parts.append(f"smoothness constants from {min(constants):.4g} to {max(constants):.4g}")
    return "; ".join(parts) + "."
