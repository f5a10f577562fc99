"""The folder that one run writes and everything else reads.

``config.json`` is written first and says what was asked for, ``history.jsonl`` grows by one row a
round while the run lives, ``summary.json`` is written last: its presence means that the run ended.
"""

import json
import math
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np

from fl_ef21._version import __version__

Row = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """A run's records: its configuration, its history and its summary.

    Parameters
    ----------
    path : Path
        An existing run folder. A new one is made with :meth:`create`.
    """

    path: Path

    @classmethod
    def create(cls, path: Path | str, config: Mapping[str, Any]) -> Self:
        """Start a run's records at ``path`` and write ``config.json``.

        Parameters
        ----------
        path : Path or str
            Absolute: the engines start their processes in folders of their own.
        config : Mapping
            The run config. The time and the versions of fl_ef21, flwr, numpy and python are added
            to it.

        Raises
        ------
        ValueError
            If ``path`` is relative.
        FileExistsError
            If the folder already holds a run.
        OSError
            If nothing can be written there.
        """
        folder = cls(claim(path))
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        replace_json(
            folder.path / "config.json", {**config, "started": started, "versions": versions()}
        )
        folder.history_path.touch()
        return folder

    @classmethod
    def resumed(cls, path: Path | str, done: Mapping[str, int], /, **changed: object) -> Self:
        """Open the records of a run that goes on, as they were after its last checkpoints.

        Parameters
        ----------
        path : Path or str
            The run folder.
        done : mapping of int by str
            The last round of each method's checkpoint, by label. Later rows are removed, and so
            are all of a method that has none: its rounds are run again.
        **changed
            What is different in ``config.json`` from now on.

        Raises
        ------
        FileNotFoundError
            If there is no run.
        """
        folder = cls(Path(path))
        config = {**folder.config(), **changed}
        kept = [row for row in folder.rows() if row["round"] <= done.get(row["method"], -1)]
        (folder.path / "summary.json").unlink(missing_ok=True)
        replace_json(folder.path / "config.json", config)
        unfinished = folder.history_path.with_name("history.jsonl.unfinished")
        unfinished.write_text("".join(f"{_to_json(row)}\n" for row in kept), encoding="utf-8")
        os.replace(unfinished, folder.history_path)  # noqa: PTH105 - atomic by its documentation
        return folder

    @property
    def history_path(self) -> Path:
        """The file with one row a round."""
        return self.path / "history.jsonl"

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row to the history, visible to readers when this returns."""
        with self.history_path.open("a", encoding="utf-8") as history:
            history.write(_to_json(row) + "\n")

    def rows(self) -> list[Row]:
        """Return the history so far; of a live run, without a last line still being written."""
        return HistoryReader(self.history_path).read()

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json`` in one step: a reader sees all of it or none."""
        replace_json(self.path / "summary.json", summary)

    def is_finished(self) -> bool:
        """Say whether the run has written its summary, the last thing that it does."""
        return (self.path / "summary.json").exists()

    def summary(self) -> Row:
        """Return the summary of a finished run; ``FileNotFoundError`` while it is running."""
        return self._load("summary.json")

    def config(self) -> Row:
        """Return what the run was asked to do, and the versions that did it."""
        return self._load("config.json")

    def _load(self, name: str) -> Row:
        loaded: Row = json.loads((self.path / name).read_text(encoding="utf-8"))
        return loaded


class HistoryReader:
    """Read a growing history piece by piece, never parsing a row twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[Row]:
        """Return the rows completed since the last call; none while there is no file."""
        try:
            with self._path.open("rb") as history:
                history.seek(self._offset)
                added = history.read()
        except FileNotFoundError:
            return []
        complete = added[: added.rfind(b"\n") + 1]
        self._offset += len(complete)
        return [json.loads(line) for line in complete.splitlines()]


def claim(path: Path | str) -> Path:
    """Make the folder for a new run and prove that it can be written to.

    Called before an engine is started, so that a run never computes for an hour and then has no
    place for its result. The exceptions are those of :meth:`RunFolder.create`.
    """
    folder = Path(path)
    if not folder.is_absolute():
        raise ValueError(
            f"run folder {str(folder)!r} is relative, but the engines run in other folders;"
            f" give an absolute path such as {str(folder.absolute())!r}"
        )
    if (folder / "config.json").exists() or (folder / "history.jsonl").exists():
        raise FileExistsError(
            f"{folder} already holds a run; give another --out, or remove that folder first"
        )
    return writable(folder)


def writable(folder: Path) -> Path:
    """Make a folder unless it is there, and prove that it can be written to.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write to the run folder {folder} ({error.strerror});"
            " give an --out in a folder that you may write to"
        ) from error
    return folder


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one step: a reader sees all of the old one or all of the new."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(_to_json(value, indent=2) + "\n", encoding="utf-8")
    os.replace(unfinished, path)  # noqa: PTH105 - atomic by its documentation


def versions() -> dict[str, str]:
    """Return the versions that a run's numbers depend on."""
    return {
        "fl_ef21": __version__,
        "flwr": metadata.version("flwr"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _to_json(value: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(_plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _plain(value: object) -> object:
    """Reduce to what JSON can say: numpy to Python numbers and lists, NaN and infinity to null."""
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
