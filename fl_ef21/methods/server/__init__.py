"""What the server does with the estimate: one step a file, over explicit state."""

from fl_ef21.methods.server.descent import Descent
from fl_ef21.methods.server.heavy_ball import HeavyBall
from fl_ef21.methods.server.prox import Box, Prox
from fl_ef21.methods.server.regularised import Regularised
from fl_ef21.methods.server.step import ServerState, ServerStep
from fl_ef21.methods.server.text import from_text

__all__ = [
    "Box",
    "Descent",
    "HeavyBall",
    "Prox",
    "Regularised",
    "ServerState",
    "ServerStep",
    "from_text",
]
