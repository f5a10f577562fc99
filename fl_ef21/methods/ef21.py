"""EF21: error feedback by compressed differences.

Richtárik, Sokolov and Fatkhullin, "EF21: A new, simpler, theoretically better, and practically
faster error feedback", NeurIPS 2021 (arXiv 2106.05203). A round:

    server    x ← x − γ Σ pᵢ gᵢ
    client i  cᵢ = C(sᵢ − gᵢ),  gᵢ ← gᵢ + cᵢ          (sᵢ = ∇fᵢ(x), or its model update)
    server    Σ pᵢ gᵢ ← Σ pᵢ gᵢ + Σ pᵢ cᵢ

With partial participation (EF21-PP: Fatkhullin et al. 2021, arXiv 2110.03294) only sampled
clients send; the mean is still over all clients, silent ones included.
"""

from typing import Any, Final, Self

import numpy as np

from fl_ef21.compressors import Compressor, Contractive, Identity, Message, Vector
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import Method, State

INITIALISATIONS: Final = ("full", "compressed", "zero")


class EF21(Method):
    """EF21 with one of the usual initial estimates gᵢ⁰; theory allows any.

    Parameters
    ----------
    initialisation : {"full", "compressed", "zero"}
        ``full``: gᵢ⁰ = sᵢ, one dense message a client. ``compressed``: gᵢ⁰ = C(sᵢ).
        ``zero``: gᵢ⁰ = 0, so that a client counts before it has said anything; in the paper's
        numbering the first step then stands still, which costs no round here. With full
        participation ``zero`` and ``compressed`` send the same messages.

    Raises
    ------
    ValueError
        If the initialisation is another word.

    Examples
    --------
    >>> from fl_ef21.compressors import TopK
    >>> rng = np.random.default_rng(0)
    >>> method = EF21("compressed")
    >>> state = method.start(3, np.dtype(float))
    >>> signal = np.array([3.0, -1.0, 2.0])
    >>> for _ in range(2):
    ...     message = method.client_step(state, signal, TopK(k=1), rng, first=False)
    ...     state = method.commit(state, message)
    >>> state["estimate"]
    array([3., 0., 2.])
    """

    name = "ef21"

    def __init__(self, initialisation: str = "full") -> None:
        if initialisation not in INITIALISATIONS:
            raise ValueError(
                f"initialisation={initialisation!r} is unknown; "
                f"choose one of {', '.join(INITIALISATIONS)}"
            )
        self.initialisation = initialisation

    @property
    def counts_silent_clients(self) -> bool:
        """Whether the initialisation is ``zero``."""
        return self.initialisation == "zero"

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[initialisation]``."""
        if len(arguments) != 1:
            raise ValueError(f"ef21 takes one initialisation, as in ef21:full, got {arguments}")
        return cls(arguments[0])

    def check(self, compressor: Compressor) -> None:
        """Refuse compressors without a contraction α: EF21 may diverge with them."""
        if not isinstance(compressor, Contractive):
            raise ValueError(
                f"EF21 needs a contractive compressor, got {compressor}, which is unbiased; "
                f"use its contractive form, for example randk in place of unbiased-randk"
            )

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0."""
        return {"estimate": np.zeros(size, dtype)}

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        *,
        first: bool,
    ) -> Message:
        """Return C(sᵢ − gᵢ), or sᵢ itself when a full initialisation is due."""
        if first and self.initialisation == "full":
            return Identity().compress(signal, rng)
        return compressor.compress(signal - state["estimate"], rng)

    def commit(self, state: State, message: Message) -> State:
        """Return gᵢ + cᵢ."""
        estimate = state["estimate"].copy()
        message.add_to(estimate)
        return {"estimate": estimate}

    def held(self, state: State, message: Message) -> Vector:
        """Return the new gᵢ."""
        return self.commit(state, message)["estimate"]

    def estimate(self, size: int, dtype: np.dtype[Any]) -> RememberedEstimate:
        """Return an empty Σ pᵢ gᵢ that remembers every client."""
        return RememberedEstimate(size, dtype)

    def __str__(self) -> str:
        return f"{self.name}:{self.initialisation}"
