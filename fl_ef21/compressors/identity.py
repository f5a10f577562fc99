"""Identity: no compression, the baseline."""

from typing import Any

import numpy as np

from fl_ef21.compressors.arguments import Plain
from fl_ef21.compressors.compressor import Contractive, Unbiased
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Vector
from fl_ef21.compressors.selection import Selection


class Identity(Plain, Selection, Contractive, Unbiased):
    """Send the vector as it is: α = 1 and ω = 0.

    It chooses every coordinate, so that ``Identity() | Natural()`` rounds whole vectors.

    Examples
    --------
    >>> import numpy as np
    >>> Identity().compress(np.array([1.0, 2.0]), np.random.default_rng(0)).to_dense()
    array([1., 2.])
    """

    name = "identity"

    def alpha(self, size: int) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0

    def omega(self, size: int) -> float:  # noqa: ARG002
        """Return 0."""
        return 0.0

    def count(self, size: int) -> int:
        """Return d."""
        return size

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of all values; positions are not sent."""
        return stream_bytes(size, 8 * dtype.itemsize)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense:  # noqa: ARG002
        return Dense(vector.copy())
