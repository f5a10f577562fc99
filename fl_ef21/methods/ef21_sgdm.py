"""EF21-SGDM: EF21 on a momentum of stochastic gradients.

Fatkhullin, Tyurin and Richtárik, "Momentum Provably Improves Error Feedback!", NeurIPS 2023
(arXiv 2305.15155). A round of client i:

    vᵢ ← (1 − η) vᵢ + η sᵢ,  cᵢ = C(vᵢ − gᵢ),  gᵢ ← gᵢ + cᵢ        (sᵢ a stochastic gradient)

It starts from vᵢ = sᵢ. With η = 1 it is EF21.
"""

from typing import Any, Self

import numpy as np

from fl_ef21.compressors import Compressor, Identity, Message, Vector
from fl_ef21.methods.arguments import number, share
from fl_ef21.methods.ef21 import EF21, difference
from fl_ef21.methods.method import State, Turn

MOMENTUM = "momentum"


class EF21SGDM(EF21):
    """EF21 with momentum on the clients.

    Parameters
    ----------
    initialisation : {"full", "compressed", "zero"}
        As in ``Initialised``.
    eta : float
        Weight η in (0, 1] of the new signal.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> str(EF21SGDM("full", 0.25))
    'ef21-sgdm:full:0.25'
    """

    name = "ef21-sgdm"
    expects_noise = True

    def __init__(self, initialisation: str = "full", eta: float = 0.1) -> None:
        super().__init__(initialisation)
        self.eta = share("eta", eta)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[initialisation, eta]``."""
        if len(arguments) != 2:
            raise ValueError(f"{cls.name} is written {cls.name}:full:0.1, got {arguments}")
        return cls(arguments[0], number("eta", arguments[1]))

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0 and vᵢ = 0."""
        return {**super().start(size, dtype), MOMENTUM: np.zeros(size, dtype)}

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return C(vᵢ − gᵢ), or vᵢ itself when a full initialisation is due."""
        momentum = self._momentum(state, signal, turn)
        if turn.first and self.initialisation == "full":
            return Identity().compress(momentum, rng)
        return difference(momentum, state, compressor, rng)

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the new vᵢ."""
        return {MOMENTUM: self._momentum(state, signal, turn)}

    def _momentum(self, state: State, signal: Vector, turn: Turn) -> Vector:
        if turn.first:
            return signal
        kind = signal.dtype.type
        return kind(1 - self.eta) * state[MOMENTUM] + kind(self.eta) * signal

    def __str__(self) -> str:
        return f"{super().__str__()}:{self.eta!r}"
