"""Values in the short floating-point formats of machine learning: bfloat16 and float16."""

from typing import Any, Final

import numpy as np

from fl_ef21.compressors.arguments import Plain
from fl_ef21.compressors.compressor import Contractive
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Sparse, Vector, from_values
from fl_ef21.compressors.selection import Rounding

BFLOAT16_MANTISSA: Final = 7
FLOAT16_MANTISSA: Final = 10


class BFloat16(Plain, Rounding, Contractive):
    """Round to 8 significant bits, the nearest number, halfway to the even one.

    In float32 that is bfloat16; float64 keeps its range of exponents. Contractive with
    α = 1 − 2^(−16): the error of a normal number is at most 2^(−8) of it (half a unit in the last
    of 8 bits). What would be rounded to infinity becomes the largest finite number, which is no
    farther. The error of a subnormal number is at most half of the smallest one with 8 bits,
    2^(−134) in float32.

    Examples
    --------
    >>> import numpy as np
    >>> message = BFloat16().compress(np.array([3.14159, -0.1]), np.random.default_rng(0))
    >>> message.to_dense()
    array([ 3.140625  , -0.10009766])
    """

    name = "bfloat16"

    def alpha(self, size: int) -> float:  # noqa: ARG002
        """Return 1 − 2^(−16)."""
        return 1 - 2.0**-16

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of a sign, an exponent and 7 more bits a value."""
        return float_bytes(count, dtype, BFLOAT16_MANTISSA)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:  # noqa: ARG002
        info = np.finfo(vector.dtype)
        unsigned = np.dtype(f"u{vector.dtype.itemsize}").type
        dropped = unsigned(info.nmant - BFLOAT16_MANTISSA)
        bits = np.abs(vector).view(unsigned)
        # Half of what is dropped, a little less if the last bit that stays is even: a carry then
        # rounds up, into the exponent where it has to.
        half = (unsigned(1) << (dropped - unsigned(1))) - unsigned(1)
        rounded = (bits + half + (bits >> dropped & unsigned(1))) >> dropped << dropped
        top = np.array(info.max).view(unsigned) >> dropped << dropped
        return from_values(np.copysign(np.minimum(rounded, top).view(vector.dtype), vector))


class Float16(Plain, Rounding, Contractive):
    """Round to float16, scaled by a power of two that puts the largest magnitude at its top.

    Contractive with α = 1 − 2^(−22) − d·2^(−80). Derived here: scaled, ‖v‖_∞ lies in
    [2^15, 2^16), the error of numbers from 2^(−14) up is at most 2^(−11) of them, also where the
    largest finite number, 65504, stands for what would be infinite; that of smaller ones is at most
    2^(−25), which is 2^(−40) of ‖v‖_∞. A result that is subnormal in the vector's dtype is sent as
    zero: an error of at most the smallest normal number.

    Examples
    --------
    >>> import numpy as np
    >>> message = Float16().compress(np.array([1e9, -1234567.0]), np.random.default_rng(0))
    >>> message.to_dense()
    array([ 9.99817216e+08, -1.23494400e+06])
    """

    name = "float16"

    def alpha(self, size: int) -> float:
        """Return 1 − 2^(−22) − d·2^(−80)."""
        return 1 - 2.0**-22 - size * 2.0**-80

    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of a sign, an exponent and 10 more bits a value."""
        return float_bytes(count, dtype, FLOAT16_MANTISSA)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Dense | Sparse:  # noqa: ARG002
        half = np.finfo(np.float16)
        shift = half.maxexp - int(np.frexp(np.abs(vector).max())[1])
        scaled = np.clip(np.ldexp(vector, shift), half.min, half.max)
        rounded = np.ldexp(scaled.astype(np.float16).astype(vector.dtype), -shift)
        # Subnormal numbers would spread over all the bits of a mantissa on the wire.
        rounded[np.abs(rounded) < np.finfo(vector.dtype).tiny] = 0
        return from_values(rounded)


def float_bytes(count: int, dtype: np.dtype[Any], mantissa_bits: int) -> int:
    """Return the most bytes of floats whose mantissas end in zeros after some bits.

    Examples
    --------
    >>> float_bytes(100, np.dtype(np.float32), mantissa_bits=7)
    205
    """
    sign_and_exponent = 8 * dtype.itemsize - int(np.finfo(dtype).nmant)
    return stream_bytes(count, sign_and_exponent) + stream_bytes(count, mantissa_bits)
