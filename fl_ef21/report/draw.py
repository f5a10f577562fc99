"""All figures of a run into its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fl_ef21.report.figures import figure_against_bytes, figure_against_rounds, figure_of_estimate
from fl_ef21.report.partition_figure import has_partition, partition_figure
from fl_ef21.report.run_folder import Row, RunFolder
from fl_ef21.report.style import save
from fl_ef21.report.summary import headline


def figures_of(folder: RunFolder) -> list[Path]:
    """Return the PNG files of a run's figures, which are drawn if the study has not done so."""
    return sorted((folder.path / "figures").glob("*.png")) or draw_run(folder)


def draw_run(folder: RunFolder) -> list[Path]:
    """Draw a finished run's figures, each as PNG and SVG, into ``figures/``.

    ``partition.png`` is drawn where the summary's ``problem`` has ``label_counts`` (clients x
    classes) and ``class_names``, or ``L_i``.

    Returns
    -------
    list of Path
        The PNG files.
    """
    summary = folder.summary()
    problem = summary.get("problem", {})
    title = headline(summary["study"], folder.config(), problem.get("clients"))
    return draw(folder.rows(), title, folder.path, problem)


def draw(
    rows: Sequence[Row], title: str, folder: Path, problem: Mapping[str, Any] | None = None
) -> list[Path]:
    """Draw the figures of a history into the ``figures/`` of a folder; return the PNG files."""
    figures = {
        "against-bytes": figure_against_bytes(rows, title),
        "against-rounds": figure_against_rounds(rows, title),
        "estimate-and-step": figure_of_estimate(rows, title),
    }
    if problem and has_partition(problem):
        figures["partition"] = partition_figure(problem, title)
    return [
        save(figure, folder / "figures" / f"{name}.png")[0]
        for name, figure in figures.items()
        if figure.axes
    ]
