"""Several panels with the same axes and the same lines: one problem beside the other."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fl_ef21.report.figures import add_legend, draw_panel
from fl_ef21.report.inline_svg import page_style
from fl_ef21.report.quantities import History, Quantity
from fl_ef21.report.style import add_caption, literal, paper_style

LETTERS: Final = 17.0  # of the caption to an inch
NOTHING: Final[Sequence[Mapping[str, Any]]] = ()


@dataclass(frozen=True)
class Sheet:
    """What a figure of panels shows.

    Attributes
    ----------
    panels : mapping of mapping of rows
        By the panel's title and the line's name; a line has one look in all panels.
    x, y : Quantity
        Of every panel.
    title, caption : str
        Above and below.
    marks : bool
        Whether every point is marked, not only the last.
    """

    panels: Mapping[str, Mapping[str, History]]
    x: Quantity
    y: Quantity
    title: str
    caption: str
    marks: bool = False

    @property
    def names(self) -> list[str]:
        """The lines' names, in the order in which they first appear."""
        return list(dict.fromkeys(name for lines in self.panels.values() for name in lines))

    def draw(self, axes: Axes, panel: str) -> None:
        """Draw one panel."""
        lines = self.panels[panel]
        draw_panel(axes, {name: lines.get(name, NOTHING) for name in self.names}, self.x, self.y)
        axes.set(title=literal(panel), ylabel=self.y.label)
        if self.marks:
            for line in axes.lines:
                line.set_markevery(1)

    def figure(self) -> Figure:
        """Return all panels as one figure, two in a row."""
        columns = min(2, len(self.panels))
        lines = ceil(len(self.panels) / columns)
        width = 4.2 * columns if columns > 1 else 5.6
        with paper_style(), page_style():
            figure = Figure(figsize=(width, 2.9 * lines + 0.9), layout="constrained")
            for place, panel in enumerate(self.panels):
                axes = figure.add_subplot(lines, columns, place + 1)
                self.draw(axes, panel)
                if place % columns:
                    axes.set_ylabel("")
                if place + columns < len(self.panels):
                    axes.set_xlabel("")
            add_legend(figure, self.title)
            add_caption(figure, textwrap.fill(self.caption, int(LETTERS * width)))
        return figure
