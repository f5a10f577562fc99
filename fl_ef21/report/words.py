"""A run's configuration in sentences, and as the command that repeats it."""

import shlex
from collections.abc import Mapping
from typing import Any, Final

FLAGS: Final = (
    "data",
    "clients",
    "partition",
    "method",
    "compressor",
    "step-size",
    "server",
    "downlink",
    "participation",
    "scope",
    "initialisation",
    "minibatch",
    "rounds",
    "seed",
)
"""The settings that are flags of ``fl-ef21 simulate``; others are given by ``--set``."""

RECORDS: Final = ("out", "started", "versions")
"""Keys of config.json that are no settings of the study."""

SCOPES: Final = {"global": "the model as one vector", "layer": "each array of the model by itself"}
FIRST: Final = {
    "compressed": "its compressed signal",
    "full": "its whole signal, uncompressed",
    "zero": "zero",
}


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run config without what ``config.json`` records beside it."""
    return {key: value for key, value in config.items() if key not in RECORDS}


def in_words(config: Mapping[str, Any], clients: int | None = None) -> list[str]:
    """Return sentences that say what a run config asks for, as far as its keys are known.

    Parameters
    ----------
    config : mapping
        The run config.
    clients : int, optional
        How many took part, where that is not what was asked for.

    Examples
    --------
    >>> in_words({"data": "digits", "clients": 20, "partition": "iid", "rounds": 9, "seed": 0})
    ['20 clients share the rows of digits, split by iid.', '9 rounds of each method; seed 0.']
    """
    known = {key: value for key, value in config.items() if value != ""}
    number = clients if clients is not None else known.get("clients")
    return [
        sentence
        for sentence in (
            _data(known, number),
            _method(known),
            _step(known),
            _round(known),
            _length(known),
        )
        if sentence
    ]


def repeat_command(study: str, config: Mapping[str, Any], clients: int | None = None) -> str:
    r"""Return the command that runs a study again with every setting spelled out.

    Examples
    --------
    >>> print(repeat_command("quickstart", {"data": "digits", "rounds": 5, "mu": 0.1, "out": "x"}))
    fl-ef21 simulate quickstart --data digits --rounds 5 --set mu=0.1
    """
    settings = settings_of(config)
    if clients is not None:
        settings["clients"] = clients
    words = ["fl-ef21", "simulate", shlex.quote(study)]
    for key in FLAGS:
        if key in settings:
            words += [f"--{key}", shlex.quote(_text(settings[key]))]
    for key, value in settings.items():
        if key not in FLAGS:
            words += ["--set", shlex.quote(f"{key}={_text(value)}")]
    return " ".join(words)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _data(config: Mapping[str, Any], clients: int | None) -> str:
    if "data" not in config or clients is None:
        return f"{clients} clients take part." if clients is not None else ""
    split = f", split by {config['partition']}" if "partition" in config else ""
    return f"{clients} clients share the rows of {config['data']}{split}."


def _method(config: Mapping[str, Any]) -> str:
    method = f"method {config['method']}" if "method" in config else ""
    compressor = f"compressor {config['compressor']}" if "compressor" in config else ""
    if compressor and (seen := SCOPES.get(str(config.get("scope", "")))):
        compressor += f" on {seen}"
    first = FIRST.get(str(config.get("initialisation", "")), "")
    downlink = f"the server's messages are compressed by {config.get('downlink')}"
    return _sentence(
        ", ".join(part for part in (method, compressor) if part),
        f"a client's first estimate is {first}" if first else "",
        downlink if "downlink" in config else "",
    )


def _step(config: Mapping[str, Any]) -> str:
    return _sentence(
        f"step size {config['step-size']}" if "step-size" in config else "",
        f"server step {config['server']}" if "server" in config else "",
    )


def _round(config: Mapping[str, Any]) -> str:
    share, rows = config.get("participation"), config.get("minibatch")
    who = (
        "all clients"
        if share is None or float(share) == 1
        else f"a share of {float(share):.3g} of the clients"
    )
    drawn = f"{rows} rows drawn anew" if rows else "all of a client's rows"
    return _sentence(
        f"{who} take part in every round" if share is not None else "",
        f"gradients are over {drawn}" if rows is not None else "",
    )


def _length(config: Mapping[str, Any]) -> str:
    return _sentence(
        f"{config['rounds']:,} rounds of each method" if "rounds" in config else "",
        f"seed {config['seed']}" if "seed" in config else "",
    )


def _sentence(*parts: str) -> str:
    """Return what there is as one sentence."""
    text = "; ".join(part for part in parts if part)
    return f"{text[0].upper()}{text[1:]}." if text else ""
