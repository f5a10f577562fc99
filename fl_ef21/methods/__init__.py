"""One published method a file: client step, commit and server step over explicit state."""

from fl_ef21.methods.dasha import DASHA
from fl_ef21.methods.dcgd import DCGD
from fl_ef21.methods.diana import DIANA
from fl_ef21.methods.econtrol import EControl
from fl_ef21.methods.ef14 import EF14
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.ef21_page import EF21PAGE
from fl_ef21.methods.ef21_plus import EF21Plus
from fl_ef21.methods.ef21_sgdm import EF21SGDM
from fl_ef21.methods.estimate import Estimate, RememberedEstimate, RoundEstimate
from fl_ef21.methods.marina import MARINA
from fl_ef21.methods.method import MEMORY, NOTHING, Info, Method, State, Turn
from fl_ef21.methods.snapshot import Snapshot
from fl_ef21.methods.text import from_text

__all__ = [
    "DASHA",
    "DCGD",
    "DIANA",
    "EF14",
    "EF21",
    "EF21PAGE",
    "EF21SGDM",
    "MARINA",
    "MEMORY",
    "NOTHING",
    "EControl",
    "EF21Plus",
    "Estimate",
    "Info",
    "Method",
    "RememberedEstimate",
    "RoundEstimate",
    "Snapshot",
    "State",
    "Turn",
    "from_text",
]
