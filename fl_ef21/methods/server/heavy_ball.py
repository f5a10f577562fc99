"""Heavy ball: momentum on the server, EF21-HB.

Polyak 1964; with EF21: Fatkhullin et al. 2021 (arXiv 2110.03294). From v = 0:

    v ← η v + ḡ,  x ← x − γ v
"""

from typing import Self

import numpy as np

from fl_ef21.methods.arguments import number, share
from fl_ef21.methods.server.step import Float64, ServerState, ServerStep

VELOCITY = "velocity"


class HeavyBall(ServerStep):
    """Momentum η on the server.

    Parameters
    ----------
    momentum : float
        η in [0, 1); 0 is plain descent.

    Raises
    ------
    ValueError
        If the momentum is out of range.

    Examples
    --------
    >>> step, state, model = HeavyBall(0.5), {}, np.array([1.0])
    >>> for _ in range(2):
    ...     model, state = step.step(state, model, np.array([2.0]), 0.25)
    >>> model
    array([-0.25])
    """

    name = "heavy-ball"

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = share("momentum", momentum, above_zero=False)
        if self.momentum == 1:
            raise ValueError("momentum=1 never forgets; choose one in [0, 1), for example 0.9")

    def step(
        self, state: ServerState, model: Float64, estimate: Float64, step_size: float
    ) -> tuple[Float64, ServerState]:
        """Return x − γ v with the new v."""
        velocity = state.get(VELOCITY, np.zeros_like(estimate))
        velocity = self.momentum * velocity + estimate
        return model - step_size * velocity, {VELOCITY: velocity}

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[momentum]``."""
        if len(arguments) != 1:
            raise ValueError(f"heavy-ball takes a momentum, as in heavy-ball:0.9, got {arguments}")
        return cls(number("momentum", arguments[0]))

    def __str__(self) -> str:
        return f"{self.name}:{self.momentum!r}"
