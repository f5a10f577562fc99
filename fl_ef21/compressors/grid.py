"""Norms and steps of quantisers, for every finite vector: the largest and the subnormal too."""

from math import sqrt
from typing import Any

import numpy as np

from fl_ef21.compressors.compressor import Compressor
from fl_ef21.compressors.message import Vector


def max_norm(vector: Vector) -> float:
    """Return ‖v‖_∞."""
    return float(np.abs(vector).max())


def two_norm(vector: Vector) -> float:
    """Return ‖v‖₂, which is infinite only if it exceeds float64.

    Examples
    --------
    >>> two_norm(np.array([3e38, 4e38], np.float64)), two_norm(np.zeros(2))
    (5e+38, 0.0)
    """
    scale = max_norm(vector)
    if scale == 0:
        return 0.0
    ratios = np.divide(vector, scale, dtype=np.float64)
    return scale * sqrt(float(np.sum(ratios * ratios)))


def representable_two_norm(vector: Vector, compressor: Compressor, remedy: str) -> float:
    """Return ‖v‖₂.

    Raises
    ------
    ValueError
        If it exceeds the largest number of the vector's dtype; the text names the remedy.
    """
    norm = two_norm(vector)
    if norm > float(np.finfo(vector.dtype).max):
        raise ValueError(
            f"{compressor}: the norm of the vector, {norm:g}, overflows {vector.dtype}; "
            f"look for a diverging step size or {remedy}"
        )
    return norm


def grid_step(top: float, levels: int, dtype: np.dtype[Any]) -> np.floating[Any]:
    """Return the step of a grid with ``levels`` steps from 0 to ``top``.

    It is ``top / levels`` rounded up to the dtype, so that nothing up to ``top`` lies beyond the
    last level, and is never zero. Only where the last level would overflow, it is rounded down.

    Parameters
    ----------
    top : float
        Above zero, at most the largest number of the dtype.
    levels : int
        At least 1.
    dtype : numpy.dtype
        float32 or float64.

    Examples
    --------
    >>> float(grid_step(3.0, 4, np.dtype(np.float32)))
    0.75
    """
    kind = dtype.type
    step: np.floating[Any] = kind(top / levels)
    if float(step) * levels < top:
        step = np.nextafter(step, kind(np.inf))
    if float(step) * levels > float(np.finfo(dtype).max):
        step = np.nextafter(step, kind(0))
    return step
