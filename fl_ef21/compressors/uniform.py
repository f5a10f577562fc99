"""Uniform: the nearest of evenly spaced values."""

from typing import Any, Final, Self

import numpy as np

from fl_ef21.compressors.arguments import only_argument, whole_number
from fl_ef21.compressors.compressor import Contractive
from fl_ef21.compressors.grid import grid_step, max_norm
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector, from_values
from fl_ef21.compressors.selection import Rounding

FEWEST_BITS: Final = 2
MOST_BITS: Final = 16


class Uniform(Rounding, Contractive):
    """Round to the nearest multiple of ‖v‖_∞/L with L = 2^(bits−1) − 1; halfway to the even one.

    Contractive, surely, with α = 1/(1 + (d−1)/(4L²)). Derived here: with ‖v‖_∞ = L the largest
    coordinate is hit exactly, and the error of another one, of a, is at most min(a, 1/2); against
    ‖v‖² the sum of squares is largest with all others at 1/2, where it is
    ((d−1)/4)/(L² + (d−1)/4) = 1 − α. At most 2^bits − 1 different values are sent.

    Parameters
    ----------
    bits : int
        Bits a value, from 2 to 16.

    Raises
    ------
    ValueError
        If ``bits`` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> Uniform(3).compress(np.array([3.0, -1.4, 0.5]), np.random.default_rng(0)).to_dense()
    array([ 3., -1.,  0.])
    >>> Uniform(2).alpha(5), str(Uniform(4))
    (0.5, 'uniform:4')
    """

    name = "uniform"

    def __init__(self, bits: int) -> None:
        hint = "4 bits tell 15 values apart; for one bit use sign"
        self.bits = whole_number("bits", bits, FEWEST_BITS, MOST_BITS, hint)
        self._levels = (1 << (self.bits - 1)) - 1

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[bits]``."""
        return cls(only_argument(arguments, "uniform:4"))

    def alpha(self, size: int) -> float:
        """Return 1/(1 + (d−1)/(4L²))."""
        return 1 / (1 + (size - 1) / (4 * self._levels**2))

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of so many bits a value and the step."""
        return dtype.itemsize + stream_bytes(count, self.bits)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:  # noqa: ARG002
        top = max_norm(vector)
        if top == 0:
            return from_values(vector)
        step = grid_step(top, self._levels, vector.dtype)
        levels = np.rint(np.divide(vector, step, dtype=np.float64))
        return from_values(levels.astype(vector.dtype) * step, float(step))

    def __str__(self) -> str:
        return f"{self.name}:{self.bits}"
