"""The two promises that a compressor can make, and what every compressor has."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np

from fl_ef21.compressors.message import Message, Vector


class Compressor(ABC):
    """A map from vectors to messages, named by a short text that travels to the clients.

    A compressor is a value: it holds parameters and no state, two with the same text are
    equal, and randomness comes from the generator that the caller passes in.
    """

    name: ClassVar[str]

    def compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        """Compress a vector.

        Parameters
        ----------
        vector : ndarray of float32 or float64, shape (d,) with d ≥ 1
            What to compress; it is not changed.
        rng : numpy.random.Generator
            Source of the randomness of random compressors; others leave it alone.

        Returns
        -------
        Message
            A message of size d and the dtype of ``vector``.

        Raises
        ------
        ValueError
            If ``vector`` is not a finite one-dimensional float32 or float64 array, or the
            compressor's parameters do not fit its size.
        """
        return self._compress(_checked(vector), rng)

    def check_size(self, size: int) -> None:  # noqa: B027 - most fit every size
        """Raise ``ValueError`` if the parameters do not fit vectors of dimension ``size``."""

    @abstractmethod
    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        """Compress a vector that was checked."""

    @classmethod
    @abstractmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build the compressor from the texts behind its name, as in ``name:a:b``."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Contractive(Compressor):
    """A compressor with E‖C(v) − v‖² ≤ (1 − α)‖v‖² for some α in (0, 1]."""

    @abstractmethod
    def alpha(self, size: int) -> float:
        """Return the contraction α in (0, 1] on vectors of dimension ``size``."""


class Unbiased(Compressor):
    """A compressor with E Q(v) = v and E‖Q(v) − v‖² ≤ ω‖v‖² for some ω ≥ 0."""

    @abstractmethod
    def omega(self, size: int) -> float:
        """Return the variance ω ≥ 0 on vectors of dimension ``size``."""


def _checked(vector: Vector) -> Vector:
    if vector.dtype not in (np.float32, np.float64) or vector.ndim != 1 or vector.size == 0:
        raise ValueError(
            f"a compressor takes a non-empty one-dimensional float32 or float64 array, got "
            f"dtype {vector.dtype} and shape {vector.shape}; cast or ravel it first"
        )
    if not np.isfinite(vector).all():
        position = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ValueError(
            f"a compressor takes finite values, got {vector[position]} at position {position}; "
            f"look for a diverging step size or bad data"
        )
    return vector
