"""Methods from their texts, as they travel in instructions."""

from typing import Final

from fl_ef21.methods.dcgd import DCGD
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.method import Method

METHODS: Final[dict[str, type[Method]]] = {method.name: method for method in (DCGD, EF21)}


def from_text(text: str) -> Method:
    """Build a method from its text; ``str(method)`` is the way back.

    Raises
    ------
    ValueError
        If the name or an argument is unknown.

    Examples
    --------
    >>> str(from_text("ef21:zero"))
    'ef21:zero'
    """
    name, *arguments = text.split(":")
    if name not in METHODS:
        raise ValueError(f"unknown method {text!r}; known are {', '.join(sorted(METHODS))}")
    return METHODS[name].from_arguments(arguments)
