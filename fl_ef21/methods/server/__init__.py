"""What the server does with the estimate: one step a file, over explicit state."""

from fl_ef21.methods.server.adagrad import Adagrad
from fl_ef21.methods.server.adam import Adam
from fl_ef21.methods.server.adaptive import Adaptive
from fl_ef21.methods.server.descent import Descent
from fl_ef21.methods.server.heavy_ball import HeavyBall
from fl_ef21.methods.server.prox import Box, Prox
from fl_ef21.methods.server.regularised import Regularised
from fl_ef21.methods.server.schedule import Schedule, schedule_from_text
from fl_ef21.methods.server.step import ServerState, ServerStep
from fl_ef21.methods.server.text import from_text
from fl_ef21.methods.server.yogi import Yogi

__all__ = [
    "Adagrad",
    "Adam",
    "Adaptive",
    "Box",
    "Descent",
    "HeavyBall",
    "Prox",
    "Regularised",
    "Schedule",
    "ServerState",
    "ServerStep",
    "Yogi",
    "from_text",
    "schedule_from_text",
]
