"""Threshold: every coordinate that is large against the largest."""

from typing import Self

import numpy as np

from fl_ef21.compressors.arguments import only_argument, share
from fl_ef21.compressors.compressor import Contractive
from fl_ef21.compressors.grid import max_norm
from fl_ef21.compressors.message import Sparse, Vector
from fl_ef21.compressors.selection import Selection


class Threshold(Selection, Contractive):
    """Keep the coordinates with |v_i| ≥ ratio·‖v‖_∞: as many as it takes, and at least one.

    Where Top-k fixes the bytes and lets the error vary, this fixes the error. Contractive, surely,
    with α = 1/(1 + (d−1)·ratio²). Derived here: with ‖v‖_∞ = 1 the dropped ones have a square norm
    D < (d−1)·ratio² and the kept ones at least 1, so that D/‖v‖² ≤ D/(1 + D) < 1 − α. It cannot be
    improved: one coordinate of 1 and all others just below the ratio come as close as one likes.
    Zeros are never sent.

    Parameters
    ----------
    ratio : float
        In (0, 1]; at 1 only the largest coordinates are kept.

    Raises
    ------
    ValueError
        If the ratio is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> threshold = Threshold(0.5)
    >>> threshold.compress(np.array([1.0, -3.0, 1.5, 0.0]), np.random.default_rng(0)).to_dense()
    array([ 0. , -3. ,  1.5,  0. ])
    >>> threshold.alpha(5), str(threshold)
    (0.5, 'threshold:0.5')
    """

    name = "threshold"

    def __init__(self, ratio: float) -> None:
        hint = "0.1 keeps what is at least a tenth of the largest magnitude"
        self.ratio = share("ratio", ratio, hint)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[ratio]``."""
        return cls(only_argument(arguments, "threshold:0.1"))

    def alpha(self, size: int) -> float:
        """Return 1/(1 + (d−1)·ratio²)."""
        return 1 / (1 + (size - 1) * self.ratio**2)

    def count(self, size: int) -> int:
        """Return d: any number of coordinates may be large."""
        return size

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:  # noqa: ARG002
        # In float64, where the product is exact enough not to drop what it should keep.
        least = np.float64(self.ratio * max_norm(vector))
        indices = np.flatnonzero((np.abs(vector) >= least) & (vector != 0))
        return Sparse(vector.size, indices, vector[indices])

    def __str__(self) -> str:
        return f"{self.name}:{self.ratio!r}"
