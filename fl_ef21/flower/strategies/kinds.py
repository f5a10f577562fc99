"""The methods by the words of the command line and of run configs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from fl_ef21.compressors import Compressor, Contractive, Identity, Unbiased
from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.flower import strategies
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy

DEFAULT_COMPRESSORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "contractive": "topk:0.02",
        "unbiased": "unbiased-randk:0.02",
        "any": "topk:0.02",
        "whole": "identity",
    }
)
"""What clients compress with if nothing is said, by what a method needs."""


class SettingError(ValueError):
    """A setting that is refused; ``key`` is its name on the command line and in run configs."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class EF21SGD(strategies.EF21):
    """EF21-SGD (arXiv 2110.03294): EF21 on minibatch gradients, with a step size of its own."""

    variant = "ef21-sgd"


@dataclass(frozen=True)
class Kind:
    """What a method's word means.

    Attributes
    ----------
    strategy : type
        Its class.
    title : str
        Its name for people.
    parameter : str
        The argument that a number behind the colon sets; empty if there is none.
    needs : {"contractive", "unbiased", "any", "whole"}
        Which compressors fit; ``whole`` is Identity alone.
    initialised : bool
        Whether it takes an initialisation.
    """

    strategy: type[ErrorFeedbackStrategy]
    title: str
    parameter: str = ""
    needs: str = "contractive"
    initialised: bool = True

    @property
    def compressor(self) -> str:
        """Text of the compressor that is taken if none is given."""
        return DEFAULT_COMPRESSORS[self.needs]


def _plain(
    strategy: type[ErrorFeedbackStrategy], title: str, needs: str, parameter: str = ""
) -> Kind:
    return Kind(strategy, title, parameter, needs, initialised=False)


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "ef21": Kind(strategies.EF21, "EF21"),
        "ef21+": Kind(strategies.EF21Plus, "EF21+"),
        "ef21-w": Kind(strategies.EF21W, "EF21-W"),
        "cloning": Kind(strategies.Cloning, "EF21 cloning"),
        "ef21-rf": Kind(strategies.EF21RareFeatures, "EF21-RF"),
        "ef21-sgd": Kind(EF21SGD, "EF21-SGD"),
        "ef21-sgdm": Kind(strategies.EF21SGDM, "EF21-SGDM", "eta"),
        "ef21-pp": Kind(strategies.EF21, "EF21-PP"),
        "ef21-hb": Kind(strategies.EF21HB, "EF21-HB", "momentum"),
        "ef21-prox": Kind(strategies.EF21Prox, "EF21-Prox"),
        "ef21-page": Kind(strategies.EF21PAGE, "EF21-PAGE", "probability"),
        "ef21-bc": Kind(strategies.EF21BC, "EF21-BC"),
        "ef21-p": _plain(strategies.EF21P, "EF21-P", "whole"),
        "econtrol": Kind(strategies.EControl, "EControl", "eta"),
        "ef14": _plain(strategies.EF14, "EF14", "contractive"),
        "dcgd": _plain(strategies.DCGD, "DCGD", "any"),
        "gd": _plain(strategies.DCGD, "GD", "whole"),
        "diana": _plain(strategies.DIANA, "DIANA", "unbiased", "rate"),
        "marina": _plain(strategies.MARINA, "MARINA", "unbiased", "probability"),
        "dasha": _plain(strategies.DASHA, "DASHA", "unbiased", "rate"),
    }
)

BY_SMOOTHNESS: Final = ("ef21-w", "cloning")
"""Methods that weigh clients by their smoothness constants, which they have to know."""

ON_MINIBATCHES: Final = ("ef21-sgd", "ef21-page")


def method_parts(text: str) -> tuple[str, str]:
    """Return a method's name, checked, and what stands behind its colon.

    Raises
    ------
    SettingError
        If the name is unknown; the text lists the known ones.

    Examples
    --------
    >>> method_parts("ef21-sgdm:0.2")
    ('ef21-sgdm', '0.2')
    """
    name, _, argument = text.strip().lower().partition(":")
    if name not in KINDS:
        raise SettingError("method", f"unknown method {text!r}; known are {', '.join(KINDS)}")
    return name, argument


def method_title(text: str) -> str:
    """Return a method's name for people.

    Examples
    --------
    >>> method_title("ef21-sgdm:0.2"), method_title("ef21+")
    ('EF21-SGDM:0.2', 'EF21+')
    """
    name, argument = method_parts(text)
    return f"{KINDS[name].title}:{argument}" if argument else KINDS[name].title


def fitting_compressor(method: str, text: str | None = None) -> Compressor:
    """Return the compressor of a text, or without one the method's default.

    Raises
    ------
    SettingError
        If it is not of the kind that the method needs; the text names one that is.

    Examples
    --------
    >>> fitting_compressor("marina")
    <UnbiasedRandK unbiased-randk:0.02>
    """
    name, _ = method_parts(method)
    needs = KINDS[name].needs
    with about("compressor"):
        found = compressor_from_text(text or KINDS[name].compressor)
    if needs == "whole" and not isinstance(found, Identity):
        raise SettingError("compressor", _whole(name, found))
    if needs == "unbiased" and not isinstance(found, Unbiased):
        raise SettingError(
            "compressor",
            f"{name} needs an unbiased compressor, and {found} is not; give "
            f"--compressor {_unbiased_form(found)}, or natural, or qsgd:16",
        )
    if needs == "contractive" and not isinstance(found, Contractive):
        raise SettingError(
            "compressor",
            f"{name} needs a contractive compressor, and {found} is not; give "
            f"--compressor {_contractive_form(found)}",
        )
    return found


def _unbiased_form(compressor: Compressor) -> str:
    name, _, amount = str(compressor).partition(":")
    if name in ("topk", "randk") and "|" not in amount:
        return f"unbiased-randk:{amount}"
    return DEFAULT_COMPRESSORS["unbiased"]


def _contractive_form(compressor: Compressor) -> str:
    text = str(compressor)
    return text.removeprefix("unbiased-") if text.startswith("unbiased-") else f"shrunk-{text}"


def _whole(name: str, found: Compressor) -> str:
    other = "--method ef21" if name == "gd" else "--method ef21 --downlink ef21-p:topk:0.1"
    return (
        f"{name} sends whole gradients: give --compressor identity; to compress them with {found} "
        f"give {other}"
    )


@contextmanager
def about(key: str) -> Iterator[None]:
    """Say which setting an error of the library is about."""
    try:
        yield
    except SettingError:
        raise
    except ValueError as error:
        raise SettingError(key, str(error)) from error
