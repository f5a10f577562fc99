"""Contractive and unbiased compressors: one family a file, each with its α or ω.

The promises are those of exact arithmetic. Floats add a few units in the last place of the vector's
norm and, to a coordinate below the smallest normal number, at most that number.
"""

from fl_ef21.compressors.bernoulli import Bernoulli, UnbiasedBernoulli
from fl_ef21.compressors.composition import Composition
from fl_ef21.compressors.compressor import Compressor, Contractive, Unbiased
from fl_ef21.compressors.float_rounding import BFloat16, Float16
from fl_ef21.compressors.fresh import Fresh
from fl_ef21.compressors.identity import Identity
from fl_ef21.compressors.low_rank import LowRank
from fl_ef21.compressors.low_rank_message import LowRankMessage
from fl_ef21.compressors.message import Dense, Message, Sparse, Vector
from fl_ef21.compressors.natural import Natural, NaturalNearest
from fl_ef21.compressors.natural_dithering import NaturalDithering
from fl_ef21.compressors.parts import Parts
from fl_ef21.compressors.perm_k import PermK, UnbiasedPermK
from fl_ef21.compressors.qsgd import QSGD
from fl_ef21.compressors.rand_k import RandK, UnbiasedRandK
from fl_ef21.compressors.restricted import Restricted
from fl_ef21.compressors.scaled_sign import ScaledSign
from fl_ef21.compressors.selection import Rounding, Selection
from fl_ef21.compressors.shrunk import Shrunk
from fl_ef21.compressors.support import Support
from fl_ef21.compressors.ternary import Ternary
from fl_ef21.compressors.text import from_text
from fl_ef21.compressors.threshold import Threshold
from fl_ef21.compressors.top_k import TopK
from fl_ef21.compressors.top_rows import TopRows
from fl_ef21.compressors.uniform import Uniform

__all__ = [
    "QSGD",
    "BFloat16",
    "Bernoulli",
    "Composition",
    "Compressor",
    "Contractive",
    "Dense",
    "Float16",
    "Fresh",
    "Identity",
    "LowRank",
    "LowRankMessage",
    "Message",
    "Natural",
    "NaturalDithering",
    "NaturalNearest",
    "Parts",
    "PermK",
    "RandK",
    "Restricted",
    "Rounding",
    "ScaledSign",
    "Selection",
    "Shrunk",
    "Sparse",
    "Support",
    "Ternary",
    "Threshold",
    "TopK",
    "TopRows",
    "Unbiased",
    "UnbiasedBernoulli",
    "UnbiasedPermK",
    "UnbiasedRandK",
    "Uniform",
    "Vector",
    "from_text",
]
