"""Scaled sign: one bit a coordinate and the mean magnitude."""

from typing import Any

import numpy as np

from fl_ef21.compressors.arguments import Plain
from fl_ef21.compressors.compressor import Contractive
from fl_ef21.compressors.grid import max_norm
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector, from_values
from fl_ef21.compressors.selection import Rounding


class ScaledSign(Plain, Rounding, Contractive):
    """Send (‖v‖₁/d)·sign(v), with sign(0) = +1.

    Contractive, surely, with α = 1/d (Karimireddy, Rebjock, Stich and Jaggi 2019, arXiv
    1901.09847): the error is (1 − ‖v‖₁²/(d‖v‖²))‖v‖² and ‖v‖₁ ≥ ‖v‖. On vectors whose
    magnitudes are alike it is far better than that. After a selection the mean is over the kept
    coordinates only: ``TopK(0.01) | ScaledSign()`` is the sparse ternary compression of Sattler,
    Wiedemann, Müller and Samek 2019 (arXiv 1903.02891).

    Examples
    --------
    >>> import numpy as np
    >>> ScaledSign().compress(np.array([1.0, -3.0, 0.0, 2.0]), np.random.default_rng(0)).to_dense()
    array([ 1.5, -1.5,  1.5,  1.5])
    """

    name = "sign"

    def alpha(self, size: int) -> float:
        """Return 1/d."""
        return 1 / size

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of one bit a value and the mean."""
        return dtype.itemsize + stream_bytes(count, 1)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:  # noqa: ARG002
        scale = max_norm(vector)
        if scale == 0:
            return from_values(vector)
        # Divided first: a sum of the largest floats would overflow.
        mean = scale * float(np.mean(np.divide(np.abs(vector), scale, dtype=np.float64)))
        step = vector.dtype.type(mean)
        return from_values(np.where(vector < 0, -step, step), float(step))
