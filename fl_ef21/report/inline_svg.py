"""Figures as SVG inside a page: its font, its light and dark colours, no id used twice."""

import io
import re
from contextlib import AbstractContextManager
from typing import Final

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from fl_ef21.report.style import BARS, COLOURS, GRID, MUTED

INK: Final = "#000001"
"""Of text and axes: near enough to black that nothing else has it."""

VARIABLES: Final = {
    INK: "--ink",
    GRID: "--grid",
    MUTED: "--muted",
    BARS: "--bars",
    **{colour.lower(): f"--line-{place}" for place, colour in enumerate(COLOURS)},
}
"""The colours of figures, and the page's custom properties that stand for them."""

_OPENING = re.compile(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>")
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_FONT = re.compile(r"(font: [^;\"]*?)'[^;\"]*")
_COLOUR = re.compile("|".join(map(re.escape, VARIABLES)), re.IGNORECASE)
_ID = re.compile(r"(\bid=\"|href=\"#|url\(#)")


def page_style() -> AbstractContextManager[None]:
    """Set the look of figures for a page, within that of figures for files."""
    return rc_context(
        {
            "svg.fonttype": "none",  # text stays text, in the page's font
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "svg.hashsalt": "fl-ef21",  # the same run draws the same page
        }
    )


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """Return a figure as an element for a page.

    Parameters
    ----------
    figure : Figure
        Drawn under :func:`page_style`.
    name : str
        Unique in the page; put before every id.
    description : str
        What can be seen, for those who cannot see it.
    """
    text = io.StringIO()
    with page_style():
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = _METADATA.sub("", svg[svg.index("<svg") :])
    svg = _ID.sub(rf"\g<1>{name}-", svg)
    svg = _FONT.sub(r"\g<1>var(--font)", svg)
    svg = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0].lower()]})", svg)
    opening = (
        f'<svg viewBox="{{}}" role="img" aria-label="{escape(description)}"'
        ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    _, box, drawing = _OPENING.split(svg, maxsplit=1)
    return Markup(opening.format(box) + drawing.strip())
