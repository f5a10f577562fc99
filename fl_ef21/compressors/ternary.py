"""Ternary: minus, nothing or plus the largest magnitude, at random."""

from math import sqrt
from typing import Any

import numpy as np

from fl_ef21.compressors.arguments import Plain
from fl_ef21.compressors.compressor import Unbiased
from fl_ef21.compressors.grid import max_norm
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector, from_values
from fl_ef21.compressors.selection import Rounding


class Ternary(Plain, Rounding, Unbiased):
    """Send s·sign(v_i) with probability |v_i|/s, else 0, where s = ‖v‖_∞.

    TernGrad (Wen et al. 2017, arXiv 1705.07878). Unbiased with ω = (√d − 1)/2. Derived here:
    E‖Q(v) − v‖² = ‖v‖_∞‖v‖₁ − ‖v‖², and ‖v‖_∞‖v‖₁/‖v‖² is largest for (1, t, …, t) with
    t = 1/(√d + 1), where it is (√d + 1)/2; so ω cannot be improved. Sparse ternary compression is
    another thing, deterministic and contractive: ``topk:0.01|sign``.

    Examples
    --------
    >>> import numpy as np
    >>> Ternary().compress(np.array([4.0, -1.0, 0.0]), np.random.default_rng(3)).to_dense()
    array([ 4., -4.,  0.])
    >>> Ternary().omega(9)
    1.0
    """

    name = "ternary"
    random = True

    def omega(self, size: int) -> float:
        """Return (√d − 1)/2."""
        return (sqrt(size) - 1) / 2

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of two bits a value and the magnitude."""
        return dtype.itemsize + stream_bytes(count, 2)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:
        step = max_norm(vector)
        if step == 0:
            return from_values(vector)
        shares = np.divide(np.abs(vector), step, dtype=np.float64)
        sent = rng.random(vector.size) < shares
        values = np.copysign(vector.dtype.type(step), vector)
        return from_values(np.where(sent, values, vector.dtype.type(0)), step)
