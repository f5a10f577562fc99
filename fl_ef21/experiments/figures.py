"""What experiments draw: the squared gradient norm against rounds and against bits."""

from collections.abc import Mapping, Sequence
from typing import Final

from fl_ef21.report.quantities import BITS, GRADIENT, History, Quantity
from fl_ef21.report.sheet import Sheet

Panels = Mapping[str, Mapping[str, History]]

ROUNDS: Final = Quantity("round", "Round", log=True)
BOTH_WAYS: Final = Quantity(
    "sent_both_ways_bits_per_client", "Sent both ways, bits per client", log=True, total=True
)


def against_rounds(panels: Panels, title: str, caption: str) -> Sheet:
    """Return ‖∇f‖² against rounds, one panel a problem."""
    return Sheet(panels, ROUNDS, GRADIENT, title, caption)


def against_bits(panels: Panels, title: str, caption: str) -> Sheet:
    """Return ‖∇f‖² against the bits that a client has sent, as in the papers but measured."""
    caption = f"{caption} Bits: payloads as sent, positions and framing included."
    return Sheet(panels, BITS, GRADIENT, title, caption)


def against_bits_both_ways(panels: Panels, title: str, caption: str) -> Sheet:
    """Return ‖∇f‖² against all bits that went to a client and came from it."""
    caption = f"{caption} Bits: whole messages as sent, without Flower's envelopes."
    return Sheet(panels, BOTH_WAYS, GRADIENT, title, caption)


def curves(
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    x: str,
    y: str,
    title: str,
    caption: str,
    *,
    log: bool = True,
) -> Sheet:
    """Return pairs (x, y) as lines with marks, one panel a problem."""
    histories = {
        panel: {
            name: [{"x": across, "y": up} for across, up in sorted(points)]
            for name, points in lines.items()
        }
        for panel, lines in panels.items()
    }
    across, up = Quantity("x", x, log=log), Quantity("y", y, log=True)
    return Sheet(histories, across, up, title, caption, marks=True)
