"""QSGD: random rounding to a uniform grid, also called standard dithering."""

from math import sqrt
from typing import Any, Final, Self

import numpy as np

from fl_ef21.compressors.arguments import number, whole_number
from fl_ef21.compressors.compressor import Unbiased
from fl_ef21.compressors.grid import grid_step, max_norm, representable_two_norm
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector, from_values
from fl_ef21.compressors.selection import Rounding

NORMS: Final = ("2", "inf")
MOST_LEVELS: Final = 2**15


class QSGD(Rounding, Unbiased):
    """Round every magnitude at random to one of 0, ‖v‖/s, 2‖v‖/s, …, ‖v‖, without bias.

    Alistarh, Grubic, Li, Tomioka and Vojnović 2017 (arXiv 1610.02132). With the 2-norm
    ω = min(d/s², √d/s) (their Lemma 3.1).

    With the largest magnitude in place of the 2-norm ω = (√(1 + (d−1)/s²) − 1)/2. Derived here: in
    steps, the largest coordinate is s and is hit exactly; another one, of a, adds at most
    a(1−a) ≤ 1/4 to the variance if a ≤ 1/2, and no more beyond, where it adds more to ‖v‖². So the
    worst vector has all others equal, and (d−1)a(1−a)/(s² + (d−1)a²) is largest at
    a = s/(s + √(s² + d−1)), where it is ω; it cannot be improved, and s = 1 is :class:`Ternary`.
    It is never above (d−1)/(4s²).

    The step is rounded up to the vector's dtype and the probabilities are those of the rounded
    one, so that rounding costs no bias.

    Parameters
    ----------
    levels : int
        Number s of steps up to the norm, from 1 to 32768.
    norm : {"2", "inf"}
        What the grid reaches up to.

    Raises
    ------
    ValueError
        If ``levels`` is out of range or the norm another word; in ``compress``, if ‖v‖₂ overflows
        the vector's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> QSGD(5).compress(np.array([3.0, -4.0, 0.0]), np.random.default_rng(0)).to_dense()
    array([ 3., -4.,  0.])
    >>> QSGD(4).omega(16), QSGD(1, "inf").omega(16), str(QSGD(4, "inf"))
    (1.0, 1.5, 'qsgd:4:inf')
    """

    name = "qsgd"
    random = True

    def __init__(self, levels: int, norm: str = "2") -> None:
        hint = "16 levels and a sign take about five bits"
        self.levels = whole_number("levels", levels, 1, MOST_LEVELS, hint)
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r} is unknown; choose one of {', '.join(NORMS)}")
        self.norm = norm

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[levels]`` or ``[levels, norm]``."""
        if len(arguments) not in (1, 2):
            raise ValueError(
                f"qsgd takes levels and perhaps a norm, qsgd:16 or qsgd:16:inf, "
                f"got {':'.join(arguments)!r}"
            )
        return cls(number(arguments[0]), *arguments[1:])

    def omega(self, size: int) -> float:
        """Return min(d/s², √d/s), or with the largest magnitude (√(1 + (d−1)/s²) − 1)/2."""
        if self.norm == "inf":
            return (sqrt(1 + (size - 1) / self.levels**2) - 1) / 2
        return min(size / self.levels**2, sqrt(size) / self.levels)

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of one of 2s + 1 levels a value and the step."""
        return dtype.itemsize + stream_bytes(count, (2 * self.levels).bit_length())

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:
        top = self._top(vector)
        if top == 0:
            return from_values(vector)
        step = grid_step(top, self.levels, vector.dtype)
        quotients = np.divide(np.abs(vector), step, dtype=np.float64)
        levels = np.floor(quotients)
        levels += rng.random(vector.size) < quotients - levels
        # Only where the step had to be rounded down can a quotient lie beyond the last level.
        np.minimum(levels, self.levels, out=levels)
        values = np.copysign(levels, vector).astype(vector.dtype) * step
        return from_values(values, float(step))

    def _top(self, vector: Vector) -> float:
        if self.norm == "inf":
            return max_norm(vector)
        return representable_two_norm(vector, self, f"use qsgd:{self.levels}:inf")

    def __str__(self) -> str:
        return f"{self.name}:{self.levels}" + (":inf" if self.norm == "inf" else "")
