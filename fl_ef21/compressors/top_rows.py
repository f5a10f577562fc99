"""Top rows: the rows of a matrix that are largest, such as the embeddings a client has touched."""

from typing import Self

import numpy as np

from fl_ef21.compressors.amount import Amount
from fl_ef21.compressors.arguments import is_whole
from fl_ef21.compressors.compressor import Contractive
from fl_ef21.compressors.largest import largest
from fl_ef21.compressors.message import Sparse, Vector
from fl_ef21.compressors.selection import Selection


class TopRows(Selection, Contractive):
    """Keep the k rows of largest norm, whole: ``TopRows(0.01)``, ``TopRows(5, columns=64)``.

    Of R rows it is contractive with α = k/R (derived here, as for Top-k: the k largest of R squared
    norms are at least k/R of their sum). Positions of whole rows take few bits on the wire. Ties go
    to the smaller row, and zeros are not sent.

    Parameters
    ----------
    amount : int or float
        An integer is a number of rows, a float a share of them in (0, 1].
    columns : int, optional
        Columns of the matrix. Otherwise those of the array that the vector is, where arrays are
        compressed one by one; an array with one axis has one column.

    Raises
    ------
    ValueError
        If an argument is out of range; when it meets a dimension d, if k is above R, or the
        columns are not known.

    Examples
    --------
    >>> matrix = np.array([[1.0, 1.0], [3.0, 0.0], [0.5, 2.0]])
    >>> message = TopRows(2, columns=2).compress(matrix.ravel(), np.random.default_rng(0))
    >>> message.to_dense(), str(TopRows(0.01))
    (array([0. , 0. , 3. , 0. , 0.5, 2. ]), 'toprows:0.01')
    """

    name = "toprows"

    def __init__(self, amount: float, columns: int | None = None) -> None:
        self._amount = Amount.of(amount)
        if columns is not None and (not is_whole(columns) or columns < 1):
            raise ValueError(f"columns={columns!r} is not a whole number from 1 up")
        self.columns = None if columns is None else int(columns)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[amount]`` or ``[amount, columns]``."""
        if not 1 <= len(arguments) <= 2 or not all(text.isdecimal() for text in arguments[1:]):
            raise ValueError(
                f"toprows takes an amount of rows and perhaps a number of columns, toprows:0.01 or "
                f"toprows:5:64, got {':'.join(arguments)!r}"
            )
        amount = Amount.from_text(arguments[0])
        given = amount.ratio if amount.k is None else amount.k
        assert given is not None
        return cls(given, *map(int, arguments[1:]))

    def rows(self, size: int) -> int:
        """Return R, the last row perhaps cut short.

        Raises
        ------
        ValueError
            If the columns are not known.
        """
        if self.columns is None:
            raise ValueError(
                f"{self} does not know the rows of a vector of {size} coordinates; compress arrays "
                f"one by one with scope='layer' or layers=, or write toprows:{self._amount}:64"
            )
        return -(-size // self.columns)

    def count(self, size: int) -> int:
        """Return the most coordinates that are sent of ``size``."""
        kept = self._amount.count(self.rows(size))
        assert self.columns is not None
        return min(size, kept * self.columns)

    def alpha(self, size: int) -> float:
        """Return k/R."""
        rows = self.rows(size)
        return self._amount.count(rows) / rows

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if k is above R, or the columns are not known."""
        self.count(size)

    def for_shape(self, shape: tuple[int, ...]) -> "TopRows":
        """Return the compressor with the array's columns: all axes but the first."""
        if self.columns is not None:
            return self
        return self._like(self._amount, int(np.prod(shape[1:])))

    def widened(self, power: float) -> "TopRows":
        """Return the compressor that keeps the share of rows to a power."""
        return self._like(self._amount.widened(power), self.columns)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:  # noqa: ARG002
        rows = self.rows(vector.size)
        kept = self._amount.count(rows)
        assert self.columns is not None
        matrix = np.zeros((rows, self.columns))
        matrix.ravel()[: vector.size] = vector
        # Scaled, so that no square overflows.
        matrix /= float(np.abs(vector).max()) or 1.0
        chosen, _ = largest(np.einsum("ij,ij->i", matrix, matrix), kept)
        indices = (chosen[:, None] * self.columns + np.arange(self.columns)).ravel()
        indices = indices[indices < vector.size]
        indices = indices[vector[indices] != 0]
        return Sparse(vector.size, indices, vector[indices])

    @classmethod
    def _like(cls, amount: Amount, columns: int | None) -> "TopRows":
        given = amount.ratio if amount.k is None else amount.k
        assert given is not None
        return cls(given, columns)

    def __str__(self) -> str:
        return f"{self.name}:{self._amount}" + (f":{self.columns}" if self.columns else "")
