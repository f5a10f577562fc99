"""Long histories in fewer points that draw the same line."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

COLUMNS: Final = 600
"""Columns of a panel that a line is thinned for: about as many as it has pixels in print."""


def thinned(x: Floats, y: Floats, *, log: bool, columns: int = COLUMNS) -> NDArray[np.int64]:
    """Return which points of a line are enough to draw it.

    Of the points in one column of the picture, the first, the last, the lowest and the highest are
    kept (M4 aggregation; Jugel, Jerzak, Hackenbroich and Markl, VLDB 2014), so that no peak is
    lost, and a gap where a whole column has no number.

    Parameters
    ----------
    x, y : array of float, shape (points,)
        NaN where there is no number. Points whose ``x`` ever falls are all kept.
    log : bool
        Whether ``x`` is on a logarithmic axis.
    columns : int
        Of the picture.

    Returns
    -------
    array of int, shape (at most 4 · columns and a few,)
        Positions, ascending.

    Examples
    --------
    >>> y = np.zeros(10_000)
    >>> y[1234] = 1.0
    >>> kept = thinned(np.arange(10_000.0), y, log=False)
    >>> len(kept) <= 4 * COLUMNS, 1234 in kept
    (True, True)
    """
    everything = np.arange(len(x))
    present = np.flatnonzero(np.isfinite(x))
    places = np.log(x[present]) if log else x[present]
    if len(x) <= 4 * columns or len(present) == 0 or (np.diff(places) < 0).any():
        return everything
    width = (places[-1] - places[0]) / columns or 1.0
    starts = np.flatnonzero(np.diff(np.floor((places - places[0]) / width), prepend=-1.0))
    kept = [
        place
        for column in np.split(present, starts[1:])
        for place in (column[0], column[-1], *_extremes(column, y[column]))
    ]
    return np.unique(kept)


def _extremes(column: NDArray[np.int64], y: Floats) -> list[np.int64]:
    if not np.isfinite(y).any():
        return []
    return [column[np.nanargmin(y)], column[np.nanargmax(y)]]
