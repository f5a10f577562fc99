"""Bernoulli: the whole vector now and then, and nothing in between."""

from typing import Any, Self

import numpy as np

from fl_ef21.compressors.arguments import only_argument, share
from fl_ef21.compressors.compressor import Contractive, Unbiased
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Message, Sparse, Vector
from fl_ef21.compressors.scaling import scaled_up
from fl_ef21.compressors.selection import Selection


class _NowAndThen(Selection):
    """A selection of all coordinates with a probability, else of none.

    Parameters
    ----------
    p : float
        Probability in (0, 1].

    Raises
    ------
    ValueError
        If p is out of range.
    """

    random = True

    def __init__(self, p: float) -> None:
        self.p = share("p", p, "0.1 sends one vector in ten")

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[p]``."""
        return cls(only_argument(arguments, f"{cls.name}:0.1"))

    def count(self, size: int) -> int:
        """Return d."""
        return size

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of all values; positions are not sent."""
        return stream_bytes(size, 8 * dtype.itemsize)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        if rng.random() < self.p:
            return Dense(self._sent(vector))
        return Sparse(vector.size, np.zeros(0, np.int64), vector[:0].copy())

    def _sent(self, vector: Vector) -> Vector:
        """Return a new vector to send."""
        return vector.copy()

    def __str__(self) -> str:
        return f"{self.name}:{self.p!r}"


class Bernoulli(_NowAndThen, Contractive):
    """Send the vector as it is with probability p, else nothing: lazy communication.

    Contractive with α = p, with equality (derived here: the error is ‖v‖² with probability 1 − p,
    else nothing). In the mean over rounds it costs as many bytes as Rand-k with k = p·d, without
    the positions.

    Parameters
    ----------
    p : float
        Probability in (0, 1].

    Raises
    ------
    ValueError
        If p is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> lazy, rng = Bernoulli(0.5), np.random.default_rng(0)
    >>> [lazy.compress(np.array([1.0, 2.0]), rng).to_dense().tolist() for _ in range(3)]
    [[0.0, 0.0], [1.0, 2.0], [1.0, 2.0]]
    >>> lazy.alpha(2), str(lazy)
    (0.5, 'bernoulli:0.5')
    """

    name = "bernoulli"

    def alpha(self, size: int) -> float:  # noqa: ARG002
        """Return p."""
        return self.p


class UnbiasedBernoulli(_NowAndThen, Unbiased):
    """Send v/p with probability p, else nothing.

    Unbiased with ω = 1/p − 1, with equality (derived here: E‖Q(v)‖² = p·‖v/p‖²).
    Divided by 1 + ω it is :class:`Bernoulli`.

    Parameters
    ----------
    p : float
        Probability in (0, 1].

    Raises
    ------
    ValueError
        If p is out of range; in ``compress``, if a value over p overflows.

    Examples
    --------
    >>> UnbiasedBernoulli(0.25).omega(2)
    3.0
    """

    name = "unbiased-bernoulli"

    def omega(self, size: int) -> float:  # noqa: ARG002
        """Return 1/p − 1."""
        return 1 / self.p - 1

    def _sent(self, vector: Vector) -> Vector:
        return scaled_up(vector, 1 / self.p, self, "choose a larger p or use bernoulli")
