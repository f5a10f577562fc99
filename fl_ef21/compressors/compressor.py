"""The promises that a compressor can make, and what every compressor has."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import numpy as np

from fl_ef21.compressors.finite import all_finite
from fl_ef21.compressors.form import PLAIN, Form
from fl_ef21.compressors.message import Indices, Message, Vector

_FLOATS: Final = (np.dtype(np.float64), np.dtype(np.float32))


class Compressor(ABC):
    """A map from vectors to messages, named by a short text that travels to the clients.

    A compressor is a value: it holds parameters and no state, two with the same text are
    equal, and randomness comes from the generator that the caller passes in. ``A | B`` chooses
    coordinates with A and rounds their values with B.

    Attributes
    ----------
    name : str
        First word of the text.
    random : bool
        Whether messages depend on the generator.
    shared_randomness : bool
        Whether all clients of a round must draw from equal generators.
    """

    name: ClassVar[str]
    random: bool = False
    shared_randomness: bool = False

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
        require_vector(vector)
        require_finite(vector)
        return self._compress(vector, rng)

    def compress_difference(
        self, vector: Vector, reference: Vector, rng: np.random.Generator
    ) -> Message:
        """Compress ``vector − reference``, if possible without making the difference.

        Parameters and errors are those of :meth:`compress`; ``reference`` has the shape and dtype
        of ``vector``. The message is equal to that of ``compress(vector - reference, rng)``.
        """
        return self.compress(vector - reference, rng)

    def check_size(self, size: int) -> None:  # noqa: B027 - most fit every size
        """Raise ``ValueError`` if the parameters do not fit vectors of dimension ``size``."""

    def for_client(self, position: int, clients: int) -> "Compressor":  # noqa: ARG002
        """Return what the client at ``position`` of a round's ``clients`` uses: mostly the same."""
        return self

    def for_shape(self, shape: tuple[int, ...]) -> "Compressor":  # noqa: ARG002
        """Return what fits a vector that is an array of this shape, row by row: mostly the same."""
        return self

    def widened(self, power: float) -> "Compressor":  # noqa: ARG002
        """Return what keeps ratio^power in place of its ratio, for a warm-up.

        Parameters
        ----------
        power : float
            In (0, 1]; compressors without a ratio stay as they are.

        Raises
        ------
        ValueError
            If the compressor keeps a count, which has no power.
        """
        return self

    @property
    def form(self) -> Form:
        """Which forms messages can have: mostly dense or sparse, and nothing else."""
        return PLAIN

    def memory_size(self, size: int) -> int:  # noqa: ARG002
        """Return the elements of the memory that a message of size d leaves; mostly none."""
        return 0

    def warmed(self, memory: Vector) -> "Compressor":  # noqa: ARG002
        """Return the compressor that starts from the memory of an earlier message.

        Parameters
        ----------
        memory : ndarray of float32 or float64, shape (memory_size(d),)
            Of the last message that was applied. What does not fit is not used.
        """
        return self

    @abstractmethod
    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the most bytes that indices and values of a message take on the wire.

        The wire adds at most ``fl_ef21.wire.FRAMING_BYTES`` to that.

        Parameters
        ----------
        size : int
            Dimension d.
        dtype : numpy.dtype
            float32 or float64.
        """

    @abstractmethod
    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        """Compress a vector that was checked."""

    @classmethod
    @abstractmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build the compressor from the texts behind its name, as in ``name:a:b``."""

    def __or__(self, other: "Compressor") -> "Compressor":
        # The classes of compositions are compressors themselves and so stand above this one.
        from fl_ef21.compressors.composition import compose  # noqa: PLC0415

        return compose(self, other)

    @cached_property
    def text(self) -> str:
        """``str(self)``, made once: it is in every instruction."""
        return str(self)

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


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


def require_vector(vector: Vector) -> None:
    """Raise ``ValueError`` unless this is what a compressor takes, finite or not."""
    if vector.dtype not in _FLOATS or vector.ndim != 1 or vector.size == 0:
        raise ValueError(
            f"a compressor takes a non-empty one-dimensional float32 or float64 array, got "
            f"dtype {vector.dtype} and shape {vector.shape}; cast or ravel it first"
        )


def require_finite(values: Vector, positions: Indices | None = None) -> None:
    """Raise ``ValueError`` if a value is NaN or infinite; the text names the first.

    ``positions`` are those of the values, if they are not all of a vector.
    """
    if not all_finite(values):
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        position = first if positions is None else int(positions[first])
        raise ValueError(
            f"a compressor takes finite values, got {values[first]} at position {position}; "
            f"look for a diverging step size or bad data"
        )
