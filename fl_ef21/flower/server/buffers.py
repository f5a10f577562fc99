"""The mean of arrays that no compressor may touch, such as a batch-norm counter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rounded_mean(arrays: Sequence[NDArray[Any]], weights: Sequence[float]) -> NDArray[Any]:
    """Return the weighted mean of integer or boolean arrays, rounded to their own dtype.

    Exact when all arrays are equal, also where float64 cannot hold the values; values must lie
    within 2^63 of each other.

    Raises
    ------
    ValueError
        If the dtype is neither integer nor boolean.

    Examples
    --------
    >>> rounded_mean([np.array([1, 2]), np.array([1, 5])], [1.0, 1.0])
    array([1, 4])
    """
    first = arrays[0]
    if first.dtype.kind not in "iub":
        raise ValueError(f"dtype {first.dtype} cannot be averaged exactly; use an integer or float")
    # Differences to the first array are small where the values are not; int64 wraps around in the
    # same way for every dtype, so that they are right for uint64 too.
    origin = first.astype(np.int64)
    offsets = [
        weight * (a.astype(np.int64) - origin) for a, weight in zip(arrays, weights, strict=True)
    ]
    mean_offset = np.rint(np.sum(offsets, axis=0) / sum(weights)).astype(np.int64)
    return np.asarray((origin + mean_offset).astype(first.dtype))
