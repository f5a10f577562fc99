"""A compressor on the coordinates that a client owns."""

from typing import Any, Self

import numpy as np

from fl_ef21.compressors.compressor import Compressor, Contractive
from fl_ef21.compressors.identity import Identity
from fl_ef21.compressors.message import Message, Vector
from fl_ef21.compressors.support import Support


class Restricted(Contractive):
    """Compress only the coordinates J of a support: what lies outside is not looked at.

    For vectors that are zero outside J, such as gradients of a loss that depends on r coordinates
    only, it is contractive with the inner compressor's α on vectors of dimension r: Top-k has
    α = k/r in place of k/d (Richtárik, Gasanov and Burlachenko 2023, arXiv 2305.15264). Encode its
    messages with the support, and positions are counted within J. It has no text: a support is
    the client's own.

    Parameters
    ----------
    compressor : Contractive
        What to use on the r coordinates; its messages have to be dense or sparse.
    support : Support
        The coordinates J.

    Examples
    --------
    >>> from fl_ef21.compressors.top_k import TopK
    >>> restricted = Restricted(TopK(1), Support.of(6, [1, 4]))
    >>> vector = np.array([0.0, 2.0, 0.0, 0.0, -3.0, 0.0])
    >>> message = restricted.compress(vector, np.random.default_rng(0))
    >>> message.to_dense(), restricted.alpha(6)
    (array([ 0.,  0.,  0.,  0., -3.,  0.]), 0.5)
    """

    name = "restricted"

    def __init__(self, compressor: Compressor, support: Support) -> None:
        if not isinstance(compressor, Contractive):
            raise ValueError(
                f"a support takes a contractive compressor, got {compressor}; "
                f"for example topk:1, or the shrunk form of an unbiased one"
            )
        self.random = compressor.random
        self.shared_randomness = compressor.shared_randomness
        self.compressor = compressor
        self.support = support

    @classmethod
    def keeping_at_most(cls, compressor: Compressor, support: Support) -> Self:
        """Return the restriction of a compressor, of ``Identity`` if it keeps more than r."""
        try:
            compressor.check_size(support.indices.size)
        except ValueError:
            return cls(Identity(), support)
        return cls(compressor, support)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Refuse: a support does not travel in a text."""
        raise ValueError(f"restricted has no text, got {':'.join(arguments)!r}; build it in code")

    def alpha(self, size: int) -> float:
        """Return α of the inner compressor for dimension r."""
        self.check_size(size)
        return self.compressor.alpha(self.support.indices.size)

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if d is not the support's, or r does not fit the compressor."""
        if size != self.support.size:
            raise ValueError(f"the support lies in {self.support.size} coordinates, not in {size}")
        self.compressor.check_size(self.support.indices.size)

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes within the support."""
        self.check_size(size)
        return self.compressor.max_bytes(self.support.indices.size, dtype)

    def compress_difference(
        self, vector: Vector, reference: Vector, rng: np.random.Generator
    ) -> Message:
        """Compress the difference within the support."""
        self.check_size(vector.size)
        owned = self.support.indices
        return self.support.expand(
            self.compressor.compress_difference(vector[owned], reference[owned], rng)
        )

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        self.check_size(vector.size)
        inside = self.compressor.compress(vector[self.support.indices], rng)
        return self.support.expand(inside)

    def __str__(self) -> str:
        return f"{self.compressor} on {self.support.indices.size} of {self.support.size}"
