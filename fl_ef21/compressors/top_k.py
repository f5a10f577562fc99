"""Top-k: the k coordinates of largest magnitude."""

import numpy as np

from fl_ef21.compressors.compressor import Contractive, require_vector
from fl_ef21.compressors.keeping import Keeping
from fl_ef21.compressors.largest import largest
from fl_ef21.compressors.message import Sparse, Vector


class TopK(Keeping, Contractive):
    """Keep the k coordinates of largest magnitude: ``TopK(5)``, ``TopK(0.01)``.

    Contractive with α = k/d, surely and not only in expectation (Stich, Cordonnier and Jaggi 2018,
    arXiv 1809.07599). Ties go to the smaller position, so the same vector gives the same message
    everywhere. Zeros are never sent: a vector with fewer than k non-zero coordinates gives a
    shorter message. Parameters and errors are those of ``Keeping``.

    Examples
    --------
    >>> import numpy as np
    >>> message = TopK(k=2).compress(np.array([1.0, -3.0, 0.5, 2.0]), np.random.default_rng(0))
    >>> message.to_dense()
    array([ 0., -3.,  0.,  2.])
    >>> TopK(ratio=0.5).alpha(4), str(TopK(0.5)), str(TopK(2))
    (0.5, 'topk:0.5', 'topk:2')
    """

    name = "topk"

    def alpha(self, size: int) -> float:
        """Return k/d."""
        return self.count(size) / size

    def compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:  # noqa: ARG002
        """Compress a vector; the search for the largest finds NaN and infinity on its way."""
        require_vector(vector)
        return Sparse(vector.size, *largest(vector, self.count(vector.size)))

    def compress_difference(
        self,
        vector: Vector,
        reference: Vector,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Sparse:
        """Compress ``vector − reference`` block by block, without a vector for the difference."""
        require_vector(vector)
        return Sparse(vector.size, *largest(vector, self.count(vector.size), reference))

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:
        return self.compress(vector, rng)
