"""Natural compression: powers of two, which take a sign and an exponent."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors.arguments import Plain
from fl_ef21.compressors.compressor import Contractive, Unbiased
from fl_ef21.compressors.float_rounding import float_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector, from_values
from fl_ef21.compressors.selection import Rounding


class _PowersOfTwo(Plain, Rounding):
    """A compressor that replaces every magnitude by one of the two powers of two around it."""

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of a sign and an exponent a value."""
        return float_bytes(count, dtype, mantissa_bits=0)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:
        info, magnitudes = np.finfo(vector.dtype), np.abs(vector)
        # A subnormal power of two would need a mantissa on the wire: below the normal ones is 0.
        low, high = powers_around(magnitudes, float(info.tiny), 2.0 ** (info.maxexp - 1))
        chosen = np.where(self._rounds_up(magnitudes, low, high, rng), high, low)
        return from_values(np.copysign(chosen, vector))

    @abstractmethod
    def _rounds_up(
        self, magnitudes: Vector, low: Vector, high: Vector, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Say which magnitudes become ``high``; the others become ``low``."""


class Natural(_PowersOfTwo, Contractive, Unbiased):
    """Round every magnitude up or down to a power of two, at random and without bias.

    Natural compression (Horváth, Ho, Horváth, Sahu, Canini and Richtárik 2019, arXiv 1905.10988):
    unbiased with ω = 1/8. Since ω < 1 it is contractive too, with α = 1 − ω = 7/8
    (derived here: without any scaling, E‖Q(v) − v‖² ≤ ω‖v‖² is the contraction).

    Both promises are about normal numbers. A subnormal one becomes 0 or the smallest normal number,
    without bias, but with a variance relative to that. Above the largest power of two (2^127 in
    float32, 2^1023 in float64) there is nothing to round up to: such values are rounded down, which
    is a bias of at most half the value.

    Examples
    --------
    >>> import numpy as np
    >>> Natural().compress(np.array([1.0, -3.0, 0.0, 5.0]), np.random.default_rng(0)).to_dense()
    array([ 1., -4.,  0.,  8.])
    """

    name = "natural"
    random = True

    def omega(self, size: int) -> float:  # noqa: ARG002
        """Return 1/8."""
        return 1 / 8

    def alpha(self, size: int) -> float:  # noqa: ARG002
        """Return 7/8."""
        return 7 / 8

    def _rounds_up(
        self, magnitudes: Vector, low: Vector, high: Vector, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        return rounds_up(magnitudes, low, high, rng)


class NaturalNearest(_PowersOfTwo, Contractive):
    """Round every magnitude to the nearest power of two; halfway up.

    Deterministic and contractive with α = 8/9. Derived here: between 1 and 2 the error is largest
    against the value at 3/2, where it is a third of it. What :class:`Natural` says on subnormal
    numbers and on those above the largest power of two is said of this one too, but for the bias.

    Examples
    --------
    >>> import numpy as np
    >>> vector = np.array([1.0, -3.0, 0.0, 5.0])
    >>> NaturalNearest().compress(vector, np.random.default_rng(0)).to_dense()
    array([ 1., -4.,  0.,  4.])
    """

    name = "natural-nearest"

    def alpha(self, size: int) -> float:  # noqa: ARG002
        """Return 8/9."""
        return 8 / 9

    def _rounds_up(
        self,
        magnitudes: Vector,
        low: Vector,
        high: Vector,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> NDArray[np.bool_]:
        return np.asarray(magnitudes - low >= high - magnitudes)


def powers_around(magnitudes: Vector, smallest: float, largest: float) -> tuple[Vector, Vector]:
    """Return the neighbours of magnitudes among 0 and the powers of two in [smallest, largest].

    Examples
    --------
    >>> powers_around(np.array([0.0, 0.1, 1.0, 1.5, 7.0]), smallest=1.0, largest=4.0)
    (array([0., 0., 1., 1., 4.]), array([1., 1., 2., 2., 4.]))
    """
    # Without its mantissa a float is the power of two below it, and a subnormal one is zero.
    info = np.finfo(magnitudes.dtype)
    bits = magnitudes.view(f"u{magnitudes.dtype.itemsize}")
    low: Vector = (bits >> info.nmant << info.nmant).view(magnitudes.dtype)
    low[low < smallest] = 0
    low = np.minimum(low, magnitudes.dtype.type(largest))
    high = 2 * np.minimum(low, magnitudes.dtype.type(largest / 2))  # doubling must not overflow
    return low, np.maximum(high, magnitudes.dtype.type(smallest))


def rounds_up(
    magnitudes: Vector, low: Vector, high: Vector, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw which magnitudes become ``high`` and not ``low``, so that the mean stays."""
    return np.asarray(rng.random(magnitudes.size) * (high - low) < magnitudes - low)
