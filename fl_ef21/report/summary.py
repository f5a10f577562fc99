"""Totals of a history: what a method sent in a run, and where that took it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FINAL = ("round", "loss", "gradient_norm_squared", "accuracy", "step_size")
COUNTED = ("rejections", "failures")
MOST_REASONS = 20
COMMON_LOSS = "common_loss"
COMMON_PAYLOAD = "uplink_payload_bytes_to_common_loss"


def by_method(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group a history by method, in the order in which the methods were run."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row)
    return groups


def summarise(
    rows: Iterable[Mapping[str, Any]], baseline: str = "uncompressed"
) -> list[dict[str, Any]]:
    """Total a history method by method.

    Every key that ends in ``_bytes`` and every count of rejected or failed replies is added up over
    the rounds; loss, squared gradient norm, accuracy and step size are those of the last round.

    Parameters
    ----------
    rows : Iterable of Mapping
        The history, one row per method and round.
    baseline : str
        The method whose uplink payload ``reduction`` is measured against.

    Returns
    -------
    list of dict
        One per method. ``reduction`` is the baseline's uplink payload over this method's, or None
        where there is no such ratio: no baseline in the history, or nothing was sent.

    Examples
    --------
    >>> rows = [
    ...     {"method": "uncompressed", "round": 1, "uplink_payload_bytes": 4000, "loss": 0.5},
    ...     {"method": "EF21 topk:0.01", "round": 1, "uplink_payload_bytes": 50, "loss": 0.5},
    ... ]
    >>> [(row["method"], row["reduction"]) for row in summarise(rows)]
    [('uncompressed', 1.0), ('EF21 topk:0.01', 80.0)]
    """
    methods = [_total(method, group) for method, group in by_method(rows).items()]
    sent = {row["method"]: row.get("uplink_payload_bytes", 0) for row in methods}
    for row in methods:
        payload = sent[row["method"]]
        row["reduction"] = sent[baseline] / payload if baseline in sent and payload else None
    return methods


def _total(method: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    last = rows[-1]
    total: dict[str, Any] = {"method": method, "rounds": last["round"]}
    summed = [key for key in last if key.endswith("_bytes")] + list(COUNTED)
    total.update({key: sum(row.get(key, 0) for row in rows) for key in summed})
    total.update({key: last.get(key) for key in FINAL if key != "round"})
    return total


def with_common_loss(
    totals: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Add to totals the lowest loss that all methods reach, and the payload that each needs for it.

    Runs of any length and step are compared fairly by that. Nothing is added for a single method,
    or where a method has no loss or never gets below its first one.

    Examples
    --------
    >>> rows = [
    ...     {"method": name, "round": i, "loss": loss, "uplink_payload_bytes": 100 * i}
    ...     for name, losses in {"a": [1.0, 0.5, 0.2], "b": [1.0, 0.7, 0.6]}.items()
    ...     for i, loss in enumerate(losses)
    ... ]
    >>> for total in with_common_loss([{"method": "a"}, {"method": "b"}], rows):
    ...     print(*total.values())
    a 0.6 100
    b 0.6 300
    """
    histories = by_method(rows)
    losses = {name: [row.get("loss") for row in rows] for name, rows in histories.items()}
    reached = {name: [x for x in found if x is not None] for name, found in losses.items()}
    if len(reached) < 2 or not all(x and min(x) < x[0] for x in reached.values()):
        return [dict(total) for total in totals]
    common = max(min(found) for found in reached.values())
    return [
        {**total, COMMON_LOSS: common, COMMON_PAYLOAD: _payload_to(histories[name], common)}
        for total in totals
        for name in [total["method"]]
    ]


def _payload_to(history: Iterable[Mapping[str, Any]], loss: float) -> int | None:
    """Return the payload of the rounds until the loss is reached."""
    sent = 0
    for row in history:
        sent += int(row["uplink_payload_bytes"])
        if row.get("loss") is not None and row["loss"] <= loss:
            return sent
    return None


def reasons(records: Iterable[Any]) -> list[dict[str, Any]]:
    """Return why replies were rejected or failed, the most frequent reasons first, at most 20.

    Parameters
    ----------
    records : iterable of RoundRecord
        ``strategy.history``.

    Returns
    -------
    list of dict
        ``reason``, ``count`` of replies and ``first_round``.
    """
    found: dict[str, list[int]] = {}
    for record in records:
        for reason in record.reasons:
            found.setdefault(reason, []).append(record.round)
    most = sorted(found.items(), key=lambda entry: -len(entry[1]))[:MOST_REASONS]
    return [
        {"reason": reason, "count": len(rounds), "first_round": rounds[0]}
        for reason, rounds in most
    ]


def headline(study: str, config: Mapping[str, Any], clients: int | None = None) -> str:
    """Return one line that says what was run, for the table and for the figures.

    Examples
    --------
    >>> headline("quickstart", {"data": "digits", "partition": "dirichlet:0.3"}, 20)
    'quickstart · digits · dirichlet:0.3 · 20 clients'
    """
    data = str(config.get("data", "")).rpartition("/")[2]
    clients = clients if clients is not None else config.get("clients")
    parts = [study, data, str(config.get("partition", "")), f"{clients} clients" if clients else ""]
    return " · ".join(part for part in parts if part)


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Return one line with a problem's sizes and smoothness constants, as far as they are known.

    L_QM/L_AM says how much the clients' smoothness constants vary: 1 where they are all equal.

    Examples
    --------
    >>> describe_problem({"rows": 1797, "dimension": 640, "L": 0.5, "L_AM": 1.25, "L_QM": 1.5})
    '1,797 rows, 640 parameters, L = 0.5, L_AM = 1.25, L_QM/L_AM = 1.2'
    """
    sizes = [("rows", "rows"), ("dimension", "parameters")]
    parts = [f"{problem[key]:,} {word}" for key, word in sizes if key in problem]
    parts += [f"{key} = {problem[key]:.4g}" for key in ("L", "L_AM") if problem.get(key)]
    if problem.get("L_AM") and problem.get("L_QM"):
        parts.append(f"L_QM/L_AM = {problem['L_QM'] / problem['L_AM']:.4g}")
    return ", ".join(parts)
