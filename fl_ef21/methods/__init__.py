"""One published method a file: client step, commit and server step over explicit state."""

from fl_ef21.methods.dcgd import DCGD
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.estimate import Estimate, RememberedEstimate, RoundEstimate
from fl_ef21.methods.method import Info, Method, State
from fl_ef21.methods.text import from_text

__all__ = [
    "DCGD",
    "EF21",
    "Estimate",
    "Info",
    "Method",
    "RememberedEstimate",
    "RoundEstimate",
    "State",
    "from_text",
]
