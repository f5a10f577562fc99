"""The figure of a partition: sizes, smoothness constants and labels of the clients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from fl_ef21.report.quantities import Floats
from fl_ef21.report.style import BARS, COLOURS, add_caption, literal, paper_style

POINTS: Final = 72  # per inch: marker areas are given in square points
BUBBLES: Final = 60
"""Clients up to which a bubble has room; above, labels are a map of shades."""

STRIP: Final = 0.95  # inches of a row of bars
CLASS: Final = 0.28  # inches of a class

MEANS: Final = (("L_AM", "--", "dashed", COLOURS[1]), ("L_QM", ":", "dotted", COLOURS[0]))

SMOOTHNESS_CAPTION: Final = (
    "Lᵢ: how much a client's gradient can change. Equal Lᵢ: L_QM = L_AM; EF21's newer steps gain"
    " where they differ."
)

Draw = Callable[[Axes], None]


def label_distribution_figure(
    counts: ArrayLike, class_names: Sequence[str], title: str = ""
) -> Figure:
    """Draw how the labels are spread over the clients.

    A bubble's area is the number of samples of one class on one client, so that a missing class is
    a gap; bars above give the clients' sizes. Unlike stacked bars this needs no colour per class.

    Parameters
    ----------
    counts : array of int, shape (clients, classes)
        Samples of each class on each client.
    class_names : sequence of str, length classes
        In the order of the columns.
    title : str
        What was partitioned, and how.

    Raises
    ------
    ValueError
        If ``counts`` is not a non-empty matrix with one column per class name.
    """
    return partition_figure({"label_counts": counts, "class_names": class_names}, title)


def partition_figure(
    problem: Mapping[str, Any], title: str = "", width: float = 7.2, *, caption: bool = True
) -> Figure:
    """Draw what is known of the clients' data, one column per client.

    Bars are the clients' samples and, with lines at their means, the smoothness constants Lᵢ;
    below, the area of a bubble is the number of samples of one class. Of more than 60 clients, a
    shade is a class's share of the client's samples.

    Parameters
    ----------
    problem : mapping
        The ``problem`` of a summary. ``label_counts`` (clients × classes) with ``class_names``
        gives samples and labels; ``L_i`` with ``L_AM`` and ``L_QM`` gives the constants.
    title : str
        What was partitioned, and how.
    width : float
        Inches.
    caption : bool
        Whether :func:`partition_caption` stands below.

    Raises
    ------
    ValueError
        If ``label_counts`` is not a non-empty matrix with one column per class name, or there is
        nothing to draw.
    """
    rows: list[tuple[float, Draw]] = []
    counts = _counts(problem)
    if counts is not None:
        rows.append((STRIP, lambda axes: _draw_sizes(axes, counts.sum(axis=1))))
    if problem.get("L_i"):
        rows.append((STRIP, lambda axes: _draw_smoothness(axes, problem)))
    if counts is not None:
        height = max(1.0, CLASS * min(counts.shape[1], 20))
        names = [literal(str(name)) for name in problem["class_names"]]
        rows.append((height, lambda axes: _draw_labels(axes, counts, names, (width, height))))
    if not rows:
        raise ValueError("the problem has neither label_counts nor L_i; there is nothing to draw")
    clients = len(problem["L_i"]) if counts is None else len(counts)
    heights = [height for height, _ in rows]
    with paper_style():
        figure = Figure(figsize=(width, 0.95 + sum(heights)), layout="constrained")
        ratios = {"height_ratios": heights}
        grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, gridspec_kw=ratios)
        for axes, (_, draw) in zip(grid[:, 0], rows, strict=True):
            draw(axes)
        last = grid[-1, 0]
        last.set(xlabel="Client", xlim=(-0.7, clients - 0.3))
        last.xaxis.set_major_locator(MaxNLocator(int(2.5 * width), integer=True))
        figure.suptitle(literal(title), x=0.01, ha="left", fontsize=11, fontweight="bold")
        if caption:
            add_caption(figure, partition_caption(problem))
    return figure


def has_partition(problem: Mapping[str, Any]) -> bool:
    """Say whether a problem tells anything about its clients that can be drawn."""
    return "label_counts" in problem or bool(problem.get("L_i"))


def partition_caption(problem: Mapping[str, Any]) -> str:
    """Return what the figure of a partition shows, a line for each of its parts."""
    lines = [SMOOTHNESS_CAPTION] if problem.get("L_i") else []
    counts = _counts(problem)
    if counts is not None and len(counts) > BUBBLES:
        lines.append("Shade: a label's share of the client's samples.")
    elif counts is not None:
        lines.append(f"Bubble area: samples of a label on a client, at most {counts.max():,}.")
    return "\n".join(lines)


def _counts(problem: Mapping[str, Any]) -> NDArray[Any] | None:
    if "label_counts" not in problem:
        return None
    names = problem["class_names"]
    samples = np.asarray(problem["label_counts"])
    if samples.ndim != 2 or samples.size == 0 or samples.shape[1] != len(names):
        raise ValueError(
            f"counts has shape {samples.shape} for {len(names)} class names;"
            " give one row per client and one column per class"
        )
    return samples


def _draw_sizes(axes: Axes, sizes: NDArray[Any]) -> None:
    _draw_bars(axes, sizes.astype(np.float64))
    axes.set_ylabel("Samples")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _draw_smoothness(axes: Axes, problem: Mapping[str, Any]) -> None:
    _draw_bars(axes, np.asarray(problem["L_i"], dtype=np.float64))
    axes.set_ylabel("Lᵢ")
    texts = []
    for key, line, word, colour in MEANS:
        if value := problem.get(key):
            axes.axhline(value, color=colour, linestyle=line, linewidth=1.5)
            texts.append(f"{key} = {value:.4g} ({word})")
    axes.set_title(", ".join(texts), loc="right", fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _draw_bars(axes: Axes, heights: Floats) -> None:
    """Draw a bar each; of many clients, their outline, which is a single shape."""
    clients = len(heights)
    if clients <= BUBBLES:
        axes.bar(np.arange(clients), heights, color=BARS, width=0.7)
    else:
        axes.stairs(heights, np.arange(clients + 1) - 0.5, fill=True, color=BARS)


def _draw_labels(
    axes: Axes, counts: NDArray[Any], names: Sequence[str], size: tuple[float, float]
) -> None:
    clients, classes = counts.shape
    if clients <= BUBBLES:
        cell = POINTS * min((size[0] - 1) / clients, size[1] / classes)
        client, label = np.nonzero(counts)
        share = counts[client, label] / counts.max()
        axes.scatter(client, label, s=share * (1.15 * cell) ** 2, color=COLOURS[0], alpha=0.75)
    else:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        blues = [(0.0, COLOURS[0] + "00"), (1.0, COLOURS[0])]
        shades = LinearSegmentedColormap.from_list("shades", blues)
        shown = axes.imshow(shares.T, aspect="auto", interpolation="none", cmap=shades)
        shown.set(clim=(0, 1), zorder=2)  # above the grid
    axes.set(ylabel="Label", ylim=(-0.7, classes - 0.3))
    if classes <= 20:
        axes.set_yticks(range(classes), names)
