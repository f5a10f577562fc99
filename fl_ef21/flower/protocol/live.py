"""Arrays that stay numpy arrays until somebody asks for their bytes."""

from functools import lru_cache
from io import BytesIO
from math import prod
from typing import Any, Final

import numpy as np
from flwr.app import Array
from numpy.typing import NDArray

NUMPY_STYPE: Final = "numpy.ndarray"
RAW_STYPE: Final = "fl_ef21.raw"
"""Serialisation type of the elements alone, as in a client's state."""

_VERSION_1: Final = np.lib.format.magic(1, 0)
"""How the bytes of ``np.save`` begin, unless names of fields are long."""


class LiveArray(Array):
    """An Array of Flower's whose bytes are made when they are asked for.

    In one process nobody does: the receiver gets the numpy array. Everywhere else it is an Array
    like any other, with the same bytes. It is frozen, so that whoever holds one can share it.

    Parameters
    ----------
    values : ndarray
        The elements; the array is made read-only and must not be changed by others.
    stype : str
        ``numpy.ndarray`` for the bytes of ``np.save``, ``fl_ef21.raw`` for the elements alone.
    """

    def __init__(self, values: NDArray[Any], stype: str = NUMPY_STYPE) -> None:
        values.setflags(write=False)
        inside = self.__dict__
        inside["dtype"], inside["shape"] = _name(values.dtype), values.shape
        inside["stype"], inside["values"] = stype, values

    @property
    def data(self) -> bytes:  # type: ignore[override]  # of a frozen array
        """The bytes, made anew each time: they are sent once at the most."""
        values: NDArray[Any] = self.__dict__["values"]
        if self.stype == RAW_STYPE:
            return values.tobytes()
        buffer = BytesIO()
        np.save(buffer, values, allow_pickle=False)
        return buffer.getvalue()

    @property
    def data_length(self) -> int:
        """``len(self.data)``, without making the bytes."""
        values: NDArray[Any] = self.__dict__["values"]
        header = 0
        if self.stype == NUMPY_STYPE:
            header = _header_length(values.dtype, values.shape, values.flags.fnc)
        return header + values.nbytes

    def numpy(self) -> NDArray[Any]:
        """Return the elements as a new array that may be changed."""
        if self.stype != NUMPY_STYPE:
            return super().numpy()
        values: NDArray[Any] = self.__dict__["values"]
        return values.copy()

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("dtype", "shape", "stype", "data"):
            raise AttributeError(f"{name} of a live array cannot be set; make a new Array")
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        return (self.dtype, self.shape, self.stype, self.data) == (
            other.dtype,
            tuple(other.shape),
            other.stype,
            other.data,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self.dtype, self.shape, self.stype, self.data)

    __hash__ = None  # type: ignore[assignment]  # as an Array


# Flower writes the class's name in front of the bytes, and reads them back by it.
LiveArray.__qualname__ = Array.__qualname__


def values_of(array: Array) -> NDArray[Any]:
    """Return an array's elements for reading: they share its memory.

    Raises
    ------
    ValueError
        If the bytes are no array.
    TypeError
        If its serialisation type is neither of the two here.
    """
    if isinstance(array, LiveArray):
        values: NDArray[Any] = array.__dict__["values"]
        return values
    if array.stype == RAW_STYPE:
        return np.frombuffer(array.data, array.dtype).reshape(array.shape)
    if array.stype == NUMPY_STYPE and array.data.startswith(_VERSION_1):
        return _saved_values(array.data)
    return array.numpy()


def _saved_values(data: bytes) -> NDArray[Any]:
    """Return what ``np.load`` does, without a copy."""
    header = BytesIO(data)  # shares the bytes
    np.lib.format.read_magic(header)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)
    values = np.frombuffer(data, dtype, prod(shape), header.tell())
    return values.reshape(shape, order="F" if fortran else "C")


@lru_cache(maxsize=64)
def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype)


@lru_cache(maxsize=4096)
def _header_length(dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> int:
    """Return the bytes that ``np.save`` writes in front of the elements."""
    buffer = BytesIO()
    about = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": fortran,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(buffer, about)
    return len(buffer.getvalue())
