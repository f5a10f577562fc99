"""EF21-P: error feedback on the model itself.

Gruntkowska, Tyurin and Richtárik, "EF21-P and Friends", ICML 2023 (arXiv 2209.15218). Clients
compute at w, which follows the server's x:

    x ← x − γ ḡ(w),  w ← w + C(x − w)
"""

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Message, Vector
from fl_ef21.methods.downlink.downlink import MODEL, Downlink, Step
from fl_ef21.methods.method import State


class EF21P(Downlink):
    """Send the compressed difference between the server's iterate and what clients hold.

    Parameters and errors are those of ``Downlink``. It goes with every method of the clients and
    every step of the server.

    Examples
    --------
    >>> from fl_ef21.compressors import TopK
    >>> downlink = EF21P(TopK(1))
    >>> state = downlink.start(np.array([0.0, 0.0]))
    >>> message, iterate = downlink.message(
    ...     state, np.zeros(2), np.array([2.0, 1.0]), lambda g: -g, np.random.default_rng(0)
    ... )
    >>> iterate, downlink.advance(state, message, 1.0)["model"]
    (array([-2., -1.]), array([-2.,  0.]))
    """

    name = "ef21-p"

    def start(self, model: Vector) -> State:
        """Return w = x."""
        return {MODEL: model}

    def message(
        self,
        state: State,
        iterate: Vector,  # noqa: ARG002 - the step knows it
        estimate: NDArray[np.float64],
        step: Step,
        rng: np.random.Generator,
    ) -> tuple[Message, NDArray[np.float64]]:
        """Return C(x − w) and x, after the server's step."""
        held = state[MODEL]
        moved = step(estimate)
        target = moved.astype(held.dtype)
        return self.compressor.compress_difference(target, held, rng), moved

    def advance(self, state: State, message: Message, step_size: float) -> State:  # noqa: ARG002
        """Return w + message."""
        moved = state[MODEL].copy()
        message.add_to(moved)
        return {MODEL: moved}
