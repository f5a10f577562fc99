"""Rand-k: k coordinates chosen uniformly at random, contractive or unbiased."""

import numpy as np

from fl_ef21.compressors.compressor import Contractive, Unbiased
from fl_ef21.compressors.keeping import Keeping
from fl_ef21.compressors.message import Indices, Sparse, Vector
from fl_ef21.compressors.scaling import scaled_up


class RandK(Keeping, Contractive):
    """Keep k coordinates chosen uniformly at random, unscaled.

    Contractive with α = k/d, with equality: E‖C(v) − v‖² = (1 − k/d)‖v‖² (Stich, Cordonnier and
    Jaggi 2018, arXiv 1809.07599). This is the form that error feedback needs;
    :class:`UnbiasedRandK` is d/k times it. Parameters and errors are those of ``Keeping``.

    Examples
    --------
    >>> import numpy as np
    >>> message = RandK(k=2).compress(np.array([1.0, -3.0, 0.5, 2.0]), np.random.default_rng(1))
    >>> message.values.size, RandK(k=1).alpha(4)
    (2, 0.25)
    """

    name = "randk"
    random = True

    def alpha(self, size: int) -> float:
        """Return k/d."""
        return self.count(size) / size

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:
        indices = _choose(vector.size, self.count(vector.size), rng)
        return Sparse(vector.size, indices, vector[indices])


class UnbiasedRandK(Keeping, Unbiased):
    """Keep k coordinates chosen uniformly at random, scaled by d/k.

    Unbiased with ω = d/k − 1, with equality. Divided by 1 + ω it is :class:`RandK`. Parameters
    and errors are those of ``Keeping``; ``compress`` also raises ``ValueError`` if d/k times a
    value overflows.

    Examples
    --------
    >>> UnbiasedRandK(k=1).omega(4)
    3.0
    """

    name = "unbiased-randk"
    random = True

    def omega(self, size: int) -> float:
        """Return d/k − 1."""
        return size / self.count(size) - 1

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:
        k = self.count(vector.size)
        indices = _choose(vector.size, k, rng)
        remedy = "keep more coordinates or use randk"
        values = scaled_up(vector[indices], vector.size / k, self, remedy)
        return Sparse(vector.size, indices, values)


def _choose(size: int, k: int, rng: np.random.Generator) -> Indices:
    return np.sort(rng.choice(size, size=k, replace=False))
