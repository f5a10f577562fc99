"""A vector as a matrix of low rank."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_ef21.compressors.message import Message, Place, Vector, same_bits


@dataclass(frozen=True, eq=False)
class LowRankMessage(Message):  # noqa: PLW1641 - arrays cannot be hashed
    """The first d entries, row by row, of the matrix ``left @ right.T``.

    Parameters
    ----------
    size : int
        Dimension d.
    left, right : ndarray of float32 or float64, shapes (m, r) and (n, r)
        The factors, with m = ⌈d/n⌉ and 1 ≤ r ≤ min(m, n).

    Examples
    --------
    >>> message = LowRankMessage(3, np.array([[1.0], [2.0]]), np.array([[5.0], [7.0]]))
    >>> message.to_dense()
    array([ 5.,  7., 10.])
    """

    size: int
    left: Vector
    right: Vector

    @property
    def rank(self) -> int:
        """Rank r of the matrix."""
        return int(self.left.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the factors."""
        return self.left.dtype

    def pieces(self, start: int = 0) -> Iterator[tuple[Place, Vector]]:
        """Yield all coordinates, in O(d·r)."""
        # Products of columns, one after the other: unlike a matrix product, whose order of
        # summation is the BLAS library's, this has the same bits on every machine.
        matrix = np.zeros((self.left.shape[0], self.right.shape[0]), self.dtype)
        for column in range(self.rank):
            matrix += self.left[:, column, None] * self.right[None, :, column]
        yield slice(start, start + self.size), matrix.ravel()[: self.size]

    def memory(self) -> Vector:
        """Return the right factor, from which the next compression starts."""
        return self.right.ravel()

    def scaled(self, factor: float) -> "LowRankMessage":
        """Return ``factor`` times the matrix: times its right factor."""
        return LowRankMessage(self.size, self.left, self.right * self.dtype.type(factor))

    def bound(self) -> float:
        """Return a bound on every entry: the sum of products of the columns' largest entries."""
        with np.errstate(over="ignore"):
            products = np.abs(self.left).max(axis=0) * np.abs(self.right).max(axis=0)
        return float(products.sum())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LowRankMessage)
            and self.size == other.size
            and same_bits(self.left, other.left)
            and same_bits(self.right, other.right)
        )
