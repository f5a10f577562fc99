"""The mean of arrays that no compressor may touch, such as those of batch norm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def buffer_mean(arrays: Sequence[NDArray[Any]], weights: Sequence[float]) -> NDArray[Any]:
    """Return the weighted mean of arrays in their own dtype; of whole numbers, rounded.

    Exact when all arrays are equal, also where float64 cannot hold the values; whole numbers must
    lie within 2^63 of each other.

    Raises
    ------
    ValueError
        If the dtype is no number and no boolean.

    Examples
    --------
    >>> buffer_mean([np.array([1, 2]), np.array([1, 5])], [1.0, 1.0])
    array([1, 4])
    >>> buffer_mean([np.array([0.5, 1.0]), np.array([0.5, 2.0])], [3.0, 1.0])
    array([0.5 , 1.25])
    """
    first = arrays[0]
    if first.dtype.kind == "f":
        offsets = _weighted([a.astype(np.float64) - first for a in arrays], weights)
        return np.asarray((first + offsets).astype(first.dtype))
    if first.dtype.kind not in "iub":
        raise ValueError(f"dtype {first.dtype} cannot be averaged exactly; use an integer or float")
    # Differences to the first array are small where the values are not; int64 wraps around in the
    # same way for every dtype, so that they are right for uint64 too.
    origin = first.astype(np.int64)
    offsets = _weighted([a.astype(np.int64) - origin for a in arrays], weights)
    return np.asarray((origin + np.rint(offsets).astype(np.int64)).astype(first.dtype))


def _weighted(arrays: Sequence[NDArray[Any]], weights: Sequence[float]) -> NDArray[np.float64]:
    terms = [weight * array for array, weight in zip(arrays, weights, strict=True)]
    return np.asarray(np.sum(terms, axis=0) / sum(weights))
