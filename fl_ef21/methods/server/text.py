"""Server steps from their texts."""

from typing import Final

from fl_ef21.methods.server.adagrad import Adagrad
from fl_ef21.methods.server.adam import Adam
from fl_ef21.methods.server.descent import Descent
from fl_ef21.methods.server.heavy_ball import HeavyBall
from fl_ef21.methods.server.prox import Box, Prox
from fl_ef21.methods.server.regularised import Regularised
from fl_ef21.methods.server.step import ServerStep
from fl_ef21.methods.server.yogi import Yogi

STEPS: Final[dict[str, type[ServerStep]]] = {
    step.name: step for step in (Adagrad, Adam, Box, Descent, HeavyBall, Prox, Regularised, Yogi)
}


def from_text(text: str) -> ServerStep:
    """Build a server step from its text; ``str(step)`` is the way back.

    Raises
    ------
    ValueError
        If the name or an argument is unknown.

    Examples
    --------
    >>> from_text("heavy-ball:0.9"), from_text("regularised:l2:0.1|prox:l1:0.01")
    (<HeavyBall heavy-ball:0.9>, <Regularised regularised:l2:0.1|prox:l1:0.01>)
    """
    first, _, then = text.partition("|")
    name, *arguments = first.split(":")
    if name not in STEPS:
        raise ValueError(f"unknown server step {text!r}; known are {', '.join(sorted(STEPS))}")
    step = STEPS[name].from_arguments(arguments)
    if not then:
        return step
    if not isinstance(step, Regularised):
        raise ValueError(f"only regularised takes a step behind it, got {text!r}")
    return Regularised(step.kind, step.weight, from_text(then))
