"""EF21-PAGE: EF21 on a variance-reduced gradient.

Fatkhullin et al. 2021 (arXiv 2110.03294), with the estimator of Li, Bao, Zhang and Richtárik 2021
(PAGE, arXiv 2008.10898). The server tosses one coin for all clients. A round of client i:

    with probability p   vᵢ = ∇fᵢ(x)
    otherwise            vᵢ ← vᵢ + ∇fᵢ(x; τ) − ∇fᵢ(x_before; τ)     (the same minibatch τ)
    cᵢ = C(vᵢ − gᵢ),  gᵢ ← gᵢ + cᵢ
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Compressor, Message, Vector
from fl_ef21.methods.arguments import WithNumber, share
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.method import State, Turn

REDUCED = "reduced"


class EF21PAGE(WithNumber, EF21):
    """EF21 with PAGE's gradient estimator on the clients.

    Parameters
    ----------
    initialisation : {"full", "compressed", "zero"}
        As in ``Initialised``.
    probability : float
        p in (0, 1] of a round with whole gradients.

    Raises
    ------
    ValueError
        If an argument is out of range, or a client is asked for a step without the signal at its
        last model.

    Examples
    --------
    >>> str(EF21PAGE("full", 0.25))
    'ef21-page:full:0.25'
    """

    name = "ef21-page"
    parameter = "probability"
    expects_noise = True
    tosses_coin = True
    needs_previous = True

    def __init__(self, initialisation: str = "full", probability: float = 0.1) -> None:
        super().__init__(initialisation)
        self.probability = share("probability", probability)

    def coin(self, rng: np.random.Generator, compressor: Compressor, size: int) -> bool:  # noqa: ARG002
        """Return whether this round uses whole gradients."""
        return bool(rng.random() < self.probability)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0 and vᵢ = 0."""
        return {**super().start(size, dtype), REDUCED: np.zeros(size, dtype)}

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the new vᵢ."""
        return {REDUCED: self.wanted(state, signal, turn)}

    def wanted(self, state: State, signal: Vector, turn: Turn) -> Vector:
        """Return the new vᵢ."""
        if turn.first or turn.full:
            return signal
        if turn.previous is None:
            raise ValueError(
                "EF21-PAGE needs the gradient at the client's last model too, on the same "
                "minibatch, and this client has none; it has to join again"
            )
        return state[REDUCED] + (signal - turn.previous)
