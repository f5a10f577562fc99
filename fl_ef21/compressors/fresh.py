"""A message that starts a client's estimate anew, in place of adding to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_ef21.compressors.message import Message, Place, Vector


@dataclass(frozen=True)
class Fresh(Message):
    """Replace what was folded before: gᵢ ← message, where others are gᵢ ← gᵢ + message.

    Parameters
    ----------
    message : Message
        The new estimate, not fresh itself.
    """

    message: Message

    fresh = True

    @property
    def size(self) -> int:  # type: ignore[override]  # frozen: nobody sets it
        """Dimension d of the vector."""
        return self.message.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the vector."""
        return self.message.dtype

    def pieces(self, start: int = 0) -> Iterator[tuple[Place, Vector]]:
        """Yield the pieces of the new estimate."""
        return self.message.pieces(start)

    def scaled(self, factor: float) -> "Fresh":
        """Return ``factor`` times the new estimate."""
        return Fresh(self.message.scaled(factor))

    def bound(self) -> float:
        """Return the bound of the new estimate."""
        return self.message.bound()

    def memory(self) -> Vector | None:
        """Return the memory of the new estimate."""
        return self.message.memory()
