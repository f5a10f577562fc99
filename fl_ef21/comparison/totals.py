"""What each contender has sent and reached: totals over the rounds, means over the seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fl_ef21.report.summary import by_method

Row = Mapping[str, Any]
LAST_EVALUATIONS = 5
"""Evaluations at the end whose mean is a run's result: models trained on few clients a round
swing."""

MEASURES = ("accuracy", "loss")


def totals(rows: Sequence[Row], baseline: str) -> list[dict[str, Any]]:
    """Return one mapping for each contender.

    Parameters
    ----------
    rows : sequence of mapping
        The history, with ``method`` and ``seed``.
    baseline : str
        Label of the contender that bytes are compared with.

    Returns
    -------
    list of dict
        Bytes are means over the seeds: ``uplink_payload_bytes``, ``uplink_bytes`` and
        ``downlink_bytes`` with their envelopes apart, and ``total_bytes`` of both directions, as
        they are sent. ``reduction`` is of the payload, ``framed_reduction`` of the whole uplink and
        ``total_reduction`` of both directions. For each measure there are its value (the mean over
        the seeds of a run's last evaluations), its ``_sd`` over the seeds, and ``_by_seed``.

    Examples
    --------
    >>> row = {"round": 1, "uplink_payload_bytes": 100, "uplink_bytes": 120, "downlink_bytes": 100}
    >>> rows = [{"method": "FedAvg", "seed": 0, "accuracy": 0.5, **row}]
    >>> totals(rows, "FedAvg")[0]["accuracy"], totals(rows, "FedAvg")[0]["reduction"]
    (0.5, 1.0)
    """
    found = [_total(method, list(group)) for method, group in by_method(rows).items()]
    reference = next((total for total in found if total["method"] == baseline), None)
    for total in found:
        for name, key in (
            ("reduction", "uplink_payload_bytes"),
            ("framed_reduction", "framed_uplink_bytes"),
            ("total_reduction", "total_bytes"),
        ):
            total[name] = reference[key] / total[key] if reference and total[key] else None
    return found


def seeds_of(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Group a contender's rows by seed."""
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["seed"], []).append(row)
    return groups


def _total(method: str, rows: list[Row]) -> dict[str, Any]:
    seeds = list(seeds_of(rows).values())
    total: dict[str, Any] = {
        "method": method,
        "rounds": seeds[0][-1]["round"],
        "seeds": len(seeds),
        "step_size": seeds[0][-1].get("step_size"),
        "wall_seconds": _mean_sum(seeds, "wall_seconds"),
    }
    for key in ("rejections", "failures"):
        total[key] = sum(row.get(key, 0) for row in rows)
    for key in (
        "uplink_payload_bytes",
        "uplink_bytes",
        "uplink_envelope_bytes",
        "downlink_bytes",
        "downlink_envelope_bytes",
    ):
        total[key] = _mean_sum(seeds, key)
    total["framed_uplink_bytes"] = total["uplink_bytes"] + total["uplink_envelope_bytes"]
    downlink = total["downlink_bytes"] + total["downlink_envelope_bytes"]
    total["total_bytes"] = total["framed_uplink_bytes"] + downlink
    for measure in MEASURES:
        values = [_last(group, measure) for group in seeds]
        known = [value for value in values if value is not None]
        total[measure] = float(np.mean(known)) if known else None
        total[f"{measure}_sd"] = float(np.std(known, ddof=1)) if len(known) > 1 else None
        total[f"{measure}_by_seed"] = values
    return total


def _mean_sum(seeds: Sequence[Sequence[Row]], key: str) -> float:
    return float(np.mean([sum(row.get(key, 0) for row in group) for group in seeds]))


def _last(rows: Sequence[Row], measure: str) -> float | None:
    values = [row[measure] for row in rows if row.get(measure) is not None]
    return float(np.mean(values[-LAST_EVALUATIONS:])) if values else None
