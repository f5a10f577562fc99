"""Compositions ``A | B``: A chooses coordinates and B rounds their values."""

from typing import Any

import numpy as np

from fl_ef21.compressors.compressor import Compressor, Contractive, Unbiased
from fl_ef21.compressors.length import stream_bytes
from fl_ef21.compressors.message import Dense, Message, Sparse, Vector
from fl_ef21.compressors.selection import Rounding, Selection


def compose(selection: Compressor, rounding: Compressor) -> "Composition":
    """Return ``selection | rounding``, which promises what both of them promise.

    Parameters
    ----------
    selection : Compressor
        A ``Selection``, such as ``TopK(0.01)``.
    rounding : Compressor
        A ``Rounding``, such as ``Natural()``.

    Returns
    -------
    Composition
        It is ``Contractive`` if both are, and ``Unbiased`` if both are.

    Raises
    ------
    ValueError
        If the first is no selection, the second no rounding, or they share no promise.

    Examples
    --------
    >>> from fl_ef21.compressors.natural import Natural
    >>> from fl_ef21.compressors.top_k import TopK
    >>> composed = TopK(k=2) | Natural()
    >>> composed.compress(np.array([1.0, -4.0, 2.0]), np.random.default_rng(0)).to_dense()
    array([ 0., -4.,  2.])
    >>> composed, composed.alpha(7)
    (<ContractiveComposition topk:2|natural>, 0.25)
    """
    if not isinstance(selection, Selection) or not isinstance(rounding, Rounding):
        raise ValueError(
            f"{selection}|{rounding}: A | B chooses coordinates with A and rounds their values "
            f"with B, for example topk:0.01|natural; {_misplaced(selection, rounding)}"
        )
    contractive, unbiased = (
        isinstance(selection, promise) and isinstance(rounding, promise)
        for promise in (Contractive, Unbiased)
    )
    if contractive and unbiased:
        return ContractiveUnbiasedComposition(selection, rounding)
    if contractive:
        return ContractiveComposition(selection, rounding)
    if unbiased:
        return UnbiasedComposition(selection, rounding)
    if isinstance(selection, Contractive):
        remedy = f"use {selection}|shrunk-{rounding}"
    else:
        remedy = f"use the contractive form of {selection}, as randk is of unbiased-randk"
    raise ValueError(
        f"{selection}|{rounding}: one of them is contractive and the other unbiased, together "
        f"they promise nothing; {remedy}"
    )


def _misplaced(selection: Compressor, rounding: Compressor) -> str:
    if not isinstance(selection, Selection):
        return f"{selection} chooses no coordinates"
    return f"{rounding} does not round values"


class Composition(Compressor):
    """A selection whose kept values are rounded; :func:`compose` makes it.

    Parameters
    ----------
    selection : Selection
        Chooses coordinates.
    rounding : Rounding
        Rounds what they hold; it sees the kept values alone, and nothing if nothing is kept.
    """

    name = "composition"

    def __init__(self, selection: Selection, rounding: Rounding) -> None:
        self.random = selection.random or rounding.random
        # If one side needs equal generators, the other draws from them too.
        self.shared_randomness = selection.shared_randomness or rounding.shared_randomness
        self.selection = selection
        self.rounding = rounding

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> "Composition":
        """Build from the texts of both sides."""
        from fl_ef21.compressors.text import from_text  # noqa: PLC0415 - it knows this class

        selection, rounding = map(from_text, arguments)
        return compose(selection, rounding)

    def for_client(self, position: int, clients: int) -> "Composition":
        """Return the composition of what that client uses."""
        sides = (self.selection, self.rounding)
        return compose(*(side.for_client(position, clients) for side in sides))

    def for_shape(self, shape: tuple[int, ...]) -> "Composition":
        """Return the composition of what fits an array of this shape."""
        return compose(self.selection.for_shape(shape), self.rounding)

    def widened(self, power: float) -> "Composition":
        """Return the composition with the wider selection."""
        return compose(self.selection.widened(power), self.rounding)

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if a side does not fit vectors of dimension ``size``."""
        self.selection.check_size(size)
        self.rounding.check_size(self.selection.count(size))

    def max_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Return the bytes of the positions and of the rounded values."""
        count = self.selection.count(size)
        # What a selection takes beside its values is positions, or nothing if it is dense: then
        # it is the rounding that may need some.
        full = stream_bytes(count, 8 * dtype.itemsize)
        positions = self.selection.max_bytes(size, dtype) - full
        rounded = self.rounding.value_bytes(count, dtype)
        return max(positions + rounded, self.rounding.max_bytes(count, dtype))

    def compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        """Compress a vector; the selection checks it."""
        return self._round(self.selection.compress(vector, rng), rng)

    def compress_difference(
        self, vector: Vector, reference: Vector, rng: np.random.Generator
    ) -> Message:
        """Compress ``vector − reference`` in the way that the selection does."""
        return self._round(self.selection.compress_difference(vector, reference, rng), rng)

    def _compress(self, vector: Vector, rng: np.random.Generator) -> Message:
        return self.compress(vector, rng)

    def _round(self, kept: Message, rng: np.random.Generator) -> Message:
        assert isinstance(kept, Dense | Sparse)
        if not kept.values.size:
            return kept
        rounded = self.rounding.compress(kept.values, rng)
        assert isinstance(rounded, Dense | Sparse)
        return rounded if isinstance(kept, Dense) else _placed(rounded, kept)

    def __str__(self) -> str:
        return f"{self.selection}|{self.rounding}"


def _placed(rounded: Dense | Sparse, kept: Sparse) -> Sparse:
    """Return the rounded values where the kept ones were; those that became zero are not sent."""
    indices = kept.indices if isinstance(rounded, Dense) else kept.indices[rounded.indices]
    sent = rounded.values != 0
    return Sparse(kept.size, indices[sent], rounded.values[sent], rounded.step)


class ContractiveComposition(Composition, Contractive):
    """A composition of contractive compressors.

    Contractive with α = α_A(d)·α_B(k), k the most coordinates that A keeps. Derived here: A keeps
    the values of a set S as they are, so B's error and what A drops are orthogonal, and
    E_B‖B(v_S) − v‖² = E_B‖B(v_S) − v_S‖² + ‖v‖² − ‖v_S‖² ≤ ‖v‖² − α_B‖v_S‖². In the mean over A,
    ‖v_S‖² is at least α_A‖v‖². (No α_B grows with the dimension: that of k holds for fewer.)
    """

    def alpha(self, size: int) -> float:
        """Return α_A(d)·α_B(k)."""
        selection, rounding = self.selection, self.rounding
        assert isinstance(selection, Contractive)
        assert isinstance(rounding, Contractive)
        return selection.alpha(size) * rounding.alpha(selection.count(size))


class UnbiasedComposition(Composition, Unbiased):
    """A composition of unbiased compressors.

    Unbiased with 1 + ω = (1 + ω_A(d))(1 + ω_B(k)), k the most coordinates that A keeps. Derived
    here: given A(v), the mean of B(A(v)) is A(v), whose mean is v; and
    E‖B(A(v))‖² ≤ (1 + ω_B) E‖A(v)‖² ≤ (1 + ω_B)(1 + ω_A)‖v‖². (No ω_B falls with the dimension.)
    """

    def omega(self, size: int) -> float:
        """Return (1 + ω_A(d))(1 + ω_B(k)) − 1."""
        selection, rounding = self.selection, self.rounding
        assert isinstance(selection, Unbiased)
        assert isinstance(rounding, Unbiased)
        return (1 + selection.omega(size)) * (1 + rounding.omega(selection.count(size))) - 1


class ContractiveUnbiasedComposition(ContractiveComposition, UnbiasedComposition):
    """A composition that makes both promises, such as ``identity|natural``."""
