"""Mirrors in memory: d numbers a client."""

from typing import Any

import numpy as np

from fl_ef21.compressors import Vector
from fl_ef21.compressors.message import Place
from fl_ef21.methods.mirrors.mirrors import Mirrors
from fl_ef21.methods.snapshot import Snapshot


class MemoryMirrors(Mirrors):
    """The vectors themselves.

    Parameters
    ----------
    size : int
        Dimension d.
    dtype : numpy.dtype
        float32 or float64.
    """

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self._size = size
        self._dtype = dtype
        self._vectors: dict[str, Vector] = {}

    def add(self, client: str) -> None:
        """Allocate zeros."""
        self._vectors[client] = np.zeros(self._size, self._dtype)

    def read(self, client: str, place: Place) -> Vector:
        """Return a client's coordinates."""
        vector: Vector = self._vectors[client][place]
        return vector

    def write(self, client: str, place: Place, values: Vector) -> None:
        """Replace a client's coordinates."""
        self._vectors[client][place] = values

    def remove(self, client: str) -> None:
        """Let a vector go."""
        del self._vectors[client]

    def snapshot(self) -> Snapshot:
        """Return all vectors; they are not copied."""
        return Snapshot(dict(self._vectors))

    def restore(self, snapshot: Snapshot) -> None:
        """Copy all vectors."""
        self._vectors = {client: vector.copy() for client, vector in snapshot.arrays.items()}
