"""The server's estimate Σ pᵢ ĝᵢ, kept as the un-normalised sums Σ mᵢ ĝᵢ and Σ mᵢ.

Un-normalised, a client can join, leave or change its weight without touching the others.
Sums are float64 whatever the messages hold, and a sparse message costs O(k).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Message, Vector

LOST_DIGITS: Final = 2.0**20
"""How much smaller than a term that leaves it a sum may be before it is made anew."""


def fold_into(estimate: Vector, message: Message) -> None:
    """Fold a message into a client's estimate, in place."""
    if message.fresh:
        estimate[:] = 0
    message.add_to(estimate)


class Estimate(ABC):
    """A weighted mean over clients that is fed with messages.

    Mutable on purpose, and the only such value of the numpy core: O(k) updates of a vector of
    model size cannot make a new vector each time.

    Parameters
    ----------
    size : int
        Dimension d.
    dtype : numpy.dtype
        float32 or float64: that of the clients' vectors.
    """

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self._size = size
        self._dtype = dtype
        self._sum: NDArray[np.float64] = np.zeros(size)

    @abstractmethod
    def begin_round(self) -> None:
        """Prepare for the messages of a new round."""

    @abstractmethod
    def fold(self, client: str, weight: float, message: Message) -> None:
        """Apply a message of ``client``, whose weight mᵢ > 0 may have changed."""

    @abstractmethod
    def forget(self, client: str) -> None:
        """Remove all that ``client`` has contributed; unknown clients are ignored."""

    @abstractmethod
    def weights(self) -> list[float]:
        """Return the weights mᵢ of the clients that count."""

    def mean(self, silent: int = 0) -> NDArray[np.float64]:
        """Return the estimate, shape (d,), float64.

        Parameters
        ----------
        silent : int
            How many clients count with ĝᵢ = 0 although none of their messages was applied;
            each is given the mean weight of the others (derived here: with equal weights it is
            the plain mean over all clients).
        """
        weights = self.weights()
        if not weights:
            return np.zeros(self._size)
        total = sum(weights)
        return self._sum / (total + silent * total / len(weights))


@dataclass
class _Contribution:
    weight: float
    vector: Vector


class RememberedEstimate(Estimate):
    """The estimate of EF21 and its family: ĝᵢ is the fold of all messages of client i.

    Silent clients keep counting with what they last said (EF21-PP averages all clients). The
    vectors ĝᵢ are kept, one of shape (d,) a client: they make it possible to take a client's
    contribution out again.

    Parameters
    ----------
    size, dtype
        As in :class:`Estimate`.
    increment : callable
        What a message adds to ĝᵢ; by default itself.
    """

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        increment: Callable[[Message], Message] = lambda message: message,
    ) -> None:
        super().__init__(size, dtype)
        self._increment = increment
        self._contributions: dict[str, _Contribution] = {}
        self._stale = False

    def begin_round(self) -> None:
        """Do nothing: contributions outlive the round."""

    def fold(self, client: str, weight: float, message: Message) -> None:
        """Add a message to ĝᵢ; a client's first message starts from ĝᵢ = 0."""
        if client not in self._contributions:
            self._contributions[client] = _Contribution(weight, np.zeros(self._size, self._dtype))
        contribution, increment = self._contributions[client], self._increment(message)
        if contribution.weight == weight and not increment.fresh:
            self._move(contribution, increment)
            return
        fold_into(contribution.vector, increment)
        contribution.weight = weight
        self._stale = True

    def _move(self, contribution: _Contribution, message: Message) -> None:
        # The sum moves by what ĝᵢ really moves by, rounding of float32 included, so that it
        # stays the sum of the ĝᵢ that the clients hold.
        for place, values in message.pieces():
            before = contribution.vector[place]
            after = before + values
            moved = self._sum[place] + contribution.weight * (after.astype(np.float64) - before)
            # Where a large term leaves, the digits of the small ones are gone with it.
            leaving = contribution.weight * np.abs(before, dtype=np.float64)
            if (leaving > LOST_DIGITS * np.abs(moved)).any():
                self._stale = True
            contribution.vector[place], self._sum[place] = after, moved

    def mean(self, silent: int = 0) -> NDArray[np.float64]:
        """Return the estimate; the sum is made anew if it could not be kept up to date."""
        if self._stale:
            self._sum = np.zeros(self._size)
            for contribution in self._contributions.values():
                self._sum += contribution.weight * contribution.vector.astype(np.float64)
            self._stale = False
        return super().mean(silent)

    def forget(self, client: str) -> None:
        """Take mᵢ ĝᵢ out of the sum."""
        if self._contributions.pop(client, None) is not None:
            self._stale = True

    def weights(self) -> list[float]:
        """Return the weights of all clients that have joined."""
        return [contribution.weight for contribution in self._contributions.values()]

    def contributions(self) -> dict[str, tuple[float, Vector]]:
        """Return a copy of every client's weight mᵢ and vector ĝᵢ, for checks."""
        return {
            client: (contribution.weight, contribution.vector.copy())
            for client, contribution in self._contributions.items()
        }


class RoundEstimate(Estimate):
    """The estimate of methods without memory: the mean of this round's messages."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        super().__init__(size, dtype)
        self._weights: dict[str, float] = {}

    def begin_round(self) -> None:
        """Start again from zero."""
        self._sum = np.zeros(self._size)
        self._weights = {}

    def fold(self, client: str, weight: float, message: Message) -> None:
        """Add mᵢ times the message, once a round for each client."""
        if client in self._weights:
            raise ValueError(f"client {client} has sent its message of this round already")
        for place, values in message.pieces():
            self._sum[place] += weight * values.astype(np.float64)
        self._weights[client] = weight

    def forget(self, client: str) -> None:
        """Do nothing: what earlier rounds have brought is gone already."""

    def weights(self) -> list[float]:
        """Return the weights of this round's clients."""
        return list(self._weights.values())
