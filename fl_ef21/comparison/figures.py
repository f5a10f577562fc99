"""Figures of a comparison: means over the seeds, with bands from the lowest to the highest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from fl_ef21.comparison.totals import Row, seeds_of
from fl_ef21.report.style import COLOURS, LINES, add_caption, paper_style
from fl_ef21.report.summary import by_method

Floats = NDArray[np.float64]
TITLES = {"accuracy": "Test accuracy", "loss": "Test loss"}


def comparison_figure(
    rows: Sequence[Row], title: str, limits: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Draw every measure of the history against uplink bytes and against rounds.

    Parameters
    ----------
    rows : sequence of mapping
        The history, with ``method`` and ``seed``.
    title : str
        What was run.
    limits : mapping, optional
        Lowest and highest value of a measure's axis.
    """
    measures = [name for name in TITLES if any(row.get(name) is not None for row in rows)]
    with paper_style():
        figure = Figure(figsize=(8.6, 3.1 * len(measures) + 0.9), layout="constrained")
        grid = figure.subplots(len(measures), 2, squeeze=False, sharey="row")
        for (against_bytes, against_rounds), measure in zip(grid, measures, strict=True):
            for place, (method, group) in enumerate(by_method(rows).items()):
                _draw(against_bytes, against_rounds, measure, place, method, list(group))
            _label(against_bytes, measure, "Uplink payload, all clients")
            _label(against_rounds, measure, "Round")
            against_rounds.set_ylabel("")
            if limits and measure in limits:
                against_bytes.set_ylim(*limits[measure])
            _bytes_axis(against_bytes)
        figure.legend(
            *grid[0, 0].get_legend_handles_labels(),
            title=title,
            title_fontproperties={"size": 11, "weight": "bold"},
            alignment="left",
            loc="outside upper left",
            ncols=3,
            frameon=False,
            handlelength=3,
            borderpad=0,
        )
        seeds = len({row["seed"] for row in rows})
        add_caption(
            figure,
            f"Lines: mean of {seeds} seeds; bands: lowest to highest. Bytes: measured payloads of "
            f"all replies, added up.",
        )
    return figure


def _draw(
    against_bytes: Axes,
    against_rounds: Axes,
    measure: str,
    place: int,
    method: str,
    rows: Sequence[Row],
) -> None:
    rounds, sent, values = _curves(rows, measure)
    style: dict[str, Any] = {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": LINES[place % len(LINES)],
        "marker": "o",
        "markersize": 4,
        "markevery": [-1],
    }
    for axis, x in ((against_bytes, sent), (against_rounds, rounds)):
        axis.fill_between(
            x, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.18, lw=0
        )
        axis.plot(x, values.mean(axis=0), label=method, **style)


def _curves(rows: Sequence[Row], measure: str) -> tuple[Floats, Floats, Floats]:
    """Return rounds, mean bytes until then, and values of shape (seeds, evaluations)."""
    sent, values, rounds = [], [], []
    for group in seeds_of(rows).values():
        bytes_until = np.cumsum([row["uplink_payload_bytes"] for row in group], dtype=float)
        kept = [i for i, row in enumerate(group) if row.get(measure) is not None]
        rounds = [group[i]["round"] for i in kept]
        sent.append(bytes_until[kept])
        values.append([group[i][measure] for i in kept])
    shortest = min(map(len, values))
    mean_sent = np.mean([s[:shortest] for s in sent], axis=0)
    return (
        np.array(rounds[:shortest], float),
        np.where(mean_sent > 0, mean_sent, np.nan),
        np.array([v[:shortest] for v in values], float),
    )


def _label(axis: Axes, measure: str, x_label: str) -> None:
    axis.set(xlabel=x_label, ylabel=TITLES[measure])
    if measure == "accuracy":
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))


def _bytes_axis(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(numticks=8))
    axis.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axis.xaxis.set_minor_formatter(NullFormatter())
