"""Compressors from their texts, as they stand in run configs and instructions."""

from typing import Final

from fl_ef21.compressors.compressor import Compressor
from fl_ef21.compressors.identity import Identity
from fl_ef21.compressors.rand_k import RandK, UnbiasedRandK
from fl_ef21.compressors.top_k import TopK

COMPRESSORS: Final[dict[str, type[Compressor]]] = {
    compressor.name: compressor for compressor in (Identity, RandK, TopK, UnbiasedRandK)
}


def from_text(text: str) -> Compressor:
    """Build a compressor from its text; ``str(compressor)`` is the way back.

    Parameters
    ----------
    text : str
        A name and its arguments, separated by colons. A number below 1 is a ratio, an integer
        from 1 is a count.

    Raises
    ------
    ValueError
        If the name is unknown or an argument is out of range.

    Examples
    --------
    >>> from_text("topk:0.01"), from_text("identity")
    (<TopK topk:0.01>, <Identity identity>)
    """
    name, *arguments = str(text).strip().lower().split(":")
    if name not in COMPRESSORS:
        raise ValueError(
            f"unknown compressor {text!r}; known are {', '.join(sorted(COMPRESSORS))}, "
            f"written for example topk:0.01, topk:5 or identity"
        )
    return COMPRESSORS[name].from_arguments(arguments)
