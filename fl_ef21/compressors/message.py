"""What a compressor makes: small frozen values that can be made dense and added in place."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.floating[Any]]
Indices: TypeAlias = NDArray[np.int64]
Place: TypeAlias = slice | Indices
"""Where some coordinates lie: a run of them, or increasing positions."""

SPARSE_BELOW: Final = 1 / 8
"""Share of non-zero values below which positions are shorter than the zeros between them."""


class Message(ABC):
    """A vector of shape (d,) in the form in which it was compressed.

    Two messages are equal if they stand for the same bits in the same form; +0 is not −0.

    Attributes
    ----------
    size : int
        Dimension d of the vector that the message stands for.
    fresh : bool
        Whether the message takes the place of all that was folded before it.
    """

    size: int
    fresh: ClassVar[bool] = False

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Element type of the vector, float32 or float64."""

    @abstractmethod
    def pieces(self, start: int = 0) -> Iterator[tuple[Place, Vector]]:
        """Yield the coordinates that are sent, in groups: their places and their values.

        Parameters
        ----------
        start : int
            Place of the message's first coordinate.
        """

    @abstractmethod
    def bound(self) -> float:
        """Return a number that no coordinate exceeds in magnitude."""

    @abstractmethod
    def scaled(self, factor: float) -> "Message":
        """Return ``factor`` times the message, in the same form."""

    def add_to(self, vector: Vector) -> None:
        """Add the message into ``vector`` of shape (d,), in place; in O(k) for a sparse one."""
        # Places are distinct, so a plain indexed add loses nothing (np.add.at is slower).
        for place, values in self.pieces():
            vector[place] += values

    def memory(self) -> Vector | None:
        """Return what ``Compressor.warmed`` takes for the next compression, if anything."""
        return None

    def to_dense(self) -> Vector:
        """Return a new vector of shape (d,) with the message's dtype."""
        dense = np.zeros(self.size, self.dtype)
        for place, values in self.pieces():
            dense[place] = values
        return dense


def same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equality of dtype, shape and bytes: it tells +0 from −0, and NaN equals itself."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@dataclass(frozen=True, eq=False)
class Dense(Message):  # noqa: PLW1641 - arrays cannot be hashed
    """Every coordinate of a vector.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (d,)
        The coordinates in order.
    step : float, optional
        A quantiser's promise that every value is a whole number times ``step``, rounded once to
        the dtype. The wire may then send the whole numbers. It is no part of equality.
    """

    values: Vector
    step: float | None = None

    @property
    def size(self) -> int:  # type: ignore[override]  # frozen: nobody sets it
        """Dimension d of the vector that the message stands for."""
        return self.values.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the values."""
        return self.values.dtype

    def pieces(self, start: int = 0) -> Iterator[tuple[Place, Vector]]:
        """Yield all coordinates."""
        yield slice(start, start + self.size), self.values

    def bound(self) -> float:
        """Return the largest magnitude."""
        return float(np.maximum.reduce(np.abs(self.values), initial=0))

    def scaled(self, factor: float) -> "Dense":
        """Return ``factor`` times the message; values on a grid stay on one."""
        return Dense(*_scaled_values(self.values, self.step, factor))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dense) and same_bits(self.values, other.values)


@dataclass(frozen=True, eq=False)
class Sparse(Message):  # noqa: PLW1641 - arrays cannot be hashed
    """Some coordinates of a vector; all others are zero.

    Parameters
    ----------
    size : int
        Dimension d of the vector that the message stands for.
    indices : ndarray of int64, shape (k,)
        Strictly increasing positions, each in [0, d).
    values : ndarray of float32 or float64, shape (k,)
        The coordinates at these positions.
    step : float, optional
        As in :class:`Dense`.

    Examples
    --------
    >>> import numpy as np
    >>> message = Sparse(5, np.array([1, 4]), np.array([2.0, -1.0]))
    >>> message.to_dense()
    array([ 0.,  2.,  0.,  0., -1.])
    """

    size: int
    indices: Indices
    values: Vector
    step: float | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the values."""
        return self.values.dtype

    def pieces(self, start: int = 0) -> Iterator[tuple[Place, Vector]]:
        """Yield the coordinates that are sent."""
        if self.indices.size == 1:  # numpy finds a run in a third of the time
            place = self.indices.item() + start
            yield slice(place, place + 1), self.values
        else:
            yield (self.indices + start if start else self.indices), self.values

    def add_to(self, vector: Vector) -> None:
        """Add the message into ``vector`` of shape (d,), in place, in O(k)."""
        if self.indices.size == 1:
            vector[self.indices.item()] += self.values[0]
        else:
            vector[self.indices] += self.values

    def bound(self) -> float:
        """Return the largest magnitude, 0 if nothing is sent."""
        if self.values.size == 1:
            return abs(float(self.values.item()))
        return float(np.maximum.reduce(np.abs(self.values), initial=0))

    def scaled(self, factor: float) -> "Sparse":
        """Return ``factor`` times the message; values on a grid stay on one."""
        values, step = _scaled_values(self.values, self.step, factor)
        return Sparse(self.size, self.indices, values, step)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sparse)
            and self.size == other.size
            and np.array_equal(self.indices, other.indices)
            and same_bits(self.values, other.values)
        )


def from_values(values: Vector, step: float | None = None) -> Dense | Sparse:
    """Return a message for all coordinates: by positions if few are not zero.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (d,)
        The coordinates; −0 becomes +0.
    step : float, optional
        As in :class:`Dense`.
    """
    sent = np.flatnonzero(values)
    if sent.size < SPARSE_BELOW * values.size:
        return Sparse(values.size, sent, values[sent], step)
    return Dense(values + values.dtype.type(0), step)  # −0 + 0 is +0


def scaled(message: Message, factor: float) -> Message:
    """Return ``factor`` times a message."""
    return message.scaled(factor)


def _scaled_values(
    values: Vector, step: float | None, factor: float
) -> tuple[Vector, float | None]:
    """Return ``factor`` times values; those on a grid stay on one."""
    kind = values.dtype.type
    if not step:
        return values * kind(factor), None
    levels = np.rint(values / kind(step))
    step = float(kind(step * factor))
    return levels * kind(step), step
