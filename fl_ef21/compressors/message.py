"""What a compressor makes: small frozen values that can be made dense and added in O(k)."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.floating[Any]]
Indices: TypeAlias = NDArray[np.int64]


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equality of dtype, shape and bytes: it tells +0 from −0, and NaN equals itself."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@dataclass(frozen=True, eq=False)
class Dense:  # noqa: PLW1641 - arrays cannot be hashed
    """Every coordinate of a vector.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (d,)
        The coordinates in order.
    """

    values: Vector

    @property
    def size(self) -> int:
        """Dimension d of the vector that the message stands for."""
        return self.values.size

    def to_dense(self) -> Vector:
        """Return a new vector of shape (d,) with the message's dtype."""
        return self.values.copy()

    def add_to(self, vector: Vector) -> None:
        """Add the message into ``vector`` of shape (d,), in place, in O(d)."""
        vector += self.values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dense) and _same_bits(self.values, other.values)


@dataclass(frozen=True, eq=False)
class Sparse:  # noqa: PLW1641 - arrays cannot be hashed
    """Some coordinates of a vector; all others are zero.

    Parameters
    ----------
    size : int
        Dimension d of the vector that the message stands for.
    indices : ndarray of int64, shape (k,)
        Strictly increasing positions, each in [0, d).
    values : ndarray of float32 or float64, shape (k,)
        The coordinates at these positions.

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

    def to_dense(self) -> Vector:
        """Return a new vector of shape (d,) with the message's dtype."""
        dense = np.zeros(self.size, dtype=self.values.dtype)
        dense[self.indices] = self.values
        return dense

    def add_to(self, vector: Vector) -> None:
        """Add the message into ``vector`` of shape (d,), in place, in O(k)."""
        # Positions are distinct, so a plain indexed add loses nothing (np.add.at is slower).
        vector[self.indices] += self.values

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sparse)
            and self.size == other.size
            and np.array_equal(self.indices, other.indices)
            and _same_bits(self.values, other.values)
        )


Message: TypeAlias = Dense | Sparse
