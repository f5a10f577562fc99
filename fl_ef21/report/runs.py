"""Runs that others have written, read with an answer to whatever is wrong with them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fl_ef21.report.run_folder import Row, RunFolder
from fl_ef21.report.summary import headline, summarise
from fl_ef21.report.sweep_folder import STATE_FILE, SweepFolder

NEEDED = ("method", "round", "uplink_payload_bytes")


@dataclass(frozen=True)
class Run:
    """The records of one run.

    Parameters
    ----------
    folder : RunFolder
        Where they are.
    config : mapping
        What was asked for.
    rows : list of dict
        The history.
    summary : mapping
        Of a finished run, else empty.
    """

    folder: RunFolder
    config: Mapping[str, Any]
    rows: list[Row]
    summary: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a run folder.

        Raises
        ------
        ValueError
            If there is none, or a file of it is missing or damaged: with its name and the fix.
        """
        if not path.exists():
            raise ValueError(
                f"there is no folder {path}; give one that fl-ef21 simulate or a study has written"
            )
        folder = RunFolder(path)
        config = _load(path / "config.json")
        rows = _load_rows(folder.history_path)
        summary = _load(path / "summary.json") if folder.is_finished() else {}
        return cls(folder, config, rows, summary)

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end."""
        return bool(self.summary)

    @property
    def problem(self) -> Mapping[str, Any]:
        """What the study says of its problem; empty where it says nothing."""
        problem: Mapping[str, Any] = self.summary.get("problem", {})
        return problem

    @property
    def study(self) -> str:
        """The study's name, as far as it is known."""
        return str(self.summary.get("study", ""))

    @property
    def title(self) -> str:
        """One line that says what was run."""
        return headline(self.study, self.config, self.problem.get("clients"))

    def totals(self) -> list[dict[str, Any]]:
        """Return the totals, method by method, as the study has written them where it has."""
        return list(self.summary.get("methods") or summarise(self.rows))


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """Read run folders, of a sweep all runs that are finished, and each only once.

    Raises
    ------
    ValueError
        As :meth:`Run.read`, or if a sweep has no finished run.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not (path / STATE_FILE).exists():
            found[path] = None
            continue
        finished = SweepFolder.open(path).finished()
        if not finished:
            raise ValueError(f"the sweep in {path} has no finished run; start its command again")
        found.update(dict.fromkeys(finished))
    return [Run.read(path) for path in found]


def _load(path: Path) -> Mapping[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{path.parent} is no run folder: its {path.name} cannot be read ({error.strerror});"
            " give the folder of one run"
        ) from error
    except ValueError as error:
        raise ValueError(_damaged(path, str(error))) from error
    if not isinstance(loaded, dict):
        raise ValueError(_damaged(path, "it is no JSON object"))
    return loaded


def _load_rows(path: Path) -> list[Row]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ValueError(
            f"{path.parent} is no run folder: its {path.name} cannot be read ({error.strerror});"
            " give the folder of one run"
        ) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break  # still being written
        rows.append(_row(path, number, line))
    if not rows:
        raise ValueError(f"{path} has no row yet; wait for the run's first round, or run it again")
    return rows


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(_damaged(path, f"line {number}: {error}")) from error
    if not isinstance(row, dict) or any(key not in row for key in NEEDED):
        raise ValueError(_damaged(path, f"line {number} is no row with {', '.join(NEEDED)}"))
    return row


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged ({reason}); leave {path.parent} out, or run it again"
