"""What methods of the same form share: the texts of their parameters, and what these check."""

from abc import abstractmethod
from typing import ClassVar, Final, Self

from fl_ef21.compressors import Compressor, Contractive, Unbiased
from fl_ef21.compressors.arguments import is_number
from fl_ef21.methods.method import Method, Turn

INITIALISATIONS: Final = ("full", "compressed", "zero")


class WithoutArguments(Method):
    """A method whose text is its name."""

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from no arguments."""
        if arguments:
            raise ValueError(f"{cls.name} takes no argument, got {':'.join(arguments)!r}")
        return cls()

    def __str__(self) -> str:
        return self.name


class Initialised(Method):
    """A method with one of the usual initial estimates gᵢ⁰; theory allows any.

    Parameters
    ----------
    initialisation : {"full", "compressed", "zero"}
        ``full``: gᵢ⁰ = sᵢ, one dense message a client. ``compressed``: gᵢ⁰ = C(sᵢ).
        ``zero``: gᵢ⁰ = 0, so that a client counts before it has said anything; in the paper's
        numbering the first step then stands still, which costs no round here. With full
        participation ``zero`` and ``compressed`` send the same messages.

    Raises
    ------
    ValueError
        If the initialisation is another word.
    """

    def __init__(self, initialisation: str = "full") -> None:
        if initialisation not in INITIALISATIONS:
            raise ValueError(
                f"initialisation={initialisation!r} is unknown; "
                f"choose one of {', '.join(INITIALISATIONS)}"
            )
        self.initialisation = initialisation

    @property
    def counts_silent_clients(self) -> bool:
        """Whether the initialisation is ``zero``."""
        return self.initialisation == "zero"

    def sends_whole(self, turn: Turn) -> bool:
        """Return whether a full initialisation is due."""
        return turn.first and self.initialisation == "full"

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[initialisation]``."""
        if len(arguments) != 1:
            raise ValueError(
                f"{cls.name} takes one initialisation, as in {cls.name}:full, got {arguments}"
            )
        return cls(arguments[0])

    def check(self, compressor: Compressor) -> None:
        """Refuse compressors without a contraction α."""
        require_contractive(self.name, compressor)

    def __str__(self) -> str:
        return f"{self.name}:{self.initialisation}"


class WithNumber(Initialised):
    """A method with an initialisation and one number, as in ``ef21-sgdm:full:0.1``.

    Attributes
    ----------
    parameter : str
        Name of the number, which is an attribute.
    """

    parameter: ClassVar[str]

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[initialisation, number]``."""
        if len(arguments) != 2:
            raise ValueError(f"{cls.name} is written {cls.name}:full:0.1, got {arguments}")
        return cls(arguments[0], **{cls.parameter: number(cls.parameter, arguments[1])})

    def __str__(self) -> str:
        return f"{super().__str__()}:{getattr(self, self.parameter)!r}"


class ForUnbiased(Method):
    """A method for unbiased compressors, with one number that their variance ω sets by default.

    Parameters
    ----------
    value : float, optional
        In (0, 1]; ``usual(ω)`` when left out.

    Attributes
    ----------
    parameter : str
        Name of the number in texts and errors.

    Raises
    ------
    ValueError
        If the number is out of range.
    """

    parameter: ClassVar[str]

    def __init__(self, value: float | None = None) -> None:
        self.value = None if value is None else share(self.parameter, value)

    @staticmethod
    @abstractmethod
    def usual(omega: float) -> float:
        """Return the number that theory takes for a variance ω."""

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from ``[]`` or ``[number]``."""
        if len(arguments) > 1:
            raise ValueError(
                f"{cls.name} takes one {cls.parameter}, as in {cls.name}:0.1, got {arguments}"
            )
        return cls(*(number(cls.parameter, text) for text in arguments))

    def fitted(self, compressor: Compressor, size: int) -> Self:
        """Return the method with its number set."""
        if self.value is not None or not isinstance(compressor, Unbiased):
            return self
        return type(self)(self.usual(compressor.omega(size)))

    def check(self, compressor: Compressor) -> None:
        """Refuse compressors without a variance ω."""
        require_unbiased(self.name.upper(), compressor)

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value!r}"


def require_contractive(method: str, compressor: Compressor) -> None:
    """Raise ``ValueError`` unless the compressor has an α: the method may diverge without."""
    if not isinstance(compressor, Contractive):
        raise ValueError(
            f"{method} needs a contractive compressor, got {compressor}, which is not; use its "
            f"contractive form: randk in place of unbiased-randk, shrunk-qsgd in place of qsgd"
        )


def require_unbiased(method: str, compressor: Compressor) -> None:
    """Raise ``ValueError`` unless the compressor has an ω."""
    if not isinstance(compressor, Unbiased):
        raise ValueError(
            f"{method} needs an unbiased compressor, got {compressor}, which is not; "
            f"for example unbiased-randk:0.01, natural or qsgd:16"
        )


def share(name: str, value: object, *, above_zero: bool = True) -> float:
    """Return a number in (0, 1], or in [0, 1].

    Raises
    ------
    ValueError
        If it is none.
    """
    bracket = "(" if above_zero else "["
    # A NaN compares as false.
    if not is_number(value) or not 0 <= value <= 1 or (above_zero and value == 0):
        raise ValueError(f"{name}={value!r} is outside {bracket}0, 1]")
    return float(value)


def number(name: str, text: str) -> float:
    """Return the number that stands in a text.

    Raises
    ------
    ValueError
        If there is none; the text names the parameter.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is not a number") from None
