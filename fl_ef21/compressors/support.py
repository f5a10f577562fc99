"""The coordinates that a client owns, and vectors and messages on them alone."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from fl_ef21.compressors.message import Dense, Indices, Message, Sparse, same_bits


@dataclass(frozen=True, eq=False)
class Support:  # noqa: PLW1641 - arrays cannot be hashed
    """A set J of r coordinates out of d: those that a client's loss depends on.

    Parameters
    ----------
    size : int
        Dimension d.
    indices : ndarray of int64, shape (r,)
        Strictly increasing positions, each in [0, d), r ≥ 1.

    Raises
    ------
    ValueError
        If the indices are no such positions.

    Examples
    --------
    >>> support = Support.of(5, [1, 2, 4])
    >>> support.expand(Dense(np.array([7.0, 0.0, 9.0]))).to_dense()
    array([0., 7., 0., 0., 9.])
    """

    size: int
    indices: Indices

    def __post_init__(self) -> None:
        found = self.indices
        if (
            found.dtype != np.int64
            or found.ndim != 1
            or not found.size
            or found[0] < 0
            or found[-1] >= self.size
            or (found[1:] <= found[:-1]).any()
        ):
            raise ValueError(
                f"a support is a non-empty one-dimensional int64 array of positions that increase "
                f"strictly within [0, {self.size}), got dtype {found.dtype}, shape {found.shape}; "
                f"np.flatnonzero(owned) gives one"
            )

    @classmethod
    def of(cls, size: int, indices: ArrayLike) -> Self:
        """Return the support of these positions, in any order."""
        return cls(size, np.unique(np.asarray(indices, np.int64)))

    def expand(self, message: Message) -> Sparse:
        """Return a message of size r, on the support alone, as one of size d."""
        if isinstance(message, Dense):
            return Sparse(self.size, self.indices, message.values, message.step)
        if isinstance(message, Sparse):
            return Sparse(self.size, self.indices[message.indices], message.values, message.step)
        raise ValueError(
            f"a {type(message).__name__} cannot be placed on a support: only dense and sparse can"
        )

    def restrict(self, message: Message) -> Sparse:
        """Return a message of size d as one of size r, coordinates counted within the support.

        Raises
        ------
        ValueError
            If the message has a coordinate outside the support.
        """
        if not isinstance(message, Sparse) or message.size != self.size:
            raise ValueError(f"only a sparse message of size {self.size} lies on this support")
        inside = np.searchsorted(self.indices, message.indices)
        found = np.take(self.indices, inside, mode="clip")
        if not np.array_equal(found, message.indices):
            stray = int(message.indices[found != message.indices][0])
            raise ValueError(f"coordinate {stray} lies outside the client's support")
        return Sparse(self.indices.size, inside, message.values, message.step)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Support)
            and self.size == other.size
            and same_bits(self.indices, other.indices)
        )
