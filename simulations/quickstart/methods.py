"""The strategies of a run: what the run config asks for, and uncompressed training beside it."""

from logging import INFO
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, UserConfig
from flwr.common import log
from task import Federation, regulariser_and_server

from fl_ef21 import DCGD, ErrorFeedbackStrategy, Identity
from fl_ef21.flower.strategies.build import server_step_of, strategy_from_texts
from fl_ef21.flower.strategies.kinds import BY_SMOOTHNESS, method_parts, method_title
from fl_ef21.theory import explain, step_size

BASELINE = "uncompressed"
THEOREMS = ("theory", "published", "2021")


def strategies(
    federation: Federation, config: UserConfig, folder: Path
) -> dict[str, ErrorFeedbackStrategy]:
    """Return the strategies by their labels, the baseline first; ``folder`` is the run's."""
    method, compressor = str(config["method"]), str(config["compressor"])
    _, server = regulariser_and_server(config)
    clients = len(federation.objectives)
    taking_part = max(1, round(float(config["participation"]) * clients))
    common: dict[str, Any] = {
        "constants": federation.constants,
        "signal": "gradient",
        "scope": str(config["scope"]),
        "seed": int(config["seed"]),
        "fraction_evaluate": 0.0,
        "min_train_nodes": taking_part,
        "min_available_nodes": clients,
        "journal_dir": str(config["journal-dir"]) or None,
    }
    texts: dict[str, Any] = {
        "method": method,
        "compressor": compressor,
        "server": server,
        "downlink": str(config["downlink"]),
        "initialisation": str(config["initialisation"]),
        "participation": taking_part / clients,
        "minibatch": int(config["minibatch"]),
        "smoothness": federation.constants.equal_weight_smoothness,
    }
    step, plain = _step_sizes(str(config["step-size"]), federation, {**texts, **common})
    kept = folder / "checkpoints" if config["checkpoint"] else None
    built = strategy_from_texts(
        step_size=step, **texts, **common, checkpoint_dir=kept and kept / "method"
    )
    baseline = DCGD(
        Identity(),
        plain,
        server=server_step_of(method, server),
        fraction_train=taking_part / clients,
        checkpoint_dir=kept and kept / "baseline",
        **common,
    )
    if method_parts(method)[0] == "gd":
        return {BASELINE: baseline}
    return {BASELINE: baseline, _label(method, built, texts["downlink"]): built}


def train_config(federation: Federation, config: UserConfig, label: str) -> ConfigRecord:
    """Return what the clients are told beside the model."""
    told: dict[str, bool | int] = {"clients": len(federation.objectives)}
    name, argument = method_parts(str(config["method"]))
    if label != BASELINE and name in BY_SMOOTHNESS:
        told["alike"] = True
        told["report-smoothness"] = argument == "reported"
    return ConfigRecord(told)


def _step_sizes(
    rule: str, federation: Federation, settings: dict[str, Any]
) -> tuple[float | str, float | str]:
    """Return the step sizes of the method and of uncompressed training under one rule.

    A number, a schedule, ``1/L`` and ``auto`` give both the same. A theorem's word gives each
    method what its theorem allows: uncompressed training 1/L.
    """
    plain = step_size("gd", federation.constants)
    if rule == "1/L":
        return plain, plain
    if rule in THEOREMS:
        page = method_parts(settings["method"])[0] == "ef21-page" and rule == "theory"
        return _page_step(federation, settings) if page else rule, plain
    if rule == "auto" or ":" in rule:
        return rule, rule
    try:
        number = float(rule)
    except ValueError:
        words = ", ".join(("cosine:0.1:200", "1/L", *THEOREMS, "auto"))
        raise ValueError(
            f"step-size={rule!r} is unknown; give a positive number, {words}"
        ) from None
    return number, number


def _page_step(federation: Federation, settings: dict[str, Any]) -> float:
    """Return EF21-PAGE's step, which needs to know the minibatch and the single rows."""
    built = strategy_from_texts(**settings)
    found = explain(
        "ef21-page",
        federation.constants,
        alpha=built.compressor.alpha(federation.dimension),  # type: ignore[attr-defined]
        participation=settings["participation"],
        probability=built.method.probability,  # type: ignore[attr-defined]
        batch_size=settings["minibatch"],
        sample_smoothness=federation.row_smoothness(),
    )
    log(INFO, "Step size by: %s (%s; %s)", found.formula, found.kind, found.source)
    return found.value


def _label(method: str, strategy: ErrorFeedbackStrategy, downlink: str) -> str:
    """Return the name under which a method stands in the records."""
    compressor = "" if isinstance(strategy.compressor, Identity) else str(strategy.compressor)
    down = f"down {downlink}" if downlink else ""
    return " ".join(part for part in (method_title(method), compressor, down) if part)
