"""Figures of a run: progress against bytes and against rounds.

Drawn on plain ``Figure`` objects, without pyplot: no window, no global state, safe in a server.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from fl_ef21.report.summary import by_method

History = Sequence[Mapping[str, Any]]
Floats = NDArray[np.float64]

# Okabe and Ito's colours, told apart with any colour vision; the line styles carry the same
# information on paper without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def paper_style() -> AbstractContextManager[None]:
    """Set the look of every figure, for the time of a ``with`` block."""
    return rc_context(
        {
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "legend.fontsize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "savefig.dpi": 200,
            "svg.hashsalt": "fl-ef21",  # the same run draws the same file
        }
    )


@dataclass(frozen=True)
class Panel:
    """One quantity of the history, and how its axis is drawn."""

    key: str
    title: str
    log: bool = False
    percent: bool = False


PANELS = (
    Panel("loss", "Training loss $f(x)$"),
    Panel("gradient_norm_squared", r"Squared gradient norm $\|\nabla f(x)\|^2$", log=True),
    Panel("accuracy", "Accuracy", percent=True),
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
    caption = "Bytes: measured payloads of all clients' replies, as sent, added up over the rounds."
    with paper_style():
        figure, axes = _draw(rows, _uplink_payload, "Uplink payload, all clients", title, caption)
        for axis in axes:
            if not np.isfinite(axis.dataLim.width):
                continue  # nothing arrived: there is no logarithmic axis for that
            axis.set_xscale("log")
            low, high = axis.get_xlim()
            steps = (1.0,) if high > 100 * low else (1.0, 2.0, 5.0)
            axis.xaxis.set_major_locator(LogLocator(subs=steps, numticks=7))
            axis.xaxis.set_major_formatter(EngFormatter(unit="B"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        return figure


def figure_against_rounds(rows: Iterable[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw loss, ‖∇f‖² and accuracy against the round; parameters as for bytes."""
    caption = "All methods communicate once a round; round 0 is the common starting point."
    with paper_style():
        figure, axes = _draw(rows, _rounds, "Round", title, caption)
        for axis in axes:
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` as PNG and, beside it, as SVG; return both paths, the PNG first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with paper_style():
        figure.savefig(paths[0])
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def add_caption(figure: Figure, text: str) -> None:
    """Put one small line under a figure, inside its layout."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color="#555555")


def _draw(
    rows: Iterable[Mapping[str, Any]],
    x_axis: Callable[[History], Floats],
    x_label: str,
    title: str,
    caption: str,
) -> tuple[Figure, list[Axes]]:
    methods = by_method(rows)
    panels = [panel for panel in PANELS if _is_drawable(panel, methods)]
    figure = Figure(figsize=(3.6 * max(2, len(panels)), 3.7), layout="constrained")
    axes = [figure.add_subplot(1, len(panels), place + 1) for place in range(len(panels))]
    for axis, panel in zip(axes, panels, strict=True):
        for place, (method, history) in enumerate(methods.items()):
            axis.plot(
                x_axis(history),
                _values(history, panel),
                color=COLOURS[place % len(COLOURS)],
                linestyle=LINES[place % len(LINES)],
                marker="o",
                markersize=5,
                markevery=[-1],  # where the run ended; a run of one round is a dot
                label=method,
            )
        axis.set(title=panel.title, xlabel=x_label, yscale="log" if panel.log else "linear")
        if panel.percent:
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    _add_legend(figure, axes[0], title, columns=len(panels) + 1)
    add_caption(figure, caption)
    return figure, axes


def _add_legend(figure: Figure, axis: Axes, title: str, columns: int) -> None:
    """Name the lines above the panels, where no data can be covered; its title is the figure's."""
    figure.legend(
        *axis.get_legend_handles_labels(),
        title=title,
        title_fontproperties={"size": 11, "weight": "bold"},
        alignment="left",
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handlelength=3,
        borderpad=0,
    )


def _is_drawable(panel: Panel, methods: Mapping[str, History]) -> bool:
    return any(np.isfinite(_values(history, panel)).any() for history in methods.values())


def _values(history: History, panel: Panel) -> Floats:
    """Return the panel's numbers, shape (rounds,); NaN, which draws a gap, where there is none."""
    values = np.array([row.get(panel.key) for row in history], dtype=np.float64)
    return np.where(values > 0, values, np.nan) if panel.log else values


def _uplink_payload(history: History) -> Floats:
    sent = np.cumsum([row["uplink_payload_bytes"] for row in history], dtype=np.float64)
    return np.where(sent > 0, sent, np.nan)


def _rounds(history: History) -> Floats:
    return np.array([row["round"] for row in history], dtype=np.float64)
