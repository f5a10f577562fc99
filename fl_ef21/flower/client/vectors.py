"""Vectors in ``context.state``: their bytes as they lie in memory, without numpy's file header."""

from typing import Any, Final

from flwr.app import Array
from numpy.typing import NDArray

from fl_ef21.flower.protocol import ProtocolError
from fl_ef21.flower.protocol.live import RAW_STYPE, LiveArray, values_of

STYPE: Final = RAW_STYPE
"""Serialisation type of such an Array."""


def to_array(vector: NDArray[Any]) -> Array:
    """Return an Array of a vector's bytes; the vector must not change any more."""
    return LiveArray(vector, STYPE)


def to_vector(array: Array) -> NDArray[Any]:
    """Return the vector, which shares the Array's bytes and cannot be written.

    Raises
    ------
    ProtocolError
        If the Array is of another serialisation type.
    """
    if array.stype != STYPE:
        raise ProtocolError(f"state array has type {array.stype} instead of {STYPE}")
    return values_of(array)
