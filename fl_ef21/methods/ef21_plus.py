"""EF21+: the better of a compressed difference and a compressed signal.

Richtárik, Sokolov and Fatkhullin 2021 (arXiv 2106.05203). A round of client i, for a deterministic
compressor:

    bᵢ = C(sᵢ),  mᵢ = gᵢ + C(sᵢ − gᵢ),  gᵢ ← the one that is closer to sᵢ, mᵢ on ties

The message says which: bᵢ as a fresh estimate, or the difference alone.
"""

import numpy as np

from fl_ef21.compressors import Compressor, Fresh, Identity, Message, Vector
from fl_ef21.methods.ef21 import EF21, difference
from fl_ef21.methods.method import ESTIMATE, State, Turn


class EF21Plus(EF21):
    """EF21 that may start its estimate anew. Parameters and errors are those of ``Initialised``.

    Examples
    --------
    >>> from fl_ef21.compressors import TopK
    >>> method, rng = EF21Plus(), np.random.default_rng(0)
    >>> far = {"estimate": np.array([9.0, 9.0])}
    >>> type(method.client_step(far, np.array([1.0, 0.0]), TopK(1), rng, Turn())).__name__
    'Fresh'
    """

    name = "ef21+"
    starts_anew = True

    def check(self, compressor: Compressor) -> None:
        """Refuse compressors that are not contractive, or that draw: the choice needs certainty."""
        super().check(compressor)
        if compressor.random:
            raise ValueError(
                f"EF21+ needs a deterministic compressor, got {compressor}, which draws; "
                f"for example topk, or topk:0.01|bfloat16"
            )

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return the message whose estimate is closer to the signal."""
        if self.sends_whole(turn):
            return Identity().compress(signal, rng)
        moved = difference(signal, state, compressor, rng)
        anew = compressor.compress(signal, rng)
        error_of_moved = np.sum((signal - state[ESTIMATE] - moved.to_dense()) ** 2)
        error_of_anew = np.sum((signal - anew.to_dense()) ** 2)
        return Fresh(anew) if error_of_anew < error_of_moved else moved
