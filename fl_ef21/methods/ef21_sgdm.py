"""EF21-SGDM: EF21 on a momentum of stochastic gradients.

Fatkhullin, Tyurin and Richtárik, "Momentum Provably Improves Error Feedback!", NeurIPS 2023
(arXiv 2305.15155). A round of client i:

    vᵢ ← (1 − η) vᵢ + η sᵢ,  cᵢ = C(vᵢ − gᵢ),  gᵢ ← gᵢ + cᵢ        (sᵢ a stochastic gradient)

It starts from vᵢ = sᵢ. With η = 1 it is EF21.
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Message, Vector
from fl_ef21.methods.arguments import WithNumber, share
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.method import State, Turn

MOMENTUM = "momentum"


class EF21SGDM(WithNumber, EF21):
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
    parameter = "eta"
    expects_noise = True

    def __init__(self, initialisation: str = "full", eta: float = 0.1) -> None:
        super().__init__(initialisation)
        self.eta = share("eta", eta)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0 and vᵢ = 0."""
        return {**super().start(size, dtype), MOMENTUM: np.zeros(size, dtype)}

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the new vᵢ."""
        return {MOMENTUM: self.wanted(state, signal, turn)}

    def wanted(self, state: State, signal: Vector, turn: Turn) -> Vector:
        """Return the new vᵢ."""
        if turn.first:
            return signal
        kind = signal.dtype.type
        return kind(1 - self.eta) * state[MOMENTUM] + kind(self.eta) * signal
