"""The look of every figure, and how one becomes files."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from matplotlib import rc_context
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any colour vision; the line styles carry the same
# information on paper without colour, and blue and sky, which are alike, never share one early.
# Black is one step off: SVG leaves plain black out, and then a dark page could not recolour it.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#010101", "#56B4E9")
LINES: Final = ("-", "--", "-.", ":", (0, (9, 2, 1, 2, 1, 2)))

GRID: Final = "#dddddd"
MUTED: Final = "#555555"
BARS: Final = "#777777"


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
            "grid.color": GRID,
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.8,
            "savefig.dpi": 200,
            "svg.hashsalt": "fl-ef21",  # the same run draws the same file
        }
    )


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` as PNG and, beside it, as SVG; return both paths, the PNG first."""
    return save_as(figure, [path.with_suffix(".png"), path.with_suffix(".svg")])


def save_as(figure: Figure, paths: Iterable[Path]) -> list[Path]:
    """Write a figure to files whose suffixes say their formats; return the paths."""
    written = list(paths)
    with paper_style():
        for path in written:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a date, so that the same run draws the same file.
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(path, metadata=metadata)
            figure.set_layout_engine("none")  # once laid out, it stays
    return written


def add_caption(figure: Figure, text: str) -> None:
    """Put one small line under a figure, inside its layout."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=8, color=MUTED)


def literal(text: str) -> str:
    """Return a text that a figure shows as it stands: a dollar sign starts no formula."""
    return text.replace("$", r"\$")
