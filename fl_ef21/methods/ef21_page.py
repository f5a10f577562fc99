"""EF21-PAGE: EF21 on a variance-reduced gradient.

Fatkhullin et al. 2021 (arXiv 2110.03294), with the estimator of Li, Bao, Zhang and Richtárik 2021
(PAGE, arXiv 2008.10898). The server tosses one coin for all clients. A round of client i:

    with probability p   vᵢ = ∇fᵢ(x)
    otherwise            vᵢ ← vᵢ + ∇fᵢ(x; τ) − ∇fᵢ(x_before; τ)     (the same minibatch τ)
    cᵢ = C(vᵢ − gᵢ),  gᵢ ← gᵢ + cᵢ
"""

from typing import Any, Self

import numpy as np

from fl_ef21.compressors import Compressor, Identity, Message, Vector
from fl_ef21.methods.arguments import number, share
from fl_ef21.methods.ef21 import EF21, difference
from fl_ef21.methods.method import State, Turn

REDUCED = "reduced"


class EF21PAGE(EF21):
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
    expects_noise = True
    tosses_coin = True
    needs_previous = True

    def __init__(self, initialisation: str = "full", probability: float = 0.1) -> None:
        super().__init__(initialisation)
        self.probability = share("probability", probability)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[initialisation, probability]``."""
        if len(arguments) != 2:
            raise ValueError(f"{cls.name} is written {cls.name}:full:0.1, got {arguments}")
        return cls(arguments[0], number("probability", arguments[1]))

    def coin(self, rng: np.random.Generator, compressor: Compressor, size: int) -> bool:  # noqa: ARG002
        """Return whether this round uses whole gradients."""
        return bool(rng.random() < self.probability)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0 and vᵢ = 0."""
        return {**super().start(size, dtype), REDUCED: np.zeros(size, dtype)}

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return C(vᵢ − gᵢ), or vᵢ itself when a full initialisation is due."""
        reduced = self._reduced(state, signal, turn)
        if turn.first and self.initialisation == "full":
            return Identity().compress(reduced, rng)
        return difference(reduced, state, compressor, rng)

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the new vᵢ."""
        return {REDUCED: self._reduced(state, signal, turn)}

    def _reduced(self, state: State, signal: Vector, turn: Turn) -> Vector:
        if turn.first or turn.full:
            return signal
        if turn.previous is None:
            raise ValueError(
                "EF21-PAGE needs the gradient at the client's last model too, on the same "
                "minibatch, and this client has none; it has to join again"
            )
        return state[REDUCED] + (signal - turn.previous)

    def __str__(self) -> str:
        return f"{super().__str__()}:{self.probability!r}"
