"""Several runs laid over each other: their methods under names that tell them apart."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fl_ef21.report.run_folder import Row
from fl_ef21.report.runs import Run
from fl_ef21.report.summary import by_method, with_common_loss

NOT_COMPARED = ("out", "versions", "started")
"""What differs between any two runs and explains nothing."""


@dataclass(frozen=True)
class Comparison:
    """The methods of several runs as if one run had had them all.

    Parameters
    ----------
    rows : list of dict
        The histories, one after the other, with names that tell them apart as ``method``.
    totals : list of dict
        One row for each of those names.
    varied : tuple of str
        The settings in which the runs differ.
    runs : sequence of Run
        All of them.
    """

    rows: list[Row]
    totals: list[dict[str, Any]]
    varied: tuple[str, ...]
    runs: Sequence[Run]


@dataclass(frozen=True)
class _Curve:
    """One history, and the runs that have it: the baseline of a sweep belongs to all of them."""

    method: str
    history: Sequence[Mapping[str, Any]]
    runs: list[Run]

    def settings(self, keys: Iterable[str]) -> dict[str, str]:
        """Return settings as texts, with all values where its runs have several."""
        values = {
            key: dict.fromkeys(_text(run.config[key]) for run in self.runs if key in run.config)
            for key in keys
        }
        return {key: " or ".join(found) for key, found in values.items() if found}


def compare(runs: Sequence[Run]) -> Comparison:
    """Lay runs over each other.

    A method keeps its name where no other run has one of that name; else what tells the runs apart
    is added: the settings in which they differ, or their folders. Methods of one name with the same
    history, such as the uncompressed baseline of every run of a sweep, are shown once.

    Parameters
    ----------
    runs : sequence of Run
        At least one.
    """
    varied = varied_settings(runs)
    curves = _curves(runs)
    rows: list[Row] = []
    totals: list[dict[str, Any]] = []
    for curve, name in zip(curves, _names(curves, varied), strict=True):
        run = curve.runs[0]
        rows += [{**row, "method": name} for row in curve.history]
        (total,) = (total for total in run.totals() if total["method"] == curve.method)
        known = {"method": name, "folder": str(run.folder.path), **curve.settings(varied)}
        totals.append({**known, **total, "method": name})
    return Comparison(rows, with_common_loss(totals, rows), varied, runs)


def varied_settings(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the keys of the run configs whose values are not the same in all runs."""
    keys = dict.fromkeys(key for run in runs for key in run.config if key not in NOT_COMPARED)
    return tuple(key for key in keys if _differ([run.config.get(key) for run in runs]))


def _curves(runs: Sequence[Run]) -> list[_Curve]:
    found: dict[str, _Curve] = {}
    for run in runs:
        for method, history in by_method(run.rows).items():
            key = json.dumps([_comparable(row) for row in history])
            found.setdefault(key, _Curve(method, history, [])).runs.append(run)
    return list(found.values())


def _comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without wall times, which are never the same."""
    return {key: value for key, value in row.items() if not key.endswith("seconds")}


def _names(curves: Sequence[_Curve], varied: Sequence[str]) -> list[str]:
    """Return the methods, with what tells those of one name apart."""
    groups: dict[str, list[_Curve]] = {}
    for curve in curves:
        groups.setdefault(curve.method, []).append(curve)
    added = {
        id(curve): f" · {text}" if text else ""
        for group in groups.values()
        for curve, text in zip(group, _apart(group, varied), strict=True)
    }
    return [curve.method + added[id(curve)] for curve in curves]


def _apart(curves: Sequence[_Curve], varied: Sequence[str]) -> list[str]:
    """Return a text for each of several curves of one method, all different."""
    if len(curves) == 1:
        return [""]
    found = [curve.settings(varied) for curve in curves]
    keys = _fewest(found, list(varied))
    texts = [" ".join(f"{key}={s[key]}" for key in keys if key in s) for s in found]
    names = [curve.runs[0].folder.path.name for curve in curves]
    paths = [str(curve.runs[0].folder.path) for curve in curves]
    return next((t for t in (texts, names) if all(t) and len(set(t)) == len(t)), paths)


def _fewest(found: Sequence[Mapping[str, str]], keys: Sequence[str]) -> list[str]:
    """Return few keys, in their order, whose values are together different for all, if any are."""

    def told_apart(chosen: Iterable[str]) -> int:
        return len({tuple(settings.get(key) for key in chosen) for settings in found})

    chosen: list[str] = []
    while told_apart(chosen) < len(found):
        best = max(keys, key=lambda key: told_apart([*chosen, key]), default="")
        if told_apart([*chosen, best]) == told_apart(chosen):
            break
        chosen.append(best)
    return [key for key in keys if key in chosen]


def _text(value: object) -> str:
    return "none" if value == "" else str(value)


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)
