"""Schedules of the step size: γ as a function of the round, beside any server step.

A schedule is a value: what a round's γ is depends on the round alone, so that a run that goes on
after a break goes on with the right one.
"""

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Final

from fl_ef21.compressors.arguments import is_number, is_whole
from fl_ef21.methods.arguments import number


@dataclass(frozen=True)
class Schedule:
    """γ by round: constant, linear or cosine decay, after a linear warm-up.

    With T rounds, warm-up w and s = (t − 1)/T, round t = 1, 2, … has

        γₜ = min(1, t/w) · (last + (γ − last) · shape(s)),

    where shape(s) is 1, 1 − s or (1 + cos πs)/2. Later rounds have γ_T.

    Parameters
    ----------
    shape : {"constant", "linear", "cosine"}
        How γ falls.
    value : float
        γ > 0, the largest.
    rounds : int
        T ≥ 1; of no effect for a constant γ.
    last : float
        Where γ falls to after T rounds, in [0, γ].
    warmup : int
        w ≥ 0: rounds until γ is whole; 0 is from the first on.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> [round(Schedule("linear", 1.0, rounds=4).at(t), 2) for t in (1, 2, 3, 4, 5)]
    [1.0, 0.75, 0.5, 0.25, 0.25]
    >>> schedule_from_text("warmup:2|cosine:0.1:200")
    Schedule(shape='cosine', value=0.1, rounds=200, last=0.0, warmup=2)
    """

    shape: str
    value: float
    rounds: int = 1
    last: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape={self.shape!r} is unknown; choose one of {', '.join(SHAPES)}")
        if not is_number(self.value) or not 0 < self.value < inf:
            raise ValueError(f"step size {self.value!r} is not a positive number")
        if not is_number(self.last) or not 0 <= self.last <= self.value:
            raise ValueError(f"last={self.last!r} is outside [0, {self.value}], the step size")
        for name, lowest in (("rounds", 1), ("warmup", 0)):
            count = getattr(self, name)
            if not is_whole(count) or count < lowest:
                raise ValueError(f"{name}={count!r} is not a whole number of rounds from {lowest}")
            object.__setattr__(self, name, int(count))
        for name in ("value", "last"):  # numpy's numbers would stand in the text by their types
            object.__setattr__(self, name, float(getattr(self, name)))

    def at(self, server_round: int) -> float:
        """Return γ > 0 of a round, counted from 1."""
        passed = (min(server_round, self.rounds) - 1) / self.rounds
        part = {"constant": 1.0, "linear": 1 - passed, "cosine": (1 + cos(pi * passed)) / 2}
        warm = min(1.0, server_round / self.warmup) if self.warmup else 1.0
        return warm * (self.last + (self.value - self.last) * part[self.shape])

    def __str__(self) -> str:
        text = repr(self.value)
        if self.shape != "constant":
            text = f"{self.shape}:{self.value!r}:{self.rounds}"
            text += f":{self.last!r}" if self.last else ""
        return f"warmup:{self.warmup}|{text}" if self.warmup else text


SHAPES: Final = ("constant", "linear", "cosine")
FORMS: Final = "0.1, linear:0.1:200, cosine:0.1:200, cosine:0.1:200:0.01, warmup:10|cosine:0.1:200"


def schedule_from_text(text: str) -> Schedule:
    """Read a schedule; ``str(schedule)`` is the way back.

    Parameters
    ----------
    text : str
        A number; ``linear:γ:T`` or ``cosine:γ:T``, perhaps with a last γ behind it; and in front
        of each perhaps ``warmup:w|``.

    Raises
    ------
    ValueError
        If the text is none of these.
    """
    front, bar, text_behind = text.strip().lower().rpartition("|")
    word, _, rounds = front.partition(":")
    if bar and word != "warmup":
        raise ValueError(f"step size {text!r}: only warmup:10| goes in front; {_forms()}")
    warmup = _count("warmup", rounds, text) if bar else 0
    shape, *arguments = text_behind.split(":")
    if not arguments:
        return Schedule("constant", number("step size", shape), warmup=warmup)
    if shape not in SHAPES or len(arguments) not in (2, 3):
        raise ValueError(f"step size {text!r} is unknown; {_forms()}")
    return Schedule(
        shape,
        number("step size", arguments[0]),
        _count("rounds", arguments[1], text),
        number("last", arguments[2]) if len(arguments) == 3 else 0.0,
        warmup,
    )


def _forms() -> str:
    return f"the forms are {FORMS}"


def _count(name: str, digits: str, text: str) -> int:
    if not digits.isdecimal():
        raise ValueError(f"{name}={digits!r} in step size {text!r} is not a whole number of rounds")
    return int(digits)
