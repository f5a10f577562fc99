"""What compressors that choose coordinates share, and what one may compose them with."""

from abc import abstractmethod
from typing import Any

import numpy as np

from fl_ef21.compressors.compressor import Compressor
from fl_ef21.compressors.length import index_bytes, stream_bytes
from fl_ef21.compressors.message import Message, Vector


class Selection(Compressor):
    """A compressor that sends some coordinates and drops the others: the left side of ``A | B``.

    Contractive ones send values as they are, unbiased ones scaled.
    """

    @abstractmethod
    def count(self, size: int) -> int:
        """Return the most coordinates that are sent of ``size``."""

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of that many positions and full values."""
        count = self.count(size)
        return index_bytes(count, size) + stream_bytes(count, 8 * dtype.itemsize)


class Rounding(Compressor):
    """A compressor that sends every coordinate in fewer bits: the right side of ``A | B``."""

    @abstractmethod
    def value_bytes(self, count: int, dtype: np.dtype[Any]) -> int:
        """Return the most bytes that ``count`` rounded values take, scales included."""

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of all values, or of few non-zero ones with their positions."""
        few = size // 8
        return max(
            self.value_bytes(size, dtype), index_bytes(few, size) + self.value_bytes(few, dtype)
        )

    @abstractmethod
    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        """Round a vector that was checked; the message is dense, or sparse for few non-zeros."""
