"""What compressors take as arguments and read from their texts: whole numbers, shares, nothing."""

from numbers import Integral, Real
from typing import Any, Self, TypeGuard

from fl_ef21.compressors.compressor import Compressor


class Plain(Compressor):
    """A compressor without parameters: its text is its name."""

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from no arguments."""
        if arguments:
            raise ValueError(f"{cls.name} takes no argument, got {':'.join(arguments)!r}")
        return cls()

    def __str__(self) -> str:
        return self.name


def only_argument(arguments: list[str], example: str) -> Any:  # noqa: ANN401 - see number
    """Return the number in the only argument.

    Raises
    ------
    ValueError
        If there is not exactly one; the text gives the example.
    """
    if len(arguments) != 1:
        name = example.partition(":")[0]
        raise ValueError(
            f"{name} takes one argument, for example {example}, got {':'.join(arguments)!r}"
        )
    return number(arguments[0])


def number(text: str) -> Any:  # noqa: ANN401 - constructors say what they take
    """Return the number that a text stands for, or the text itself: constructors refuse it.

    Examples
    --------
    >>> number("5"), number("0.1"), number("many")
    (5, 0.1, 'many')
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number, Python's or numpy's, and no bool.

    Examples
    --------
    >>> [is_number(value) for value in (2, 0.5, True, "2", None)]
    [True, True, False, False, False]
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer, Python's or numpy's, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole_number(name: str, value: object, low: int, high: int, hint: str) -> int:
    """Return a whole number in [low, high].

    Raises
    ------
    ValueError
        If it is none; the text says the hint.
    """
    if not is_whole(value) or not low <= int(value) <= high:
        raise ValueError(f"{name}={value!r} is not a whole number from {low} to {high}; {hint}")
    return int(value)


def share(name: str, value: object, hint: str) -> float:
    """Return a number in (0, 1].

    Raises
    ------
    ValueError
        If it is none; the text says the hint.
    """
    if not is_number(value) or not 0 < float(value) <= 1:
        raise ValueError(f"{name}={value!r} is outside (0, 1]; {hint}")
    return float(value)
