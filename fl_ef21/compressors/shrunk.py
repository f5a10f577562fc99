"""Unbiased compressors made contractive: scaled down by 1 + ω."""

from typing import Any

import numpy as np

from fl_ef21.compressors.compressor import Compressor, Contractive, Unbiased
from fl_ef21.compressors.length import index_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector
from fl_ef21.compressors.natural import Natural
from fl_ef21.compressors.selection import Rounding


class Shrunk(Contractive):
    """An unbiased compressor Q divided by 1 + ω, as error feedback needs it.

    Contractive with α = 1/(1 + ω) (Richtárik, Sokolov and Fatkhullin 2021, arXiv 2106.05203):
    E‖Q(v)‖² ≤ (1 + ω)‖v‖² gives E‖Q(v)/(1 + ω) − v‖² ≤ (1/(1 + ω) − 2/(1 + ω) + 1)‖v‖², which is
    (1 − 1/(1 + ω))‖v‖². If Q rounds values, so does this: it may stand behind a selection, and ω is
    then that of the number of kept coordinates.

    Parameters
    ----------
    unbiased : Unbiased
        One compressor, not a composition: for that, shrink its right side.

    Raises
    ------
    ValueError
        If the compressor is a composition or promises no ω.

    Examples
    --------
    >>> from fl_ef21.compressors.qsgd import QSGD
    >>> shrunk = Shrunk(QSGD(1))
    >>> shrunk.compress(np.array([3.0, 0.0, 0.0, 0.0]), np.random.default_rng(0)).to_dense()
    array([1., 0., 0., 0.])
    >>> str(shrunk), round(shrunk.alpha(4), 3)
    ('shrunk-qsgd:1', 0.333)
    """

    name = "shrunk"

    def __new__(cls, unbiased: Compressor) -> "Shrunk":
        """Return one that counts as a rounding if the unbiased compressor is one."""
        return super().__new__(ShrunkRounding if isinstance(unbiased, Rounding) else cls)

    def __init__(self, unbiased: Compressor) -> None:
        if not isinstance(unbiased, Unbiased) or "|" in str(unbiased):
            raise ValueError(
                f"only a single unbiased compressor such as qsgd:16 can be shrunk, got {unbiased}; "
                f"use contractive ones as they are, and in compositions shrink the right side: "
                f"topk:0.01|shrunk-qsgd:16"
            )
        self.random = unbiased.random
        self.shared_randomness = unbiased.shared_randomness
        self.unbiased = unbiased

    def __getnewargs__(self) -> tuple[Compressor]:
        return (self.unbiased,)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> "Shrunk":
        """Build from the parts of the unbiased compressor's text."""
        from fl_ef21.compressors.text import from_text  # noqa: PLC0415 - it knows this class

        return cls(from_text(":".join(arguments)))

    def for_client(self, position: int, clients: int) -> "Shrunk":
        """Return what that client uses of Q, shrunk."""
        return Shrunk(self.unbiased.for_client(position, clients))

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if Q does not fit vectors of dimension ``size``."""
        self.unbiased.check_size(size)

    def alpha(self, size: int) -> float:
        """Return 1/(1 + ω)."""
        return 1 / (1 + self.unbiased.omega(size))

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of Q's message."""
        return self.unbiased.max_bytes(size, dtype)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:
        message = self.unbiased.compress(vector, rng)
        if not isinstance(message, Dense | Sparse):
            raise ValueError(f"a {type(message).__name__} of {self.unbiased} cannot be scaled")
        return message.scaled(self.alpha(vector.size))

    def __str__(self) -> str:
        return f"{self.name}-{self.unbiased}"


class ShrunkRounding(Shrunk, Rounding):
    """A shrunk compressor that rounds values."""

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of Q's values and of a factor."""
        assert isinstance(self.unbiased, Rounding)
        return self.unbiased.value_bytes(count, dtype) + dtype.itemsize

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of Q's message, or of values and the positions of those not zero."""
        most = self.unbiased.max_bytes(size, dtype) + dtype.itemsize
        if isinstance(self.unbiased, Natural):  # it alone sends zeros that are left out below
            most = max(most, index_bytes(size, size) + self.value_bytes(size, dtype))
        return most

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:
        message = super()._compress(vector, rng)
        if message.step is not None:
            return message
        # Powers of two times a factor are short on the wire as long as all values share the
        # factor's mantissa: zeros and subnormal numbers do not.
        values = message.values
        sent = np.flatnonzero(np.abs(values) >= np.finfo(values.dtype).tiny)
        indices = message.indices[sent] if isinstance(message, Sparse) else sent
        return Sparse(vector.size, indices, values[sent])
