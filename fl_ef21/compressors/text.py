"""Compressors from their texts, as they stand in run configs and instructions."""

from typing import Final

from fl_ef21.compressors.bernoulli import Bernoulli, UnbiasedBernoulli
from fl_ef21.compressors.composition import Composition
from fl_ef21.compressors.compressor import Compressor
from fl_ef21.compressors.float_rounding import BFloat16, Float16
from fl_ef21.compressors.identity import Identity
from fl_ef21.compressors.low_rank import LowRank
from fl_ef21.compressors.natural import Natural, NaturalNearest
from fl_ef21.compressors.natural_dithering import NaturalDithering
from fl_ef21.compressors.perm_k import PermK, UnbiasedPermK
from fl_ef21.compressors.qsgd import QSGD
from fl_ef21.compressors.rand_k import RandK, UnbiasedRandK
from fl_ef21.compressors.scaled_sign import ScaledSign
from fl_ef21.compressors.shrunk import Shrunk
from fl_ef21.compressors.ternary import Ternary
from fl_ef21.compressors.threshold import Threshold
from fl_ef21.compressors.top_k import TopK
from fl_ef21.compressors.top_rows import TopRows
from fl_ef21.compressors.uniform import Uniform

COMPRESSORS: Final[dict[str, type[Compressor]]] = {
    compressor.name: compressor
    for compressor in (
        BFloat16,
        Bernoulli,
        Float16,
        Identity,
        LowRank,
        Natural,
        NaturalDithering,
        NaturalNearest,
        PermK,
        QSGD,
        RandK,
        ScaledSign,
        Ternary,
        Threshold,
        TopK,
        TopRows,
        UnbiasedBernoulli,
        UnbiasedPermK,
        UnbiasedRandK,
        Uniform,
    )
}
"""Those that have a name; ``shrunk-…`` and ``…|…`` are made of them."""

_SHRUNK: Final = f"{Shrunk.name}-"


def from_text(text: str) -> Compressor:
    """Build a compressor from its text; ``str(compressor)`` is the way back.

    Parameters
    ----------
    text : str
        A name and its arguments, separated by colons. A number below 1 is a ratio, an integer
        from 1 is a count. ``shrunk-`` in front makes an unbiased compressor contractive, and
        ``A|B`` chooses coordinates with A and rounds their values with B.

    Raises
    ------
    ValueError
        If a name is unknown, an argument out of range, or A and B do not go together.

    Examples
    --------
    >>> from_text("topk:0.01"), from_text("identity")
    (<TopK topk:0.01>, <Identity identity>)
    >>> from_text("topk:0.01|shrunk-qsgd:4")
    <ContractiveComposition topk:0.01|shrunk-qsgd:4>
    """
    text = str(text).strip().lower()
    left, bar, right = text.rpartition("|")
    if bar:
        return Composition.from_arguments([left, right])
    name, *arguments = text.split(":")
    if name.startswith(_SHRUNK):
        return Shrunk.from_arguments([name.removeprefix(_SHRUNK), *arguments])
    if name not in COMPRESSORS:
        raise ValueError(
            f"unknown compressor {text!r}; known are {', '.join(sorted(COMPRESSORS))}, "
            f"written for example topk:0.01, topk:5, topk:0.01|natural or shrunk-qsgd:16"
        )
    return COMPRESSORS[name].from_arguments(arguments)
