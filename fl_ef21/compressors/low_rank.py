"""Low rank: a matrix as the product of two thin ones."""

from math import isqrt, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors.arguments import is_whole
from fl_ef21.compressors.compressor import Compressor, Contractive
from fl_ef21.compressors.form import Form
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.low_rank_message import LowRankMessage
from fl_ef21.compressors.message import Message, Sparse, Vector

Matrix = NDArray[np.float64]


class LowRank(Contractive):
    """Send a vector, laid out as a matrix, as its projection onto ``rank`` directions.

    As PowerSGD (Vogels, Karimireddy and Jaggi 2019, arXiv 1905.13727) does it: one step of subspace
    iteration, whose start is the right factor of the last message that was applied. Here fresh
    Gaussian directions stand beside it and the best ``rank`` of all are kept, which gives a
    contraction whatever the start: α = r/n for n columns (derived here: the projection onto the
    image of r Gaussian directions loses no more than leaving out all of the row space but a
    uniformly random r-dimensional part, which keeps r/n of ‖M‖² in expectation; directions that
    are added, and the best rank within all of them, can only lose less).

    Parameters
    ----------
    rank : int
        Rank r, from 1 to the smaller side of the matrix.
    columns : int, optional
        Columns n of the matrix. Otherwise those of the array that the vector is, where layers are
        compressed one by one, or about √d.

    Raises
    ------
    ValueError
        If ``rank`` or ``columns`` is not a whole number from 1 up, or they do not fit d.

    Examples
    --------
    >>> matrix = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    >>> message = LowRank(1, columns=2).compress(matrix.ravel(), np.random.default_rng(0))
    >>> np.allclose(message.to_dense(), matrix.ravel()), str(LowRank(2))
    (True, 'lowrank:2')
    """

    name = "lowrank"
    random = True

    def __init__(self, rank: int, columns: int | None = None) -> None:
        self.rank = _checked("rank", rank)
        self.columns = None if columns is None else _checked("columns", columns)
        self._memory: Vector | None = None

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[rank]`` or ``[rank, columns]``."""
        if not 1 <= len(arguments) <= 2 or not all(text.isdecimal() for text in arguments):
            raise ValueError(
                f"lowrank takes a rank and perhaps a number of columns, lowrank:2 or "
                f"lowrank:2:784, got {':'.join(arguments)!r}"
            )
        return cls(*map(int, arguments))

    def shape(self, size: int) -> tuple[int, int]:
        """Return rows and columns of the matrix that holds d entries, filled up with zeros."""
        columns = self.columns or isqrt(size - 1) + 1
        return -(-size // columns), columns

    def alpha(self, size: int) -> float:
        """Return r/n."""
        return self.rank / self.shape(size)[1]

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if the rank is above the smaller side of the matrix."""
        rows, columns = self.shape(size)
        if self.rank > min(rows, columns):
            raise ValueError(
                f"rank {self.rank} is above the smaller side of a {rows}×{columns} matrix, "
                f"which {size} coordinates make; choose a rank in [1, {min(rows, columns)}]"
            )

    def for_shape(self, shape: tuple[int, ...]) -> Compressor:
        """Return the compressor with the array's columns: all axes but the first."""
        if self.columns is not None or len(shape) < 2:
            return self
        return LowRank(self.rank, int(np.prod(shape[1:])))

    @property
    def form(self) -> Form:
        """Low rank, up to r."""
        return Form(rank=self.rank)

    def memory_size(self, size: int) -> int:
        """Return the elements of the right factor."""
        return self.shape(size)[1] * self.rank

    def warmed(self, memory: Vector) -> "LowRank":
        """Return the compressor that starts from a right factor."""
        warmed = LowRank(self.rank, self.columns)
        warmed._memory = memory
        return warmed

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of both factors, and of the number of columns."""
        rows, columns = self.shape(size)
        return stream_bytes((rows + columns) * self.rank, 8 * dtype.itemsize) + 6

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        self.check_size(vector.size)
        rows, columns = self.shape(vector.size)
        # Scaled, so that no product overflows; whole float64 arithmetic whatever the dtype.
        scale = float(np.abs(vector).max())
        if scale == 0:
            return Sparse(vector.size, np.zeros(0, np.int64), vector[:0].copy())
        matrix = np.zeros((rows, columns))
        matrix.ravel()[: vector.size] = vector / vector.dtype.type(scale)
        left, right = self._factors(matrix, rng)
        # Columns of length √m on the left leave entries of at most the vector's on the right.
        length = sqrt(rows)
        # Rounding can lift them a little above 1.
        left, right = left * length, np.clip(right / length, -1, 1) * scale
        kind = vector.dtype
        return LowRankMessage(vector.size, left.astype(kind), right.astype(kind))

    def _factors(self, matrix: Matrix, rng: np.random.Generator) -> tuple[Matrix, Matrix]:
        columns = matrix.shape[1]
        start = rng.standard_normal((columns, self.rank))
        if self._memory is not None and self._memory.size == columns * self.rank:
            warm = self._memory.reshape(columns, self.rank).astype(np.float64)
            largest = np.abs(warm).max(axis=0)
            start = np.hstack([start, warm / np.where(largest > 0, largest, 1)])
        basis = _orthonormal(_product(matrix, start))
        right = _product(matrix.T, basis)
        if basis.shape[1] > self.rank:
            # The best rank within the basis: the leading eigenvectors of a small square matrix.
            leading = np.linalg.eigh(_product(right.T, right))[1][:, -self.rank :]
            basis, right = _product(basis, leading), _product(right, leading)
        return basis, right

    def __str__(self) -> str:
        return f"{self.name}:{self.rank}" + (f":{self.columns}" if self.columns else "")


def _product(left: Matrix, right: Matrix) -> Matrix:
    # Not BLAS: its order of summation changes with the number of threads, and with it the bits.
    product: Matrix = np.einsum("ij,jk->ik", left, right)
    return product


def _orthonormal(matrix: Matrix) -> Matrix:
    """Return orthonormal columns that span those of the matrix; columns that add nothing are zero.

    Gram–Schmidt, twice for each column, which is as exact as need be (Giraud et al. 2005).
    """
    basis = matrix.copy()
    for column in range(basis.shape[1]):
        vector = basis[:, column]
        before = np.sqrt(np.sum(vector * vector))
        for _ in range(2):
            for earlier in range(column):
                vector -= np.sum(basis[:, earlier] * vector) * basis[:, earlier]
        length = np.sqrt(np.sum(vector * vector))
        basis[:, column] = vector / length if length > 1e-12 * before else 0.0
    return basis


def _checked(name: str, number: object) -> int:
    if not is_whole(number) or number < 1:
        raise ValueError(f"{name}={number!r} is not a whole number from 1 up")
    return int(number)
