"""Identity: no compression, the baseline."""

from typing import Self

import numpy as np

from fl_ef21.compressors.compressor import Contractive, Unbiased
from fl_ef21.compressors.message import Dense, Vector


class Identity(Contractive, Unbiased):
    """Send the vector as it is: α = 1 and ω = 0.

    Examples
    --------
    >>> import numpy as np
    >>> Identity().compress(np.array([1.0, 2.0]), np.random.default_rng(0)).to_dense()
    array([1., 2.])
    """

    name = "identity"

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from no arguments."""
        if arguments:
            raise ValueError(f"identity takes no argument, got {':'.join(arguments)!r}")
        return cls()

    def alpha(self, size: int) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0

    def omega(self, size: int) -> float:  # noqa: ARG002
        """Return 0."""
        return 0.0

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense:  # noqa: ARG002
        return Dense(vector.copy())

    def __str__(self) -> str:
        return self.name
