"""EF21 and its family for Flower: error feedback with compressed updates really on the wire.

Add one mod to the client app, swap the strategy on the server:

>>> from fl_ef21 import EF21, TopK, ef21_mod
>>> from flwr.clientapp import ClientApp
>>> app = ClientApp(mods=[ef21_mod])
>>> strategy = EF21(compressor=TopK(ratio=0.01))
"""

from fl_ef21._version import __version__
from fl_ef21.compressors import Identity, RandK, TopK, UnbiasedRandK
from fl_ef21.flower import DCGD, EF21, ErrorFeedbackStrategy, ef21_mod

__all__ = [
    "DCGD",
    "EF21",
    "ErrorFeedbackStrategy",
    "Identity",
    "RandK",
    "TopK",
    "UnbiasedRandK",
    "__version__",
    "ef21_mod",
]
