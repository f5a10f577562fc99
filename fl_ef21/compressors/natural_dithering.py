"""Natural dithering: powers of two times the norm."""

from math import sqrt
from typing import Any, Final, Self

import numpy as np

from fl_ef21.compressors.arguments import only_argument, whole_number
from fl_ef21.compressors.compressor import Unbiased
from fl_ef21.compressors.grid import grid_step, representable_two_norm
from fl_ef21.compressors.length import index_bytes, stream_bytes
from fl_ef21.compressors.message import Sparse, Vector
from fl_ef21.compressors.natural import powers_around, rounds_up
from fl_ef21.compressors.selection import Rounding

MOST_LEVELS: Final = 64


class NaturalDithering(Rounding, Unbiased):
    """Round every magnitude at random to 0 or one of ‖v‖₂·2^(−j), j = 0, …, levels − 1.

    Horváth, Ho, Horváth, Sahu, Canini and Richtárik 2019 (arXiv 1905.10988): unbiased with
    ω = 1/8 + √d·2^(1−s)·min(1, √d·2^(1−s)) for s levels. It needs about log₂ of the levels that
    :class:`QSGD` needs for the same ω. Zeros are not sent.

    The norm is rounded up to the vector's dtype and the probabilities are those of the rounded
    one. Levels below the smallest normal number are left out, which keeps the mean; ω is that of
    the levels which are left.

    Parameters
    ----------
    levels : int
        Number s of levels above 0, from 1 to 64.

    Raises
    ------
    ValueError
        If ``levels`` is out of range; in ``compress``, if ‖v‖₂ overflows the vector's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> dithering = NaturalDithering(3)
    >>> dithering.compress(np.array([3.0, -4.0, 0.0]), np.random.default_rng(0)).to_dense()
    array([ 2.5, -5. ,  0. ])
    >>> dithering.omega(4), str(dithering)
    (0.375, 'natural-dithering:3')
    """

    name = "natural-dithering"
    random = True

    def __init__(self, levels: int) -> None:
        hint = "8 reaches down to the 128th part of the norm"
        self.levels = whole_number("levels", levels, 1, MOST_LEVELS, hint)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[levels]``."""
        return cls(only_argument(arguments, "natural-dithering:8"))

    def omega(self, size: int) -> float:
        """Return 1/8 + √d·2^(1−s)·min(1, √d·2^(1−s))."""
        lowest = sqrt(size) * 2.0 ** (1 - self.levels)
        return 1 / 8 + lowest * min(1, lowest)

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of a sign and a level a value, none of them zero, and the norm."""
        return dtype.itemsize + stream_bytes(count, (2 * self.levels - 1).bit_length())

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of all values and of the positions of those that are not zero."""
        return index_bytes(size, size) + self.value_bytes(size, dtype)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:
        norm = representable_two_norm(vector, self, "use natural")
        if norm == 0:
            return Sparse(vector.size, np.zeros(0, np.int64), vector[:0].copy())
        top = grid_step(norm, 1, vector.dtype)
        shares = np.divide(np.abs(vector), top, dtype=np.float64)
        low, high = powers_around(shares, 2.0 ** self._lowest(top), 1.0)
        chosen = np.where(rounds_up(shares, low, high, rng), high, low).astype(vector.dtype)
        # Sparse however many there are: values without a zero among them share one mantissa,
        # which the wire then sends once, and a map of the zeros takes a bit a coordinate.
        indices = np.flatnonzero(chosen)
        return Sparse(vector.size, indices, np.copysign(chosen * top, vector)[indices])

    def _lowest(self, top: np.floating[Any]) -> int:
        """Return the exponent of the lowest level: that times ``top`` is a normal number."""
        normal = int(np.finfo(top.dtype).minexp) - int(np.frexp(top)[1]) + 1
        return max(1 - self.levels, min(normal, 0))

    def __str__(self) -> str:
        return f"{self.name}:{self.levels}"
