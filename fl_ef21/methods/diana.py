"""DIANA: compressed differences for unbiased compressors.

Mishchenko, Gorbunov, Takáč and Richtárik 2019 (arXiv 1901.09269). A round, from hᵢ = 0:

    client i  mᵢ = Q(sᵢ − hᵢ),  hᵢ ← hᵢ + a mᵢ
    server    x ← x − γ (Σ pᵢ hᵢ + Σ pᵢ mᵢ), with the hᵢ from before,  a = 1/(1 + ω)
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor, Message, Unbiased, Vector
from fl_ef21.methods.arguments import number, require_unbiased, share
from fl_ef21.methods.ef21 import difference
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE, Method, State, Turn


class DIANA(Method):
    """Learn the clients' gradients at rate a, and step along what is learned plus the news.

    Parameters
    ----------
    rate : float, optional
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

    def __init__(self, rate: float | None = None) -> None:
        self.rate = None if rate is None else share("rate", rate)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[]`` or ``[rate]``."""
        if len(arguments) > 1:
            raise ValueError(f"diana takes one rate, as in diana:0.1, got {arguments}")
        return cls(*(number("rate", text) for text in arguments))

    def fitted(self, compressor: Compressor, size: int) -> Self:
        """Return the method with the rate 1/(1 + ω)."""
        if self.rate is not None or not isinstance(compressor, Unbiased):
            return self
        return type(self)(1 / (1 + compressor.omega(size)))

    def check(self, compressor: Compressor) -> None:
        """Refuse compressors without a variance ω."""
        require_unbiased("DIANA", compressor)

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
        return message.scaled(1.0 if self.rate is None else self.rate)

    def held(self, state: State, message: Message, turn: Turn) -> Vector:  # noqa: ARG002
        """Return hᵢ + mᵢ."""
        held = state[ESTIMATE].copy()
        message.add_to(held)
        return held

    def estimate(self, size: int, dtype: np.dtype[Any]) -> "LearnedEstimate":
        """Return an empty Σ pᵢ hᵢ that adds each round's news."""
        return LearnedEstimate(size, dtype, self.increment)

    def __str__(self) -> str:
        return self.name if self.rate is None else f"{self.name}:{self.rate!r}"


class LearnedEstimate(RememberedEstimate):
    """Σ pᵢ hᵢ from before the round, plus Σ pᵢ mᵢ over the round's messages.

    Clients that are silent count with hᵢ alone.
    """

    def __init__(
        self, size: int, dtype: np.dtype[Any], increment: Callable[[Message], Message]
    ) -> None:
        super().__init__(size, dtype, increment)
        self._news: NDArray[np.float64] = np.zeros(size)

    def begin_round(self) -> None:
        """Forget the last round's news."""
        self._news = np.zeros(self._size)

    def fold(self, client: str, weight: float, message: Message) -> None:
        """Add a mᵢ to hᵢ, and the rest of mᵢ to the news."""
        super().fold(client, weight, message)
        for part, sign in ((message, 1.0), (self._increment(message), -1.0)):
            for place, values in part.pieces():
                self._news[place] += sign * weight * values.astype(np.float64)

    def mean(self, silent: int = 0) -> NDArray[np.float64]:
        """Return the estimate: with what was learned this round, mᵢ counts once in all."""
        weights = self.weights()
        if not weights:
            return np.zeros(self._size)
        return super().mean(silent) + self._news / sum(weights)
