"""DIANA: compressed differences for unbiased compressors.

Mishchenko, Gorbunov, Takáč and Richtárik 2019 (arXiv 1901.09269). A round, from hᵢ = 0:

    client i  mᵢ = Q(sᵢ − hᵢ),  hᵢ ← hᵢ + a mᵢ
    server    x ← x − γ (Σ pᵢ hᵢ + Σ pᵢ mᵢ), with the hᵢ from before,  a = 1/(1 + ω)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor, Message, Vector
from fl_ef21.methods.arguments import ForUnbiased
from fl_ef21.methods.ef21 import difference
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE, State, Turn
from fl_ef21.methods.mirrors import Mirrors


class DIANA(ForUnbiased):
    """Learn the clients' gradients at rate a, and step along what is learned plus the news.

    Parameters
    ----------
    value : float, optional
        a in (0, 1]; 1/(1 + ω) of the compressor when left out.

    Raises
    ------
    ValueError
        If the rate is out of range.

    Examples
    --------
    >>> str(DIANA(0.25))
    'diana:0.25'
    """

    name = "diana"
    parameter = "rate"

    @staticmethod
    def usual(omega: float) -> float:
        """Return 1/(1 + ω)."""
        return 1 / (1 + omega)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return hᵢ = 0."""
        return {ESTIMATE: np.zeros(size, dtype)}

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,  # noqa: ARG002
    ) -> Message:
        """Return Q(sᵢ − hᵢ)."""
        return difference(signal, state, compressor, rng)

    def increment(self, message: Message) -> Message:
        """Return a mᵢ."""
        return message.scaled(1.0 if self.value is None else self.value)

    def terms(self, state: State, message: Message, turn: Turn) -> tuple[Vector, Message]:  # noqa: ARG002
        """Return hᵢ and mᵢ."""
        return state[ESTIMATE], message

    def estimate(
        self, size: int, dtype: np.dtype[Any], mirrors: Mirrors | None = None
    ) -> "LearnedEstimate":
        """Return an empty Σ pᵢ hᵢ that adds each round's news."""
        return LearnedEstimate(size, dtype, self.increment, mirrors)


class LearnedEstimate(RememberedEstimate):
    """Σ pᵢ hᵢ from before the round, plus Σ pᵢ mᵢ over the round's messages.

    Clients that are silent count with hᵢ alone.
    """

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        increment: Callable[[Message], Message],
        mirrors: Mirrors | None = None,
    ) -> None:
        super().__init__(size, dtype, increment, mirrors)
        self._news: NDArray[np.float64] = np.zeros(size)

    def begin_round(self) -> None:
        """Forget the last round's news."""
        self._news = np.zeros(self._size)

    def fold(self, client: str, weight: float, message: Message, scale: float = 1.0) -> None:
        """Add a mᵢ to hᵢ, and the rest of mᵢ to the news."""
        super().fold(client, weight, message, scale)
        for part, sign in ((message, 1.0), (self._increment(message), -1.0)):
            for place, values in part.pieces():
                self._news[place] += sign * weight / scale * values.astype(np.float64)

    def mean(self, silent: int = 0) -> NDArray[np.float64]:
        """Return the estimate: with what was learned this round, mᵢ counts once in all."""
        weights = self.weights()
        if not weights:
            return np.zeros(self._size)
        return super().mean(silent) + self._news / sum(weights)
