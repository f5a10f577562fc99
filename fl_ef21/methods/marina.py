"""MARINA: compressed differences of gradients, and a whole gradient now and then.

Gorbunov, Burlachenko, Li and Richtárik 2021 (arXiv 2102.07845). The server tosses one coin for all
clients. A round of client i, from gᵢ = sᵢ:

    with probability p   gᵢ = sᵢ, sent whole
    otherwise            gᵢ ← gᵢ + Q(sᵢ − sᵢ_before),  p = 1/(1 + ω) by default
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Compressor, Fresh, Identity, Message, Vector
from fl_ef21.methods.arguments import ForUnbiased
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE, State, Turn
from fl_ef21.methods.mirrors import Mirrors

SIGNAL = "signal"


class MARINA(ForUnbiased):
    """Send differences of consecutive signals, unbiased, and sometimes the signal itself.

    Parameters
    ----------
    value : float, optional
        p in (0, 1]; 1/(1 + ω) of the compressor when left out.

    Raises
    ------
    ValueError
        If the probability is out of range.

    Examples
    --------
    >>> str(MARINA(0.25))
    'marina:0.25'
    """

    name = "marina"
    parameter = "probability"
    tosses_coin = True
    starts_anew = True

    @staticmethod
    def usual(omega: float) -> float:
        """Return 1/(1 + ω)."""
        return 1 / (1 + omega)

    def coin(self, rng: np.random.Generator, compressor: Compressor, size: int) -> bool:
        """Return whether this round sends whole signals."""
        probability = self.fitted(compressor, size).value
        return bool(rng.random() < (1.0 if probability is None else probability))

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0, and no signal before the first."""
        return {ESTIMATE: np.zeros(size, dtype), SIGNAL: np.zeros(size, dtype)}

    def sends_whole(self, turn: Turn) -> bool:
        """Return whether it is the client's first, or the coin says so."""
        return turn.first or turn.full

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return the signal itself, or Q of its difference to the one before."""
        if self.sends_whole(turn):
            return Fresh(Identity().compress(signal, rng))
        return compressor.compress_difference(signal, state[SIGNAL], rng)

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the signal, for the next difference."""
        return {SIGNAL: signal}

    def estimate(
        self, size: int, dtype: np.dtype[Any], mirrors: Mirrors | None = None
    ) -> RememberedEstimate:
        """Return an empty Σ pᵢ gᵢ that remembers every client."""
        return RememberedEstimate(size, dtype, mirrors=mirrors)
