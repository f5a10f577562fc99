"""Perm-k: the coordinates dealt out to the clients of a round, each to one."""

from typing import Self

import numpy as np

from fl_ef21.compressors.arguments import number, whole_number
from fl_ef21.compressors.compressor import Contractive, Unbiased
from fl_ef21.compressors.message import Indices, Sparse, Vector
from fl_ef21.compressors.scaling import scaled_up
from fl_ef21.compressors.selection import Selection

_MOST_CLIENTS = 2**31


class _Dealing(Selection):
    """A selection that gives the client at ``position`` of ``clients`` its block of a permutation.

    The permutation comes from the generator, which has to be equal on all clients of the round:
    then every coordinate goes to exactly one of them. Blocks differ by at most one coordinate.

    Parameters
    ----------
    position : int
        Place of the client in the round, from 0; ``for_client`` sets it.
    clients : int
        Number n of clients in the round. A compressor that was not placed acts as the only one.

    Raises
    ------
    ValueError
        If the position is not one of so many clients; when it meets a dimension d, if d < n.
    """

    random = True
    shared_randomness = True

    def __init__(self, position: int = 0, clients: int = 1) -> None:
        self.clients = whole_number("clients", clients, 1, _MOST_CLIENTS, "count those of a round")
        hint = f"positions of {self.clients} clients count from 0"
        self.position = whole_number("position", position, 0, self.clients - 1, hint)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from nothing or ``[position, clients]``."""
        if len(arguments) not in (0, 2):
            raise ValueError(
                f"{cls.name} takes nothing or a position and a number of clients, {cls.name} or "
                f"{cls.name}:3:20, got {':'.join(arguments)!r}"
            )
        return cls(*map(number, arguments))

    def for_client(self, position: int, clients: int) -> Self:
        """Return the compressor of one of a round's clients."""
        return type(self)(position, clients)

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if there are more clients than coordinates."""
        if size < self.clients:
            raise ValueError(
                f"{self}: {size} coordinates cannot be dealt to {self.clients} clients; "
                f"sample at most {size} clients a round or use another compressor such as randk"
            )

    def count(self, size: int) -> int:
        """Return how many of ``size`` coordinates this client gets."""
        start, stop = self._block(size)
        return stop - start

    def _least(self, size: int) -> int:
        """Return ⌊d/n⌋, the smallest block."""
        self.check_size(size)
        return size // self.clients

    def _block(self, size: int) -> tuple[int, int]:
        self.check_size(size)
        return self.position * size // self.clients, (self.position + 1) * size // self.clients

    def _deal(self, size: int, rng: np.random.Generator) -> Indices:
        start, stop = self._block(size)
        return np.sort(rng.permutation(size)[start:stop])

    def __str__(self) -> str:
        return self.name if self.clients == 1 else f"{self.name}:{self.position}:{self.clients}"


class PermK(_Dealing, Contractive):
    """Deal the coordinates out to the clients by a random permutation, unscaled.

    Perm-k of Szlendak, Tyurin and Richtárik 2021 (arXiv 2110.03300) without its factor n. A client
    keeps a uniformly random set of ⌊d/n⌋ or ⌈d/n⌉ coordinates, so alone it is Rand-k: contractive
    with α = ⌊d/n⌋/d. Together the clients send every coordinate once.

    Parameters
    ----------
    position, clients : int
        Place in the round and number of clients; ``for_client`` sets them.

    Raises
    ------
    ValueError
        If the position is not one of so many clients; when it meets a dimension d, if d < n.

    Examples
    --------
    >>> import numpy as np
    >>> dealt = [PermK().for_client(i, 2) for i in range(2)]
    >>> vector = np.array([1.0, 2.0, 3.0, 4.0])
    >>> sum(c.compress(vector, np.random.default_rng(0)).to_dense() for c in dealt)
    array([1., 2., 3., 4.])
    >>> dealt[1], dealt[1].alpha(5)
    (<PermK permk:1:2>, 0.4)
    """

    name = "permk"

    def alpha(self, size: int) -> float:
        """Return ⌊d/n⌋/d."""
        return self._least(size) / size

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:
        indices = self._deal(vector.size, rng)
        return Sparse(vector.size, indices, vector[indices])


class UnbiasedPermK(_Dealing, Unbiased):
    """Deal the coordinates out to the clients by a random permutation, scaled to be unbiased.

    Szlendak, Tyurin and Richtárik 2021 (arXiv 2110.03300): with n clients that divide
    d the factor is n, and the mean over clients with equal vectors is that vector, without error.
    Where n does not divide d the factor is d over the client's block. Unbiased with
    ω = d/⌊d/n⌋ − 1.

    Parameters
    ----------
    position, clients : int
        Place in the round and number of clients; ``for_client`` sets them.

    Raises
    ------
    ValueError
        If the position is not one of so many clients; when it meets a dimension d, if d < n; in
        ``compress``, if the factor times a value overflows.

    Examples
    --------
    >>> UnbiasedPermK(3, 20).omega(100), str(UnbiasedPermK()), str(UnbiasedPermK(3, 20))
    (19.0, 'unbiased-permk', 'unbiased-permk:3:20')
    """

    name = "unbiased-permk"

    def omega(self, size: int) -> float:
        """Return d/⌊d/n⌋ − 1."""
        return size / self._least(size) - 1

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Sparse:
        indices = self._deal(vector.size, rng)
        factor = vector.size / indices.size
        values = scaled_up(vector[indices], factor, self, "use fewer clients or permk")
        return Sparse(vector.size, indices, values)
