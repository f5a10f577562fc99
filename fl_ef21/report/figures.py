"""Figures of a run: progress against bytes and against rounds, estimate error, step size.

Drawn on plain ``Figure`` objects, without pyplot: no window, no global state, safe in a server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from fl_ef21.report.quantities import (
    BYTES,
    DIAGNOSTICS,
    PROGRESS,
    ROUND,
    Floats,
    History,
    Quantity,
)
from fl_ef21.report.style import COLOURS, LINES, add_caption, literal, paper_style, save
from fl_ef21.report.summary import by_method
from fl_ef21.report.thinning import thinned

__all__ = [
    "COLOURS",
    "LINES",
    "add_legend",
    "draw_panel",
    "drawable",
    "figure_against_bytes",
    "figure_against_rounds",
    "figure_of",
    "figure_of_estimate",
    "paper_style",
    "save",
]

LETTERS: Final = 11.0  # of the legend to an inch
HANDLE: Final = 8  # letters that a legend's line takes
LINE_HEIGHT: Final = 0.21  # inches

SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

BYTES_CAPTION: Final = (
    "Bytes: measured payloads of all clients' replies, as sent, added up over the rounds."
)
ROUNDS_CAPTION: Final = (
    "All methods communicate once a round; round 0 is the common starting point."
)
ERROR_CAPTION: Final = (
    "Estimate error: the share of the clients' signals that compression leaves out."
)


def figure_against_bytes(rows: Iterable[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw loss, ‖∇f‖² and accuracy against the bytes that the clients have sent.

    Parameters
    ----------
    rows : Iterable of Mapping
        The history. Round 0, at which nothing was sent, has no place on the logarithmic axis.
    title : str
        What was run.
    """
    return figure_of(rows, BYTES, PROGRESS, title, BYTES_CAPTION)


def figure_against_rounds(rows: Iterable[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw loss, ‖∇f‖² and accuracy against the round; parameters as for bytes."""
    return figure_of(rows, ROUND, PROGRESS, title, ROUNDS_CAPTION)


def figure_of_estimate(rows: Iterable[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw the estimate error and the step size against the round; parameters as for bytes."""
    return figure_of(rows, ROUND, DIAGNOSTICS, title, ERROR_CAPTION)


def figure_of(
    rows: Iterable[Mapping[str, Any]],
    x: Quantity,
    ys: Sequence[Quantity],
    title: str = "",
    caption: str = "",
) -> Figure:
    """Draw quantities of a history against another, one panel each, one line per method.

    Parameters
    ----------
    rows : iterable of mapping
        The history.
    x : Quantity
        On the horizontal axis of every panel.
    ys : sequence of Quantity
        One panel each; one that the history has no number of is left out.
    title, caption : str
        Above and below the panels.
    """
    methods = by_method(rows)
    panels = drawable(ys, methods)
    with paper_style():
        figure = Figure(figsize=(3.6 * max(2, len(panels)), 3.7), layout="constrained")
        for place, panel in enumerate(panels):
            draw_panel(figure.add_subplot(1, len(panels), place + 1), methods, x, panel)
        if panels:
            add_legend(figure, title)
        if caption:
            add_caption(figure, caption)
    return figure


def draw_panel(axes: Axes, methods: Mapping[str, History], x: Quantity, y: Quantity) -> None:
    """Draw one quantity against another, one line per method."""
    for place, (method, history) in enumerate(methods.items()):
        if not history:
            continue  # the line of another panel
        across, up = _on_axis(x, history), _on_axis(y, history)
        kept = thinned(across, up, log=x.log)
        axes.plot(
            across[kept],
            up[kept],
            color=COLOURS[place % len(COLOURS)],
            linestyle=LINES[place % len(LINES)],
            marker="o",
            markersize=5,
            markevery=[-1],  # where the run ended; a run of one round is a dot
            label=literal(method),
        )
    axes.set(title=y.label, xlabel=x.label)
    _set_scale(axes, "x", x)
    _set_scale(axes, "y", y)


def drawable(ys: Iterable[Quantity], methods: Mapping[str, History]) -> list[Quantity]:
    """Return the quantities of which the history has at least one number."""
    histories = methods.values()
    return [y for y in ys if any(np.isfinite(_on_axis(y, history)).any() for history in histories)]


def scaled(quantity: Quantity, log: bool | None) -> Quantity:
    """Return a quantity with the scale asked for; None leaves its own."""
    return quantity if log is None else replace(quantity, log=log)


def _on_axis(quantity: Quantity, history: History) -> Floats:
    """Return the numbers with gaps where a logarithmic axis has no place for them."""
    values = quantity.values(history)
    return np.where(values > 0, values, np.nan) if quantity.log else values


def _set_scale(axes: Axes, which: Literal["x", "y"], quantity: Quantity) -> None:
    """Choose the scale, the places of the ticks and their texts."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly
    if quantity.log:
        if not np.isfinite(high - low):
            return  # nothing arrived: there is no logarithmic axis for that
        axes.set(**{f"{which}scale": "log"})
        wide = high > 100 * low
        steps = (1.0,) if wide else (1.0, 2.0, 5.0)
        numticks = 5 if which == "x" else 7  # texts side by side need more room
        axis.set_major_locator(LogLocator(subs=steps, numticks=numticks))
        axis.set_major_formatter(FuncFormatter(power_of_ten if wide else decimal_or_power))
        axis.set_minor_formatter(NullFormatter())
    elif quantity.column == ROUND.column:
        axis.set_major_locator(MaxNLocator(5, integer=True))
    if quantity.unit:
        axis.set_major_formatter(EngFormatter(unit=quantity.unit))
    if quantity.percent:
        axis.set_major_formatter(PercentFormatter(1.0))


def power_of_ten(value: float, _position: int | None = None) -> str:
    """Return a tick's text in plain characters, which need no fonts of formulas.

    Examples
    --------
    >>> power_of_ten(1.0), power_of_ten(0.01), power_of_ten(2e-7)
    ('10⁰', '10⁻²', '2·10⁻⁷')
    """
    if value <= 0:
        return ""
    exponent = int(np.floor(np.log10(value) + 1e-9))
    factor = f"{value / 10.0**exponent:.3g}"
    power = "10" + str(exponent).translate(SUPERSCRIPTS)
    return power if factor == "1" else f"{factor}·{power}"


def decimal_or_power(value: float, position: int | None = None) -> str:
    """Return a tick's text as a decimal number where that is short.

    Examples
    --------
    >>> decimal_or_power(0.05), decimal_or_power(2000), decimal_or_power(2e-7)
    ('0.05', '2000', '2·10⁻⁷')
    """
    return f"{value:.4g}" if 1e-3 < value < 1e4 else power_of_ten(value, position)


def add_legend(figure: Figure, title: str) -> None:
    """Name the lines above the panels, where no data can be covered; its title is the figure's."""
    found: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    handles, labels = list(found.values()), list(found)
    longest = max(map(len, labels), default=0) + HANDLE
    columns = int(figure.get_figwidth() * LETTERS // longest) or 1
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * (lines - 1))
    figure.legend(
        handles,
        labels,
        title=literal(title),
        title_fontproperties={"size": 11, "weight": "bold"},
        alignment="left",
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handlelength=3,
        borderpad=0,
    )
