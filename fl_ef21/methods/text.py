"""Methods from their texts, as they travel in instructions."""

from typing import Final

from fl_ef21.methods.dasha import DASHA
from fl_ef21.methods.dcgd import DCGD
from fl_ef21.methods.diana import DIANA
from fl_ef21.methods.econtrol import EControl
from fl_ef21.methods.ef14 import EF14
from fl_ef21.methods.ef21 import EF21
from fl_ef21.methods.ef21_page import EF21PAGE
from fl_ef21.methods.ef21_plus import EF21Plus
from fl_ef21.methods.ef21_sgdm import EF21SGDM
from fl_ef21.methods.marina import MARINA
from fl_ef21.methods.method import Method

METHODS: Final[dict[str, type[Method]]] = {
    method.name: method
    for method in (
        DASHA,
        DCGD,
        DIANA,
        EControl,
        EF14,
        EF21,
        EF21PAGE,
        EF21Plus,
        EF21SGDM,
        MARINA,
    )
}


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
