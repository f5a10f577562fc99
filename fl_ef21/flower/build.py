"""Strategies from texts, as they stand on the command line and in run configs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fl_ef21.compressors import Compressor, Contractive, Identity, Unbiased
from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.flower.kinds import (
    BY_SMOOTHNESS,
    DEFAULT_COMPRESSORS,
    KINDS,
    ON_MINIBATCHES,
    SettingError,
    method_parts,
)
from fl_ef21.flower.strategy import ErrorFeedbackStrategy
from fl_ef21.flower.weighting import REPORTED
from fl_ef21.methods import downlink as downlinks
from fl_ef21.methods.server import Box, Descent, HeavyBall, Prox, Regularised, ServerStep
from fl_ef21.methods.server import from_text as server_from_text


def strategy_from_texts(
    method: str = "ef21",
    compressor: str | None = None,
    step_size: float | str = 1.0,
    *,
    server: str = "descent",
    downlink: str = "",
    initialisation: str = "compressed",
    participation: float = 1.0,
    minibatch: int | None = None,
    **options: Any,  # noqa: ANN401 - each strategy names its own
) -> ErrorFeedbackStrategy:
    """Build the strategy that texts describe.

    Parameters
    ----------
    method : str
        One of :data:`fl_ef21.flower.kinds.KINDS`, some with a number behind a colon, as in
        ``ef21-sgdm:0.1``; ``ef21-w:reported`` learns the clients' smoothness from them.
    compressor : str, optional
        What clients compress with; by default what fits the method.
    step_size : float or str
        A number, its text, or a word of :class:`ErrorFeedbackStrategy`.
    server : str
        The server's step, as in ``prox:l1:0.01``.
    downlink : str
        For ``ef21-bc`` and ``ef21-p`` the server's compressor. For other methods
        ``ef21-bc:topk:0.1`` or ``ef21-p:topk:0.1``; empty sends the model whole.
    initialisation : {"compressed", "full", "zero"}
        A client's first estimate.
    participation : float
        Share in (0, 1] of the clients that take part in a round.
    minibatch : int, optional
        Rows of a client's gradient, 0 for all. It is only checked: the client app draws them.
    **options
        Those of :class:`ErrorFeedbackStrategy`, and ``smoothness`` for ``ef21-w`` and ``cloning``.

    Raises
    ------
    SettingError
        If a word is unknown or two settings do not go together; it says what does.

    Examples
    --------
    >>> strategy = strategy_from_texts("diana", "natural", "0.1")
    >>> str(strategy.method), str(strategy.compressor), strategy.step_size
    ('diana', 'natural', 0.1)
    """
    name, argument = method_parts(method)
    _check_numbers(name, participation, minibatch)
    given = {
        "step_size": _step(step_size),
        "fraction_train": participation,
        **_smoothness(name, argument, options.pop("smoothness", None)),
        **_argument(name, argument),
        **_initialisation(name, initialisation),
        **_server(name, server),
        **_downlink(name, downlink),
        **options,
    }
    if name != "ef21-p":
        given["compressor"] = fitting_compressor(name, compressor)
    else:
        fitting_compressor(name, compressor)
    with _about("method"):
        return KINDS[name].strategy(**given)


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
    with _about("compressor"):
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


def _check_numbers(name: str, participation: float, minibatch: int | None) -> None:
    if not 0 < participation <= 1:
        raise SettingError(
            "participation", f"participation {participation} is outside (0, 1]; 1 is everybody"
        )
    if name == "ef21-pp" and participation == 1:
        raise SettingError(
            "participation", "ef21-pp is ef21 when everybody takes part; give --participation 0.5"
        )
    if name in ON_MINIBATCHES and minibatch == 0:
        raise SettingError(
            "minibatch",
            f"{name} works on minibatches; give --minibatch 16, or take ef21 for whole gradients",
        )


def _step(text: float | str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _smoothness(name: str, argument: str, given: object) -> dict[str, object]:
    """Return the clients' constants for the methods that weigh by them."""
    if name not in BY_SMOOTHNESS:
        return {}
    if name == "ef21-w" and argument == REPORTED:
        return {"smoothness": REPORTED}
    if given is None:
        raise SettingError(
            "method", f"{name} weighs clients by their constants L_i; give them as smoothness="
        )
    return {"smoothness": given}


def _argument(name: str, argument: str) -> dict[str, float]:
    """Return the number that stands behind the colon of a method's text."""
    parameter = KINDS[name].parameter
    if not argument or (name == "ef21-w" and argument == REPORTED):
        return {}
    if not parameter:
        raise SettingError("method", f"{name} takes no argument, got {argument!r}; write {name}")
    try:
        return {parameter: float(argument)}
    except ValueError:
        raise SettingError(
            "method", f"{parameter}={argument!r} of {name} is not a number; write {name}:0.1"
        ) from None


def _initialisation(name: str, word: str) -> dict[str, str]:
    if KINDS[name].initialised:
        return {"initialisation": word}
    if word != "compressed":
        raise SettingError("initialisation", f"{name} has no initialisation; leave it out")
    return {}


def _server(name: str, text: str) -> dict[str, ServerStep]:
    with _about("server"):
        step = server_from_text(text)
    last = step.then if isinstance(step, Regularised) else step
    if name == "ef21-prox" and not isinstance(last, Prox | Box):
        raise SettingError(
            "server", "ef21-prox needs a proximal step; give --server prox:l1:0.01, or box:-1:1"
        )
    if name == "ef21-hb" and step != Descent():
        raise SettingError(
            "server", f"ef21-hb steps by its own heavy ball, not by {step}; leave --server out"
        )
    if name == "ef21-hb":
        return {}
    return {"prox" if name == "ef21-prox" else "server": step}


def _downlink(name: str, text: str) -> dict[str, Any]:
    known = tuple(downlinks.text.DOWNLINKS)
    if name in known:
        if not text:
            raise SettingError(
                "downlink", f"{name} compresses what the server sends; give --downlink topk:0.1"
            )
        with _about("downlink"):
            return {"downlink_compressor": compressor_from_text(text.removeprefix(f"{name}:"))}
    if not text:
        return {}
    with _about("downlink"):
        if text.partition(":")[0] not in known:
            compressor_from_text(text)
            forms = " or ".join(f"{form}:{text}" for form in known)
            raise SettingError("downlink", f"say by which method the server compresses: {forms}")
        return {"downlink": downlinks.from_text(text)}


def server_step_of(strategy_text: str, server: str) -> ServerStep:
    """Return the server's step that a method's text and a server's text mean together."""
    name, argument = method_parts(strategy_text)
    if name != "ef21-hb":
        return server_from_text(server)
    return HeavyBall(**_argument(name, argument))


@contextmanager
def _about(key: str) -> Iterator[None]:
    """Say which setting an error of the library is about."""
    try:
        yield
    except SettingError:
        raise
    except ValueError as error:
        raise SettingError(key, str(error)) from error
