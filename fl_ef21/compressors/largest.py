"""The k entries of largest magnitude, exactly, in little more than one pass over memory.

A sample gives a threshold that a few more than k entries are expected to reach. One pass in blocks
that stay in the cache collects those, and the k largest are chosen among them. If fewer than k
have come, the sample was misleading and the whole vector is partitioned.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, isfinite, sqrt
from typing import Final, Self

import numpy as np

from fl_ef21.compressors.compressor import require_finite
from fl_ef21.compressors.message import Indices, Vector

_BLOCK: Final = 2**16
"""Entries of a block: small enough for its scratch to stay in the cache, large enough for calls
not to count."""

_SAMPLE: Final = 2**14
_SMALL: Final = 2**17
"""Below so many entries one partition of all is as fast."""


def largest(vector: Vector, k: int, reference: Vector | None = None) -> tuple[Indices, Vector]:
    """Return the k non-zero entries of largest magnitude, ties going to smaller positions.

    Parameters
    ----------
    vector : ndarray of float32 or float64, shape (d,)
        Where to look.
    k : int
        In [1, d]. If fewer entries are not zero, only those are returned.
    reference : ndarray, shape (d,), optional
        If given, the entries are those of ``vector − reference``.

    Returns
    -------
    indices : ndarray of int64, shape (≤ k,)
        Strictly increasing.
    values : ndarray, shape of ``indices``
        The entries there.

    Raises
    ------
    ValueError
        If an entry that was looked at is NaN or infinite.
    """
    found = None
    if k == 1 and vector.size < _SMALL:
        differences = vector if reference is None else vector - reference
        place = int(np.abs(differences).argmax())  # the first of equals, or NaN
        value = differences.item(place)
        if value == 0:  # all are: a run has converged
            return np.zeros(0, np.int64), differences[:0].copy()
        if isfinite(value):
            return np.array([place]), differences[place : place + 1].copy()
    if vector.size >= _SMALL and k < vector.size // 4:
        found = _Survivors.of(vector, reference, _threshold(vector, reference, k))
        found = found if found.indices.size >= k or found.complete else None
    if found is None:
        found = _Survivors.all(vector if reference is None else vector - reference)
    return found.largest(k)


@dataclass(frozen=True)
class _Survivors:
    """Entries that reach a threshold; ``complete`` if those below are all zero."""

    indices: Indices
    values: Vector
    complete: bool

    @classmethod
    def of(cls, vector: Vector, reference: Vector | None, threshold: float) -> Self:
        """Collect the entries whose magnitude is not below a threshold, or not zero if it is 0."""
        limit = vector.dtype.type(threshold) or np.finfo(vector.dtype).smallest_subnormal
        scratch, below = np.empty(_BLOCK, vector.dtype), np.empty(_BLOCK, bool)
        indices, values = [], []
        for start in range(0, vector.size, _BLOCK):
            block = vector[start : start + _BLOCK]
            magnitudes, outside = scratch[: block.size], below[: block.size]
            if reference is None:
                np.abs(block, out=magnitudes)
            else:
                other = reference[start : start + _BLOCK]
                np.subtract(block, other, out=magnitudes)
                np.abs(magnitudes, out=magnitudes)
            # "Not below" holds for NaN too: it survives, and is found among the few.
            np.less(magnitudes, limit, out=outside)
            np.logical_not(outside, out=outside)
            found = np.flatnonzero(outside)
            if found.size:
                values.append(block[found] if reference is None else block[found] - other[found])
                found += start
                indices.append(found)
        if not indices:
            return cls(np.zeros(0, np.int64), np.zeros(0, vector.dtype), threshold == 0)
        return cls(np.concatenate(indices), np.concatenate(values), threshold == 0)

    @classmethod
    def all(cls, vector: Vector) -> Self:
        """Take all non-zero entries."""
        indices = np.flatnonzero(vector)
        return cls(indices, vector[indices], complete=True)

    def largest(self, k: int) -> tuple[Indices, Vector]:
        """Choose among the survivors."""
        require_finite(self.values, self.indices)
        if self.indices.size <= k:
            return self.indices, self.values
        magnitudes = np.abs(self.values)
        limit = np.partition(magnitudes, -k)[-k]
        chosen = np.flatnonzero(magnitudes >= limit)
        if chosen.size > k:
            ties = np.flatnonzero(magnitudes[chosen] == limit)
            chosen = np.delete(chosen, ties[k - chosen.size :])
        return self.indices[chosen], self.values[chosen]


def _threshold(vector: Vector, reference: Vector | None, k: int) -> float:
    """Return a magnitude that hardly less, and not many more, than k entries reach."""
    positions = _sample_positions(vector.size)
    sample = vector[positions]
    if reference is not None:
        sample -= reference[positions]
    expected = sample.size * k / vector.size
    # Four standard deviations of the count in a random sample: it falls short once in 30,000.
    rank = min(sample.size, ceil(expected + 4 * sqrt(expected) + 1))
    magnitude = float(np.partition(np.abs(sample), sample.size - rank)[sample.size - rank])
    return magnitude if np.isfinite(magnitude) else 0.0


@lru_cache(maxsize=4)
def _sample_positions(size: int) -> Indices:
    """Return positions spread over the vector, in step with no period of its layout.

    Runs of a cache line, at fixed pseudo-random places: one line costs as much as one entry.
    """
    rng = np.random.default_rng(size)
    starts = np.sort(rng.integers(0, size // 16, _SAMPLE // 16)) * 16
    return (starts[:, None] + np.arange(16)).ravel()
