"""EControl: error feedback whose feedback signal is weighed.

Gao, Islamov and Stich, "EControl: Fast Distributed Optimization with Compression and Error
Control", ICLR 2024 (arXiv 2311.05645). A round of client i, from eᵢ = 0 and hᵢ = sᵢ:

    cᵢ = C(η eᵢ + sᵢ − hᵢ),  hᵢ ← hᵢ + cᵢ,  eᵢ ← eᵢ + sᵢ − hᵢ

With η = 0 it is EF21. Theory asks for η = α/400; η up to α/10 works in practice (empirical).
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Message, Vector
from fl_ef21.methods.arguments import WithNumber, share
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.method import ESTIMATE, State, Turn

ERROR = "error"


class EControl(WithNumber, EF21):
    """EF21 with a share of the accumulated error in the signal.

    Parameters
    ----------
    initialisation : {"full", "compressed", "zero"}
        As in ``Initialised``.
    eta : float
        Weight η in [0, 1] of the accumulated error.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> str(EControl("full", 0.05))
    'econtrol:full:0.05'
    """

    name = "econtrol"
    parameter = "eta"

    def __init__(self, initialisation: str = "full", eta: float = 0.01) -> None:
        super().__init__(initialisation)
        self.eta = share("eta", eta, above_zero=False)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return hᵢ = 0 and eᵢ = 0."""
        return {**super().start(size, dtype), ERROR: np.zeros(size, dtype)}

    def wanted(self, state: State, signal: Vector, turn: Turn) -> Vector:  # noqa: ARG002
        """Return η eᵢ + sᵢ."""
        return signal.dtype.type(self.eta) * state[ERROR] + signal

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return eᵢ + sᵢ − hᵢ, with the new hᵢ."""
        return {ERROR: state[ERROR] + (signal - self.folded(state[ESTIMATE], message))}
