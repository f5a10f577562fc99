"""Strategies from texts, as they stand on the command line and in run configs."""

from typing import Any

from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.flower.server.recipe import WORDS
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy
from fl_ef21.flower.server.weighting import REPORTED
from fl_ef21.flower.strategies.kinds import (
    BY_SMOOTHNESS,
    KINDS,
    ON_MINIBATCHES,
    SettingError,
    about,
    fitting_compressor,
    method_parts,
)
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
        One of :data:`fl_ef21.flower.strategies.kinds.KINDS`, some with a number behind a colon,
        as in ``ef21-sgdm:0.1``; ``ef21-w:reported`` learns the clients' smoothness from them.
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
    if name == "ef21-w" and argument == REPORTED:
        options["smoothness"], argument = REPORTED, ""
    _check_numbers(name, participation, minibatch)
    given = {
        "compressor": fitting_compressor(name, compressor),
        "step_size": _step(step_size),
        "fraction_train": participation,
        **_argument(name, argument),
        **_smoothness(name, options.pop("smoothness", None)),
        **_initialisation(name, initialisation),
        **_server(name, server),
        **_downlink(name, downlink),
        **options,
    }
    if name == "ef21-p":  # its uplink is Identity by itself
        del given["compressor"]
    with about("method"):
        return KINDS[name].strategy(**given)


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
    if text in WORDS:  # first, as one of them is 2021
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _smoothness(name: str, given: object) -> dict[str, object]:
    """Return the clients' constants for the methods that weigh by them."""
    if name not in BY_SMOOTHNESS:
        return {}
    if given is None:
        raise SettingError(
            "method", f"{name} weighs clients by their constants L_i; give them as smoothness="
        )
    return {"smoothness": given}


def _argument(name: str, argument: str) -> dict[str, float]:
    """Return the number that stands behind the colon of a method's text."""
    parameter = KINDS[name].parameter
    if not argument:
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
    with about("server"):
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
        with about("downlink"):
            downlink = downlinks.from_text(f"{name}:{text.removeprefix(f'{name}:')}")
        return {"downlink_compressor": downlink.compressor}
    if not text:
        return {}
    with about("downlink"):
        if text.partition(":")[0] not in known:
            compressor_from_text(text)
            forms = " or ".join(f"{form}:{text}" for form in known)
            raise SettingError("downlink", f"say by which method the server compresses: {forms}")
        return {"downlink": downlinks.from_text(text)}


def server_step_of(method: str, server: str = "descent") -> ServerStep:
    """Return the server's step of a method's text and a server's text, for a baseline to take too.

    Examples
    --------
    >>> server_step_of("ef21-hb:0.5"), server_step_of("ef21", "box:-1:1")
    (<HeavyBall heavy-ball:0.5>, <Box box:-1.0:1.0>)
    """
    name, argument = method_parts(method)
    if name != "ef21-hb":
        return server_from_text(server)
    return HeavyBall(**_argument(name, argument))
