"""EF21-BC: error feedback in both directions.

Fatkhullin et al., "EF21 with Bells & Whistles" (arXiv 2110.03294). The server compresses its
estimate, and everybody steps along the compressed one:

    b = C(Σ pᵢ g̃ᵢ − g),  g ← g + b,  x ← x − γ g      (server and clients alike)
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Identity, Message, Vector
from fl_ef21.methods.downlink.downlink import MODEL, Downlink, Step
from fl_ef21.methods.method import State

DIRECTION: Final = "direction"
"""Name of g in the state; absent before the first message, which is the whole estimate."""


class EF21BC(Downlink):
    """Send the compressed difference between the estimate and the direction that clients hold.

    Parameters and errors are those of ``Downlink``. The step is plain descent, which clients take
    too. The first direction is sent whole, as theory starts from it.

    Examples
    --------
    >>> from fl_ef21.compressors import TopK
    >>> downlink = EF21BC(TopK(1))
    >>> state = downlink.start(np.array([0.0, 0.0]))
    >>> message, _ = downlink.message(
    ...     state, np.zeros(2), np.array([2.0, 1.0]), lambda g: -0.5 * g, np.random.default_rng(0)
    ... )
    >>> downlink.advance(state, message, 0.5)["model"]
    array([-1. , -0.5])
    """

    name = "ef21-bc"
    shares_iterate = True

    def start(self, model: Vector) -> State:
        """Return x, and no direction yet."""
        return {MODEL: model}

    def message(
        self,
        state: State,
        iterate: Vector,  # noqa: ARG002 - the step knows it
        estimate: NDArray[np.float64],
        step: Step,
        rng: np.random.Generator,
    ) -> tuple[Message, NDArray[np.float64]]:
        """Return the whole estimate at first, then C(estimate − g); and x − γ g."""
        target = estimate.astype(state[MODEL].dtype)
        if DIRECTION in state:
            message = self.compressor.compress_difference(target, state[DIRECTION], rng)
        else:
            message = Identity().compress(target, rng)
        return message, step(self._direction(state, message).astype(np.float64))

    def advance(self, state: State, message: Message, step_size: float) -> State:
        """Return g + message and x − γ g."""
        direction, model = self._direction(state, message), state[MODEL]
        moved = model.astype(np.float64) - step_size * direction.astype(np.float64)
        return {MODEL: moved.astype(model.dtype), DIRECTION: direction}

    def _direction(self, state: State, message: Message) -> Vector:
        moved = state[DIRECTION].copy() if DIRECTION in state else np.zeros_like(state[MODEL])
        message.add_to(moved)
        return moved
