"""All figures of one run, from its folder into its folder."""

from pathlib import Path

from fl_ef21.report.figures import figure_against_bytes, figure_against_rounds, figure_of_estimate
from fl_ef21.report.partition_figure import has_partition, partition_figure
from fl_ef21.report.run_folder import RunFolder
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
    summary, rows = folder.summary(), folder.rows()
    problem = summary.get("problem", {})
    title = headline(summary["study"], folder.config(), problem.get("clients"))
    figures = {
        "against-bytes": figure_against_bytes(rows, title),
        "against-rounds": figure_against_rounds(rows, title),
        "estimate-and-step": figure_of_estimate(rows, title),
    }
    if has_partition(problem):
        figures["partition"] = partition_figure(problem, title)
    return [
        save(figure, folder.path / "figures" / f"{name}.png")[0]
        for name, figure in figures.items()
        if figure.axes
    ]
