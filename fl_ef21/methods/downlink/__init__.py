"""How a compressed model reaches the clients: one method a file, over explicit state."""

from fl_ef21.methods.downlink.downlink import Downlink, Step
from fl_ef21.methods.downlink.ef21_bc import EF21BC
from fl_ef21.methods.downlink.ef21_p import EF21P
from fl_ef21.methods.downlink.text import from_text

__all__ = ["EF21BC", "EF21P", "Downlink", "Step", "from_text"]
