"""EF21 and its family for Flower: error feedback with compressed updates really on the wire.

Add one mod to the client app, swap the strategy on the server:

>>> from fl_ef21 import EF21, TopK, ef21_mod
>>> from flwr.clientapp import ClientApp
>>> app = ClientApp(mods=[ef21_mod])
>>> strategy = EF21(compressor=TopK(ratio=0.01))
"""

from fl_ef21._version import __version__
from fl_ef21.compressors import (
    QSGD,
    Bernoulli,
    BFloat16,
    Float16,
    Identity,
    LowRank,
    Natural,
    NaturalDithering,
    NaturalNearest,
    PermK,
    RandK,
    ScaledSign,
    Shrunk,
    Ternary,
    Threshold,
    TopK,
    UnbiasedBernoulli,
    UnbiasedPermK,
    UnbiasedRandK,
    Uniform,
)
from fl_ef21.flower import (
    DASHA,
    DCGD,
    DIANA,
    EF14,
    EF21,
    EF21HB,
    EF21PAGE,
    EF21SGDM,
    EF21W,
    MARINA,
    Cloning,
    EControl,
    EF21Plus,
    EF21Prox,
    ErrorFeedbackStrategy,
    ef21_mod,
)

__all__ = [
    "DASHA",
    "DCGD",
    "DIANA",
    "EF14",
    "EF21",
    "EF21HB",
    "EF21PAGE",
    "EF21SGDM",
    "EF21W",
    "MARINA",
    "QSGD",
    "BFloat16",
    "Bernoulli",
    "Cloning",
    "EControl",
    "EF21Plus",
    "EF21Prox",
    "ErrorFeedbackStrategy",
    "Float16",
    "Identity",
    "LowRank",
    "Natural",
    "NaturalDithering",
    "NaturalNearest",
    "PermK",
    "RandK",
    "ScaledSign",
    "Shrunk",
    "Ternary",
    "Threshold",
    "TopK",
    "UnbiasedBernoulli",
    "UnbiasedPermK",
    "UnbiasedRandK",
    "Uniform",
    "__version__",
    "ef21_mod",
]
