"""DASHA: MARINA without its whole gradients.

Tyurin and Richtárik, ICLR 2023 (arXiv 2202.01268), the version for whole gradients. A round of
client i, from gᵢ = hᵢ = sᵢ:

    mᵢ = Q(sᵢ − hᵢ − a (gᵢ − hᵢ)),  gᵢ ← gᵢ + mᵢ,  hᵢ ← sᵢ,  a = 1/(2ω + 1)
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Compressor, Identity, Message, Vector
from fl_ef21.methods.arguments import ForUnbiased
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE, State, Turn
from fl_ef21.methods.mirrors import Mirrors

SIGNAL = "signal"


class DASHA(ForUnbiased):
    """Send differences of consecutive signals, corrected towards what the server holds.

    Parameters
    ----------
    value : float, optional
        a in (0, 1]; 1/(2ω + 1) of the compressor when left out.

    Raises
    ------
    ValueError
        If the rate is out of range.

    Examples
    --------
    >>> str(DASHA(0.25))
    'dasha:0.25'
    """

    name = "dasha"
    parameter = "rate"

    @staticmethod
    def usual(omega: float) -> float:
        """Return 1/(2ω + 1)."""
        return 1 / (2 * omega + 1)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = hᵢ = 0."""
        return {ESTIMATE: np.zeros(size, dtype), SIGNAL: np.zeros(size, dtype)}

    def sends_whole(self, turn: Turn) -> bool:
        """Return whether it is the client's first."""
        return turn.first

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return the signal itself at first, then Q(sᵢ − hᵢ − a (gᵢ − hᵢ))."""
        if self.sends_whole(turn):
            return Identity().compress(signal, rng)
        before, rate = state[SIGNAL], signal.dtype.type(1.0 if self.value is None else self.value)
        return compressor.compress(signal - before - rate * (state[ESTIMATE] - before), rng)

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the signal, for the next difference."""
        return {SIGNAL: signal}

    def estimate(
        self, size: int, dtype: np.dtype[Any], mirrors: Mirrors | None = None
    ) -> RememberedEstimate:
        """Return an empty Σ pᵢ gᵢ that remembers every client."""
        return RememberedEstimate(size, dtype, mirrors=mirrors)
