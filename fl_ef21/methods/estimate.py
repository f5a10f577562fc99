"""The server's estimate Σ pᵢ ĝᵢ/cᵢ, kept as the un-normalised sums Σ (mᵢ/cᵢ) ĝᵢ and Σ mᵢ.

cᵢ is the scale that a client multiplies its signal by: 1, except in EF21-W. Un-normalised, a client
can join, leave or change its weight without touching the others.
Sums are float64 whatever the messages hold, and a sparse message costs O(k).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Message, Vector
from fl_ef21.methods.mirrors import MemoryMirrors, Mirrors
from fl_ef21.methods.snapshot import Snapshot, join

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

    remembers: ClassVar[bool] = True
    """Whether clients count beyond the round in which they have sent a message."""

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self._size = size
        self._dtype = dtype
        self._sum: NDArray[np.float64] = np.zeros(size)

    @abstractmethod
    def begin_round(self) -> None:
        """Prepare for the messages of a new round."""

    @abstractmethod
    def fold(self, client: str, weight: float, message: Message, scale: float = 1.0) -> None:
        """Apply a message of ``client``, whose weight mᵢ > 0 and scale cᵢ > 0 may have changed.

        Whatever the scales of the others are, and whoever else has joined, the client counts with
        what it has multiplied by its own (derived here): Σ mᵢ sᵢ/Σ mᵢ if nothing is compressed.
        """

    @abstractmethod
    def forget(self, client: str) -> None:
        """Remove all that ``client`` has contributed; unknown clients are ignored."""

    @abstractmethod
    def weights(self) -> list[float]:
        """Return the weights mᵢ of the clients that count."""

    def snapshot(self) -> Snapshot:
        """Return what outlives a round; nothing, by default."""
        return Snapshot()

    def restore(self, snapshot: Snapshot) -> None:  # noqa: B027 - nothing is right for most
        """Take the state of a snapshot."""

    def vector(self, client: str) -> Vector | None:  # noqa: ARG002
        """Return what a client counts with, not to be changed; ``None`` if it is not kept."""
        return None

    def drift(self) -> float | None:
        """Return how far the sum is from that of what clients count with; ``None`` if not known."""
        return None

    def settle(self) -> None:  # noqa: B027
        """Note that the last snapshot is safe, or that none will be asked for."""

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


class RememberedEstimate(Estimate):
    """The estimate of EF21 and its family: ĝᵢ is the fold of all messages of client i.

    Silent clients keep counting with what they last said (EF21-PP averages all clients). Mirrors
    of the vectors ĝᵢ make it possible to take a client's contribution out again.

    Parameters
    ----------
    size, dtype
        As in :class:`Estimate`.
    increment : callable
        What a message adds to ĝᵢ; by default itself.
    mirrors : Mirrors, optional
        Where the vectors are kept; by default in memory. Without any, a sum of float32 messages
        is that of the messages: the rounding of the clients' own sums is not in it, and a client
        keeps the weight and the scale of its first message.
    """

    def __init__(
        self,
        size: int,
        dtype: np.dtype[Any],
        increment: Callable[[Message], Message] = lambda message: message,
        mirrors: Mirrors | None = None,
    ) -> None:
        super().__init__(size, dtype)
        self._increment = increment
        self._mirrors = MemoryMirrors(size, dtype) if mirrors is None else mirrors
        self._weights: dict[str, float] = {}
        self._scales: dict[str, float] = {}  # those that are not 1: nobody's, for most methods
        self._stale = False

    def begin_round(self) -> None:
        """Do nothing: contributions outlive the round."""

    def fold(self, client: str, weight: float, message: Message, scale: float = 1.0) -> None:
        """Add a message to ĝᵢ; a client's first message starts from ĝᵢ = 0.

        Raises
        ------
        NoMirrorError
            If the message takes the place of ĝᵢ, and no mirrors are kept.
        """
        increment = self._increment(message)
        if not self._mirrors.kept:
            self._add(client, weight, increment, scale)
            return
        if client not in self._weights:
            self._mirrors.add(client)
            self._weigh(client, weight, scale)
        before = self._weights[client], self._scales.get(client, 1.0)
        if before == (weight, scale) and not increment.fresh:
            self._move(client, weight / scale, increment)
            return
        moved = self._mirrors.read(client, slice(None)).copy()
        fold_into(moved, increment)
        self._mirrors.write(client, slice(None), moved)
        self._weigh(client, weight, scale)
        self._stale = True

    def _weigh(self, client: str, weight: float, scale: float) -> None:
        self._weights[client] = weight
        if scale == 1:
            self._scales.pop(client, None)
        else:
            self._scales[client] = scale

    def _factor(self, client: str) -> float:
        """Return mᵢ/cᵢ."""
        return self._weights[client] / self._scales.get(client, 1.0)

    def _add(self, client: str, weight: float, message: Message, scale: float) -> None:
        if client not in self._weights:
            self._weigh(client, weight, scale)
        if message.fresh:
            self._mirrors.remove(client)
        factor = self._factor(client)
        for place, values in message.pieces():
            self._sum[place] += factor * values.astype(np.float64)

    def _move(self, client: str, factor: float, message: Message) -> None:
        # The sum moves by what ĝᵢ really moves by, rounding of float32 included, so that it
        # stays the sum of the ĝᵢ that the clients hold.
        for place, values in message.pieces():
            before = self._mirrors.read(client, place)
            after = before + values
            if isinstance(place, slice) and values.size == 1:
                self._move_one(place.start, factor, before.item(), after.item())
            else:
                moved = self._sum[place] + factor * (after.astype(np.float64, copy=False) - before)
                self._stale |= _digits_are_lost(factor, before, moved)
                self._sum[place] = moved
            self._mirrors.write(client, place, after)

    def _move_one(self, place: int, factor: float, before: float, after: float) -> None:
        """Do the same with Python's numbers, for which it takes a tenth of the time."""
        moved = self._sum.item(place) + factor * (after - before)
        self._stale |= factor * abs(before) > LOST_DIGITS * abs(moved)
        self._sum[place] = moved

    def mean(self, silent: int = 0) -> NDArray[np.float64]:
        """Return the estimate; the sum is made anew if it could not be kept up to date."""
        if self._stale:
            self._sum = np.zeros(self._size)
            for factor, vector in self._held():
                self._sum += factor * vector.astype(np.float64)
            self._stale = False
        return super().mean(silent)

    def forget(self, client: str) -> None:
        """Take (mᵢ/cᵢ) ĝᵢ out of the sum.

        Raises
        ------
        NoMirrorError
            If no mirrors are kept; nothing has changed then.
        """
        if client in self._weights:
            self._mirrors.remove(client)
            del self._weights[client]
            self._scales.pop(client, None)
            self._stale = True

    def weights(self) -> list[float]:
        """Return the weights of all clients that have joined."""
        return list(self._weights.values())

    def contributions(self) -> dict[str, tuple[float, Vector]]:
        """Return every client's factor mᵢ/cᵢ and a copy of its vector ĝᵢ, for checks.

        Raises
        ------
        NoMirrorError
            If no mirrors are kept.
        """
        return {
            client: (self._factor(client), self._mirrors.read(client, slice(None)).copy())
            for client in self._weights
        }

    def vector(self, client: str) -> Vector | None:
        """Return ĝᵢ of one client, not to be changed; ``None`` if no mirrors are kept."""
        return self._mirrors.read(client, slice(None)) if self._mirrors.kept else None

    def drift(self) -> float | None:
        """Return how far the sum is from Σ (mᵢ/cᵢ) ĝᵢ, relative to that of the |ĝᵢ|, at the worst.

        In O(n d), for audits. ``None`` if no mirrors are kept.
        """
        if not self._mirrors.kept or self._stale or not self._weights:
            return 0.0 if self._mirrors.kept else None
        terms = [factor * vector.astype(np.float64) for factor, vector in self._held()]
        whole = np.max(np.sum(np.abs(terms), axis=0))
        left = np.max(np.abs(np.sum(terms, axis=0) - self._sum))
        return float(left / whole) if whole else float(left)

    def _held(self) -> list[tuple[float, Vector]]:
        return [(self._factor(c), self._mirrors.read(c, slice(None))) for c in self._weights]

    def snapshot(self) -> Snapshot:
        """Return the sum, the weights in the order in which clients joined, and the mirrors."""
        values = {"weights": self._weights, "scales": self._scales, "stale": self._stale}
        own = Snapshot({"sum": self._sum}, values)
        return join({"own": own, "mirrors": self._mirrors.snapshot()})

    def restore(self, snapshot: Snapshot) -> None:
        """Take the state of a snapshot."""
        own = snapshot.within("own")
        self._sum = own.arrays["sum"].copy()
        self._weights, self._stale = dict(own.values["weights"]), bool(own.values["stale"])
        self._scales = dict(own.values.get("scales", {}))  # all 1 in earlier versions
        self._mirrors.restore(snapshot.within("mirrors"))

    def settle(self) -> None:
        """Let mirrors on disk write down what they hold."""
        self._mirrors.settle()


def _digits_are_lost(factor: float, before: Vector, moved: NDArray[np.float64]) -> bool:
    """Return whether a large term leaves a sum: the digits of the small ones are gone with it."""
    leaving = factor * np.abs(before, dtype=np.float64)
    return bool(np.logical_or.reduce(leaving > LOST_DIGITS * np.abs(moved)))


class RoundEstimate(Estimate):
    """The estimate of methods without memory: the mean of this round's messages."""

    remembers = False

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        super().__init__(size, dtype)
        self._weights: dict[str, float] = {}

    def begin_round(self) -> None:
        """Start again from zero."""
        self._sum = np.zeros(self._size)
        self._weights = {}

    def fold(self, client: str, weight: float, message: Message, scale: float = 1.0) -> None:
        """Add mᵢ/cᵢ times the message, once a round for each client."""
        if client in self._weights:
            raise ValueError(f"client {client} has sent its message of this round already")
        for place, values in message.pieces():
            self._sum[place] += weight / scale * values.astype(np.float64)
        self._weights[client] = weight

    def forget(self, client: str) -> None:
        """Do nothing: what earlier rounds have brought is gone already."""

    def weights(self) -> list[float]:
        """Return the weights of this round's clients."""
        return list(self._weights.values())
