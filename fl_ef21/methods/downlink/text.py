"""Downlinks from their texts."""

from typing import Final

from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.methods.downlink.downlink import Downlink
from fl_ef21.methods.downlink.ef21_bc import EF21BC
from fl_ef21.methods.downlink.ef21_p import EF21P

DOWNLINKS: Final[dict[str, type[Downlink]]] = {d.name: d for d in (EF21BC, EF21P)}


def from_text(text: str) -> Downlink:
    """Build a downlink from its text; ``str(downlink)`` is the way back.

    Raises
    ------
    ValueError
        If the name is unknown or the compressor does not fit.

    Examples
    --------
    >>> from_text("ef21-p:topk:0.1")
    <EF21P ef21-p:topk:0.1>
    """
    name, _, compressor = text.partition(":")
    if name not in DOWNLINKS:
        raise ValueError(
            f"unknown downlink {text!r}; known are {', '.join(sorted(DOWNLINKS))}, "
            f"written for example ef21-p:topk:0.1"
        )
    return DOWNLINKS[name](compressor_from_text(compressor))
