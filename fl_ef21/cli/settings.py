"""What the flags ask for, refused where that can be done without a run."""
# ruff: noqa: PLC0415

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from fl_ef21.cli.options import Flags
from fl_ef21.engine.studies import Setting, Study

if TYPE_CHECKING:
    from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy

METHOD_KEYS: Final = (
    "method",
    "compressor",
    "step-size",
    "server",
    "downlink",
    "participation",
    "scope",
    "initialisation",
    "minibatch",
)
STEP_SIZE_WORDS: Final = ("1/L",)
"""The studies' own, beside the library's."""

NAMES: Final = {bool: "true or false", int: "whole number", float: "number", str: "text"}
"""What the types of settings are called."""

LARGE: Final = 2**31
"""Parameters of the model that stands in for the study's, so that every topk:K fits."""


@contextmanager
def refusing(parameter: str) -> Iterator[None]:
    """Turn what the library says of a bad argument into a usage error, exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        key = getattr(error, "key", None)
        raise typer.BadParameter(str(error), param_hint=f"--{key}" if key else parameter) from error


def asked(study: Study, flags: Flags) -> dict[str, Setting]:
    """Return the settings that the flags and ``--set`` name, each of its type.

    Raises
    ------
    typer.BadParameter
        If ``--set`` names what the study does not have, or what a flag has said already.
    """
    with refusing("--set"):
        more = dict(_pair(study, text) for text in flags.more)
        if twice := sorted(more.keys() & flags.given.keys()):
            raise ValueError(f"{', '.join(twice)} is given twice, by its flag too; give it once")
    return {**flags.given, **more}


def checked(study: Study, given: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the run config that replaces a study's defaults with what is given.

    Raises
    ------
    typer.BadParameter
        If the study has no such setting, or a value is bad.
    """
    settings = dict(given)
    for key in settings:
        with refusing(f"--{key}"):
            default_of(study, key)
    if "data" in settings:
        from fl_ef21.data.names import data_names

        settings["data"] = ",".join(map(_absolute, data_names(str(settings["data"]))))
    for key, check in _CHECKS.items():
        if key in settings:
            with refusing(f"--{key}"):
                check(str(settings[key]))
    if all(key in study.settings for key in METHOD_KEYS) and settings.keys() & set(METHOD_KEYS):
        with refusing("--method"):
            return _method_settings(study, settings)
    return settings


def setting_from_text(study: Study, key: str, text: str) -> Setting:
    """Return a value of the type that the study's default has.

    Raises
    ------
    ValueError
        If the study has no such setting, or the text is not of that type.
    """
    default = default_of(study, key)
    kind = type(default)
    words = {"true": True, "false": False}
    try:
        return words[text.lower()] if isinstance(default, bool) else kind(text)
    except (ValueError, KeyError):
        raise ValueError(
            f"{key}={text!r} is no {NAMES[kind]}, as the default {default!r} is"
        ) from None


def default_of(study: Study, key: str) -> Setting:
    """Return the study's default of a setting.

    Raises
    ------
    ValueError
        If the study has no such setting, or it is not for the user to set.
    """
    if key not in study.settings:
        raise ValueError(
            f"study {study.name!r} has no setting {key!r}; it has {', '.join(study.settings)}"
        )
    if key == "out":
        raise ValueError("the folder is given by the flag --out, not as a setting")
    return study.settings[key]


def _pair(study: Study, text: str) -> tuple[str, Setting]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} has no '='; give KEY=VALUE, as regularisation=0.01")
    return key, setting_from_text(study, key, value)


def _method_settings(study: Study, given: dict[str, Setting]) -> dict[str, Setting]:
    """Return the settings with a compressor that fits the method, if the method can be built."""
    from fl_ef21.flower.strategies.build import strategy_from_texts

    everything = {**study.settings, **given}
    method = str(everything["method"])
    if "method" in given and "compressor" not in given:
        fitting = _fitting(method, str(everything["compressor"]))
        given = {**given, "compressor": fitting} if fitting else given
        everything |= given
    texts: dict[str, Any] = {
        key.replace("-", "_"): everything[key] for key in METHOD_KEYS if key != "step-size"
    }
    rule = str(everything["step-size"])
    texts["step_size"] = rule if rule == "auto" else 1.0  # theorems are asked below
    strategy = strategy_from_texts(**texts, smoothness=[1.0], signal="gradient")
    _check_step_rule(method, rule, strategy)
    return given


def _fitting(method: str, default: str) -> str:
    """Return the method's own compressor where the study's does not fit, else an empty text."""
    from fl_ef21.flower.strategies.kinds import SettingError, fitting_compressor

    try:
        fitting_compressor(method, default)
    except SettingError as error:
        if error.key != "compressor":
            raise
        return str(fitting_compressor(method))
    return ""


def _check_step_rule(method: str, rule: str, strategy: "ErrorFeedbackStrategy") -> None:
    """Refuse an unknown word, and a theorem that the method does not have."""
    import numpy as np

    from fl_ef21.flower.protocol.layout import ArraySpec, Layout
    from fl_ef21.flower.server.recipe import WORDS
    from fl_ef21.flower.strategies.kinds import SettingError, about, method_parts
    from fl_ef21.methods.server import schedule_from_text
    from fl_ef21.theory import Constants

    words = (*STEP_SIZE_WORDS, *WORDS)
    if ":" in rule:
        with about("step-size"):
            schedule_from_text(rule)
    elif rule not in words and not _is_number(rule):
        raise SettingError(
            "step-size",
            f"step size {rule!r} is unknown; give a positive number, a schedule such as "
            f"cosine:0.1:200, or {', '.join(words)}",
        )
    if rule not in WORDS or rule == "auto":
        return
    if method_parts(method)[0] == "ef21-page" and rule == "theory":
        return  # it needs to know the rows, as the study does
    large = Layout((ArraySpec("model", (LARGE,), np.dtype(np.float32)),))
    try:
        strategy.recipe(large).step_size(rule, Constants(1.0, [1.0], dimension=LARGE))
    except ValueError as error:
        raise SettingError("step-size", str(error)) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_compressor(text: str) -> None:
    from fl_ef21.compressors import from_text

    from_text(text)


def _check_data(text: str) -> None:
    from fl_ef21.data import known_names
    from fl_ef21.data.names import data_names

    for name in data_names(text):
        if name not in known_names() and not Path(name).is_file():
            raise ValueError(
                f"{name!r} is no known data set and no file; known are {', '.join(known_names())}"
            )


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name


def _check_partition(text: str) -> None:
    from fl_ef21.data import partition_from_text

    partition_from_text(text)


def _check_step_size(text: str) -> None:
    """Refuse a number that is no step."""
    if _is_number(text) and not 0 < float(text) < math.inf:
        raise ValueError(f"step size {text} is outside (0, ∞); give a positive number")


_CHECKS = {
    "data": _check_data,
    "compressor": _check_compressor,
    "partition": _check_partition,
    "step-size": _check_step_size,
}
