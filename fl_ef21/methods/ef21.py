"""EF21: error feedback by compressed differences.

Richtárik, Sokolov and Fatkhullin, "EF21: A new, simpler, theoretically better, and practically
faster error feedback", NeurIPS 2021 (arXiv 2106.05203). A round:

    server    x ← x − γ Σ pᵢ gᵢ
    client i  cᵢ = C(sᵢ − gᵢ),  gᵢ ← gᵢ + cᵢ          (sᵢ = ∇fᵢ(x), or its model update)
    server    Σ pᵢ gᵢ ← Σ pᵢ gᵢ + Σ pᵢ cᵢ

With minibatch gradients it is EF21-SGD; with partial participation (EF21-PP) only sampled clients
send, and the mean is still over all clients, silent ones included (both: Fatkhullin et al. 2021,
arXiv 2110.03294).
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Compressor, Identity, Message, Vector
from fl_ef21.methods.arguments import Initialised
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE, MEMORY, State, Turn
from fl_ef21.methods.mirrors import Mirrors


class EF21(Initialised):
    """Compress what the server does not know yet of the signal.

    Parameters and errors are those of ``Initialised``.

    Examples
    --------
    >>> from fl_ef21.compressors import TopK
    >>> rng = np.random.default_rng(0)
    >>> method = EF21("compressed")
    >>> state = method.start(3, np.dtype(float))
    >>> signal = np.array([3.0, -1.0, 2.0])
    >>> for _ in range(2):
    ...     message = method.client_step(state, signal, TopK(k=1), rng, Turn())
    ...     state = method.commit(state, message)
    >>> state["estimate"]
    array([3., 0., 2.])
    """

    name = "ef21"

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return gᵢ = 0."""
        return {ESTIMATE: np.zeros(size, dtype)}

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return C(wanted − gᵢ), or the wanted itself when a full initialisation is due."""
        wanted = self.wanted(state, signal, turn)
        if self.sends_whole(turn):
            return Identity().compress(wanted, rng)
        return difference(wanted, state, compressor, rng)

    def wanted(self, state: State, signal: Vector, turn: Turn) -> Vector:  # noqa: ARG002
        """Return what the client wants the server to hold: sᵢ itself."""
        return signal

    def estimate(
        self, size: int, dtype: np.dtype[Any], mirrors: Mirrors | None = None
    ) -> RememberedEstimate:
        """Return an empty Σ pᵢ gᵢ that remembers every client."""
        return RememberedEstimate(size, dtype, self.increment, mirrors)


def difference(
    signal: Vector, state: State, compressor: Compressor, rng: np.random.Generator
) -> Message:
    """Return C(signal − gᵢ); a compressor with a memory starts from that of its last message."""
    if MEMORY in state:
        compressor = compressor.warmed(state[MEMORY])
    return compressor.compress_difference(signal, state[ESTIMATE], rng)
