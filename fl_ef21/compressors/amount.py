"""How many coordinates to keep: a count, or a ratio of the dimension."""

from dataclasses import dataclass
from numbers import Integral
from sys import float_info
from typing import Self

from fl_ef21.compressors.arguments import is_number, is_whole


@dataclass(frozen=True)
class Amount:
    """Either ``k`` coordinates or ``ratio`` of them; exactly one is set.

    Examples
    --------
    >>> Amount.of(0.05).count(112), Amount.of(5).count(112)
    (5, 5)
    """

    k: int | None = None
    ratio: float | None = None

    @classmethod
    def of(
        cls, amount: float | None = None, *, k: int | None = None, ratio: float | None = None
    ) -> Self:
        """Read an amount: an integer from 1 is a count, a number in (0, 1] with a point a ratio.

        Raises
        ------
        ValueError
            If not exactly one of the three is given, or it is out of range.
        """
        if [amount, k, ratio].count(None) != 2:
            raise ValueError(
                f"give exactly one of k and ratio, got amount={amount!r}, k={k!r}, "
                f"ratio={ratio!r}; for example k=5 or ratio=0.01"
            )
        if amount is not None:
            k, ratio = (amount, None) if isinstance(amount, Integral) else (None, amount)
        if k is not None:
            return cls(k=_checked_count(k))
        return cls(ratio=_checked_ratio(ratio))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read ``"5"`` as a count and ``"0.01"`` or ``"1e-3"`` as a ratio."""
        try:
            return cls.of(int(text))
        except ValueError as not_a_count:
            if text.lstrip("+-").isdecimal():
                raise
            try:
                ratio = float(text)
            except ValueError:
                raise ValueError(
                    f"amount {text!r} is neither a count such as 5 nor a ratio such as 0.01"
                ) from not_a_count
            return cls.of(ratio=ratio)

    def count(self, size: int) -> int:
        """Return how many of ``size`` coordinates are kept: at least 1, ratios rounded down.

        Raises
        ------
        ValueError
            If the count is above ``size``.
        """
        if self.ratio is not None:
            # A few units in the last place undo the rounding of the ratio and of the product: 0.29
            # of 100 is 29 and a third of 9 is 3, though floats put both a little below.
            return max(1, int(self.ratio * size * (1 + 4 * float_info.epsilon)))
        if self.k is None or self.k > size:
            raise ValueError(
                f"k={self.k} is above the number of coordinates, {size}; "
                f"choose k in [1, {size}] or a ratio in (0, 1]"
            )
        return self.k

    def widened(self, power: float) -> "Amount":
        """Return the ratio to a power in (0, 1], which is a larger share.

        Raises
        ------
        ValueError
            If the amount is a count, which stays one for the power 1 only.
        """
        if power == 1:
            return self
        if self.ratio is None:
            raise ValueError(f"a count of {self.k} has no warm-up; give a ratio, such as 0.01")
        return Amount(ratio=self.ratio**power)

    def __str__(self) -> str:
        return repr(self.ratio) if self.k is None else str(self.k)


def _checked_count(k: object) -> int:
    if not is_whole(k) or k < 1:
        raise ValueError(f"k={k!r} is not a whole number from 1 up; to keep a share, give a ratio")
    return int(k)


def _checked_ratio(ratio: object) -> float:
    if not is_number(ratio) or not 0 < float(ratio) <= 1:
        raise ValueError(
            f"ratio={ratio!r} is outside (0, 1]; 0.01 keeps one coordinate in a hundred, "
            f"an integer such as 5 keeps that many"
        )
    return float(ratio)
