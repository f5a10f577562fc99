"""The folder of a sweep: one sub-folder a run, and ``sweep.json``, which says how far it is."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from fl_ef21.report.run_folder import RunFolder, replace_json

STATE_FILE: Final = "sweep.json"
LONGEST: Final = 100
"""Letters of a folder's name; its number makes it unique."""


class State(StrEnum):
    """Of one run of a sweep."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """One run of a sweep.

    Parameters
    ----------
    folder : str
        Name of its sub-folder.
    settings : mapping
        What replaces the study's defaults.
    state : State
        How far it is.
    reason : str
        Why it failed, if it did.
    """

    folder: str
    settings: Mapping[str, Any]
    state: State = State.WAITING
    reason: str = ""


@dataclass
class SweepFolder:
    """The runs of a sweep.

    Mutable: it is the one place where the state of a sweep lives, and every change is written to
    ``sweep.json`` before it returns.

    Parameters
    ----------
    path : Path
        The folder.
    study : str
        The study's folder, absolute.
    entries : list of Entry
        The runs in the order in which they are made.
    """

    path: Path
    study: str
    entries: list[Entry]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the sweep in a folder; runs that were stopped count as waiting.

        Raises
        ------
        ValueError
            If ``sweep.json`` is missing or damaged.
        """
        file = path / STATE_FILE
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            entries = [Entry(**{**run, "state": State(run["state"])}) for run in state["runs"]]
            names = [entry.folder for entry in entries]
            if outside := [name for name in names if Path(name).name != name]:
                raise ValueError(f"{outside[0]!r} is no name of a sub-folder")
            folder = cls(path, str(state["study"]), entries)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{file} is no record of a sweep ({error}); give another --out, or remove {path}"
            ) from error
        folder.entries = [folder._settled(entry) for entry in entries]
        return folder

    @classmethod
    def continued(cls, path: Path, study: str, wanted: Sequence[Mapping[str, Any]]) -> Self:
        """Return the sweep in a folder with the runs that are wanted now, new ones at its end.

        Parameters
        ----------
        path : Path
            The folder; it need not hold a sweep yet.
        study : str
            The study's folder, absolute.
        wanted : sequence of mapping
            The settings of each run.

        Raises
        ------
        ValueError
            If the folder holds a sweep of another study, or one with runs that are not wanted.
        """
        old = cls.open(path) if (path / STATE_FILE).exists() else cls(path, study, [])
        others = [entry.folder for entry in old.entries if entry.settings not in wanted]
        if old.study != study or others:
            raise ValueError(
                f"{path} holds another sweep, of {old.study}, with"
                f" {', '.join(others) or 'other runs'}; give another --out. To add runs to a"
                " sweep, keep all of its runs in the grid"
            )
        known = [entry.settings for entry in old.entries]
        added = [settings for settings in wanted if settings not in known]
        first = len(known) + 1
        old.entries += [Entry(_name(first + i, s, wanted), s) for i, s in enumerate(added)]
        return old

    def waiting(self) -> list[Entry]:
        """Return the runs that have not finished, failed ones included."""
        return [entry for entry in self.entries if entry.state is not State.FINISHED]

    def finished(self) -> list[Path]:
        """Return the folders of the runs that have finished."""
        done = (entry for entry in self.entries if entry.state is State.FINISHED)
        return [self.path / entry.folder for entry in done]

    def folder_of(self, entry: Entry) -> Path:
        """Return the path of a run's sub-folder."""
        return self.path / entry.folder

    def clear(self, entry: Entry) -> None:
        """Remove what a run that did not finish has left."""
        shutil.rmtree(self.folder_of(entry), ignore_errors=True)

    def note(self, entry: Entry, state: State, reason: str = "") -> Entry:
        """Write down how far a run is, and return its new entry."""
        place = next(i for i, known in enumerate(self.entries) if known.folder == entry.folder)
        self.entries[place] = replace(entry, state=state, reason=reason)
        self.write()
        return self.entries[place]

    def write(self) -> None:
        """Write ``sweep.json`` in one step: a reader sees all of it or none."""
        replace_json(
            self.path / STATE_FILE,
            {"study": self.study, "runs": [asdict(entry) for entry in self.entries]},
        )

    def _settled(self, entry: Entry) -> Entry:
        """Return an entry as the run's own folder tells it; a summary is its last word."""
        if RunFolder(self.folder_of(entry)).is_finished():
            return replace(entry, state=State.FINISHED, reason="")
        if entry.state is State.FAILED:
            return entry
        return replace(entry, state=State.WAITING)


def _name(number: int, settings: Mapping[str, Any], wanted: Sequence[Mapping[str, Any]]) -> str:
    """Return a folder's name: a number, and the settings that vary, as far as files may say them.

    Examples
    --------
    >>> wanted = [{"rounds": 5, "compressor": "topk:1"}, {"rounds": 5, "compressor": "topk:0.5"}]
    >>> _name(2, wanted[1], wanted)
    '002_compressor-topk-0.5'
    """
    varied = [key for key in settings if any(w.get(key) != settings[key] for w in wanted)]
    words = [f"{number:03}", *(f"{key}-{settings[key]}" for key in varied)]
    plain = "_".join(words)
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in plain)
    return safe[:LONGEST].rstrip("-._")
