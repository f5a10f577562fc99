"""Messages side by side: each stands for the next coordinates of the vector."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_ef21.compressors.message import Message, Place, Vector


@dataclass(frozen=True)
class Parts(Message):
    """A vector in consecutive parts, such as the layers of a model.

    Parameters
    ----------
    parts : tuple of Message
        At least one, all of one dtype, none of them in parts itself.

    Examples
    --------
    >>> from fl_ef21.compressors.message import Dense, Sparse
    >>> first = Sparse(3, np.array([1]), np.array([2.0]))
    >>> Parts((first, Dense(np.array([5.0])))).to_dense()
    array([0., 2., 0., 5.])
    """

    parts: tuple[Message, ...]

    @property
    def size(self) -> int:  # type: ignore[override]  # frozen: nobody sets it
        """Dimension d of the vector: the sum of the parts' sizes."""
        return sum(part.size for part in self.parts)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of all parts."""
        return self.parts[0].dtype

    def pieces(self, start: int = 0) -> Iterator[tuple[Place, Vector]]:
        """Yield the pieces of all parts, each at its place in the whole vector."""
        for part in self.parts:
            yield from part.pieces(start)
            start += part.size

    def memory(self) -> Vector | None:
        """Return the parts' memories end to end, ``None`` if no part has any."""
        memories = [memory for part in self.parts if (memory := part.memory()) is not None]
        return np.concatenate(memories) if memories else None

    def scaled(self, factor: float) -> "Parts":
        """Return ``factor`` times every part."""
        return Parts(tuple(part.scaled(factor) for part in self.parts))

    def bound(self) -> float:
        """Return the largest of the parts' bounds."""
        return max(part.bound() for part in self.parts)
