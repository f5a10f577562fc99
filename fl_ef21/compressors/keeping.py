"""What compressors that keep k coordinates share: the amount and its text."""

from typing import Self

from fl_ef21.compressors.amount import Amount
from fl_ef21.compressors.selection import Selection


class Keeping(Selection):
    """A compressor that keeps some of the coordinates.

    Parameters
    ----------
    amount : int or float, optional
        An integer is k, a float is a ratio.
    k : int, optional
        Number of coordinates, from 1 to d.
    ratio : float, optional
        Share of the coordinates in (0, 1]; k = max(1, ⌊ratio·d⌋).

    Raises
    ------
    ValueError
        If not exactly one of the three is given or it is out of range; when it meets a
        dimension d, if k is above d.
    """

    def __init__(
        self, amount: float | None = None, *, k: int | None = None, ratio: float | None = None
    ) -> None:
        self._amount = Amount.of(amount, k=k, ratio=ratio)

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[amount]``: a count or a ratio."""
        if len(arguments) != 1:
            raise ValueError(
                f"{cls.name} takes one amount, {cls.name}:5 or {cls.name}:0.01, "
                f"got {':'.join(arguments)!r}"
            )
        amount = Amount.from_text(arguments[0])
        return cls(k=amount.k, ratio=amount.ratio)

    def count(self, size: int) -> int:
        """Return k, the most coordinates that are sent of ``size``."""
        return self._amount.count(size)

    def check_size(self, size: int) -> None:
        """Raise ``ValueError`` if k is above ``size``."""
        self.count(size)

    def widened(self, power: float) -> Self:
        """Return the compressor that keeps ratio^power of the coordinates."""
        amount = self._amount.widened(power)
        return type(self)(k=amount.k, ratio=amount.ratio)

    def __str__(self) -> str:
        return f"{self.name}:{self._amount}"
