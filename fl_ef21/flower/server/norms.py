"""A bound on each message, relative to what its client has sent before."""

from math import inf, sqrt

import numpy as np

from fl_ef21.compressors import Message
from fl_ef21.compressors.arguments import is_number
from fl_ef21.flower.server.checking import RejectedError


class NormBound:
    """Refuses messages that are much larger than any that their client has sent so far.

    The first message of a client has nothing to be compared with. Mutable: it remembers.

    Parameters
    ----------
    factor : float, optional
        How many times the largest norm so far a message may have; no bound by default.

    Raises
    ------
    ValueError
        If the factor is not above 1.
    """

    def __init__(self, factor: float | None = None) -> None:
        if factor is not None and not (is_number(factor) and 1 < factor < inf):
            raise ValueError(
                f"norm_bound={factor!r} is not a number above 1; 10 lets a message be ten times "
                f"the largest that its client has sent"
            )
        self.factor = None if factor is None else float(factor)
        self.largest: dict[str, float] = {}

    def restart(self) -> None:
        """Forget all clients: a new run begins."""
        self.largest = {}

    def require(self, client: str, message: Message) -> None:
        """Check a message.

        Raises
        ------
        RejectedError
            If it is too large.
        """
        known = self.largest.get(client, 0.0)
        if self.factor is None or not known:
            return
        norm = norm_of(message)
        if norm > self.factor * known:
            raise RejectedError(
                f"a message of norm {norm:.3g} is more than norm_bound={self.factor:g} times "
                f"{known:.3g}, the largest that client {client} has sent so far"
            )

    def note(self, client: str, message: Message) -> None:
        """Remember a message that was applied."""
        if self.factor is not None:
            self.largest[client] = max(self.largest.get(client, 0.0), norm_of(message))


def norm_of(message: Message) -> float:
    """Return the Euclidean norm of a message."""
    squares = (np.sum(np.square(values, dtype=np.float64)) for _, values in message.pieces())
    return sqrt(sum(map(float, squares)))
