"""Figures of experiments: one panel a problem, with the same lines in all of them."""

import textwrap
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

from matplotlib.figure import Figure

from fl_ef21.report.figures import add_legend, draw_panel
from fl_ef21.report.quantities import BITS, GRADIENT, ROUND, History, Quantity
from fl_ef21.report.style import add_caption, paper_style

Panels = Mapping[str, Mapping[str, History]]

LOG_ROUND: Final = Quantity("round", "Round", log=True)
BOTH_WAYS: Final = Quantity(
    "sent_both_ways_bits_per_client", "Sent both ways, bits per client", log=True, total=True
)
LETTERS: Final = 17.0  # of the caption to an inch


def against_rounds(panels: Panels, title: str, caption: str, *, log: bool = True) -> Figure:
    """Draw ‖∇f‖² against rounds, one panel a problem."""
    return stacked(panels, LOG_ROUND if log else ROUND, GRADIENT, title, caption)


def against_bits(panels: Panels, title: str, caption: str) -> Figure:
    """Draw ‖∇f‖² against the bits that a client has sent, as in the papers but measured."""
    caption = f"{caption} Bits: payloads as sent, positions and framing included."
    return stacked(panels, BITS, GRADIENT, title, caption)


def against_bits_both_ways(panels: Panels, title: str, caption: str) -> Figure:
    """Draw ‖∇f‖² against all bits that went to a client and came from it."""
    caption = f"{caption} Bits: whole messages as sent, without Flower's envelopes."
    return stacked(panels, BOTH_WAYS, GRADIENT, title, caption)


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    x: str,
    y: str,
    title: str,
    caption: str,
    *,
    log: bool = True,
) -> Figure:
    """Draw pairs (x, y) as lines with marks, one panel a problem."""
    across, up = Quantity("x", x, log=log), Quantity("y", y, log=True)
    histories = {
        panel: {
            name: [{"x": at, "y": value} for at, value in sorted(points)]
            for name, points in lines.items()
        }
        for panel, lines in panels.items()
    }
    return stacked(histories, across, up, title, caption, marks=True)


def stacked(
    panels: Panels, x: Quantity, y: Quantity, title: str, caption: str, *, marks: bool = False
) -> Figure:
    """Draw panels side by side, two in a row; a line has one look in all of them.

    Parameters
    ----------
    panels : mapping of mapping of rows
        By the panel's title and the line's name.
    x, y : Quantity
        Of every panel.
    title, caption : str
        Above and below.
    marks : bool
        Whether every point is marked.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    columns = min(2, len(panels))
    lines_of_panels = ceil(len(panels) / columns)
    width = 4.2 * columns if columns > 1 else 5.6
    with paper_style():
        figure = Figure(figsize=(width, 2.9 * lines_of_panels + 0.9), layout="constrained")
        for place, (panel, lines) in enumerate(panels.items()):
            axes = figure.add_subplot(lines_of_panels, columns, place + 1)
            nothing: Sequence[Mapping[str, Any]] = ()
            draw_panel(axes, {name: lines.get(name, nothing) for name in names}, x, y)
            axes.set(title=panel, ylabel=y.label if place % columns == 0 else "")
            if place + columns < len(panels):
                axes.set_xlabel("")
            if marks:
                for line in axes.lines:
                    line.set_markevery(1)
        add_legend(figure, title)
        add_caption(figure, textwrap.fill(caption, int(LETTERS * width)))
    return figure
