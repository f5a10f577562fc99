"""Whether numbers are finite, asked in little time: for every vector of every message."""

from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FEW: Final = 2**10
"""Up to here a sum of squares takes less time than looking at every value."""

_MANY: Final = 2**14
"""From here on np.all is faster than counting, which takes half of its time for a few values."""


def all_finite(values: NDArray[np.floating[Any]]) -> bool:
    """Return whether no value is NaN or infinite.

    Parameters
    ----------
    values : ndarray of float32 or float64
        Of any shape.

    Examples
    --------
    >>> all_finite(np.array([1.0, 1e300])), all_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    if values.size == 1:  # Python's own numbers take a tenth of the time
        return isfinite(values.item())
    # A sum of squares is finite if all values are, unless they are large; and it warns of nothing.
    if values.size < _FEW and isfinite(np.vdot(values, values)):
        return True
    finite = np.isfinite(values)
    if values.size < _MANY:
        return int(np.count_nonzero(finite)) == values.size
    return bool(finite.all())
