"""What the flags ask for, refused where that can be done without a run."""
# ruff: noqa: PLC0415

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

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


def checked_settings(study: Study, flags: Mapping[str, Setting | None]) -> dict[str, Setting]:
    """Return the run config that the flags ask for.

    Raises
    ------
    typer.BadParameter
        If the study has no such setting, or a value is bad.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    for key in given:
        if key not in study.settings:
            raise typer.BadParameter(
                f"study {study.name!r} has no setting {key!r}; it has {', '.join(study.settings)}",
                param_hint=f"--{key}",
            )
    if "data" in given and Path(str(given["data"])).exists():
        given["data"] = str(Path(str(given["data"])).resolve())
    for key, check in _CHECKS.items():
        if key in given:
            with refusing(f"--{key}"):
                check(str(given[key]))
    if all(key in study.settings for key in METHOD_KEYS) and given.keys() & set(METHOD_KEYS):
        with refusing("--method"):
            return _method_settings(study, given)
    return given


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
    from fl_ef21.flower.strategies.kinds import SettingError, method_parts
    from fl_ef21.theory import Constants

    words = (*STEP_SIZE_WORDS, *WORDS)
    if rule not in words and not _is_number(rule):
        raise SettingError(
            "step-size",
            f"step size {rule!r} is unknown; give a positive number or {', '.join(words)}",
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

    if text not in known_names() and not Path(text).is_file():
        raise ValueError(
            f"{text!r} is no known data set and no file; known are {', '.join(known_names())}"
        )


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
