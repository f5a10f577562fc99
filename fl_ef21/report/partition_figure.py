"""The figure of a partition: which labels each client holds, and how many samples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fl_ef21.report.figures import COLOURS, add_caption, paper_style

POINTS = 72  # per inch: marker areas are given in square points


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
    samples = np.asarray(counts)
    if samples.ndim != 2 or samples.size == 0 or samples.shape[1] != len(class_names):
        raise ValueError(
            f"counts has shape {samples.shape} for {len(class_names)} class names;"
            " give one row per client and one column per class"
        )
    clients, classes = samples.shape
    height = 1.9 + 0.28 * min(classes, 20)
    with paper_style():
        figure = Figure(figsize=(7.2, height), layout="constrained")
        ratios = {"height_ratios": [0.9, height - 1.9]}
        sizes, labels = figure.subplots(2, 1, sharex=True, gridspec_kw=ratios)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")

        sizes.bar(np.arange(clients), samples.sum(axis=1), color="#777777", width=0.7)
        sizes.set_ylabel("Samples")
        sizes.yaxis.set_major_locator(MaxNLocator(3, integer=True))

        cell = POINTS * min(6.2 / clients, (height - 1.9) / classes)
        client, label = np.nonzero(samples)
        share = samples[client, label] / samples.max()
        labels.scatter(client, label, s=share * (1.15 * cell) ** 2, color=COLOURS[0], alpha=0.75)
        labels.set(xlabel="Client", ylabel="Label", xlim=(-0.7, clients - 0.3))
        labels.set_ylim(-0.7, classes - 0.3)
        labels.xaxis.set_major_locator(MaxNLocator(20, integer=True))
        if classes <= 20:
            labels.set_yticks(range(classes), class_names)
        largest = f"{samples.max():,}"
        add_caption(figure, f"Bubble area: samples of a label on a client, at most {largest}.")
    return figure
