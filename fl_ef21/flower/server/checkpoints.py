"""Checkpoints of a run on disk: each written whole, named by its round, the last two kept."""

import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from fl_ef21.compressors.arguments import is_whole
from fl_ef21.flower.storage import ArchiveError, load, save
from fl_ef21.methods import Snapshot

KIND: Final = "server checkpoint"
KEPT: Final = 2

_PATTERN: Final = "round-*.checkpoint"


class CheckpointError(ValueError):
    """A checkpoint that is not there, is damaged, or belongs to another run; the text names it."""


class Checkpoints:
    """The checkpoints of a run.

    Parameters
    ----------
    folder : path-like, optional
        Where they go; none are written by default.
    every : int
        Rounds from one to the next, at least 1.

    Raises
    ------
    ValueError
        If ``every`` is below 1.
    OSError
        If the folder cannot be made.
    """

    def __init__(self, folder: str | Path | None = None, every: int = 1) -> None:
        if not is_whole(every) or every < 1:
            raise ValueError(f"checkpoint_every={every!r} is not a number of rounds from 1 up")
        self.folder = None if folder is None else Path(folder)
        self.every = int(every)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def last_round(self) -> int | None:
        """Return the round of the last checkpoint; ``None`` if there is none."""
        found = self._found()
        return round_of(found[-1]) if found else None

    def resumable(self) -> Path | None:
        """Return the folder if there is a checkpoint in it to go on from."""
        return self.folder if self.last_round() is not None else None

    def due(self, server_round: int) -> bool:
        """Say whether a round ends with a checkpoint."""
        return self.folder is not None and server_round % self.every == 0

    def write(self, server_round: int, snapshot: Snapshot) -> None:
        """Write a checkpoint, then remove what is older than the one before.

        A later one, which only another run in the same folder can have written, stays.

        Raises
        ------
        OSError
            If it cannot be written; the one before is still there.
        """
        assert self.folder is not None
        path = self.folder / f"round-{server_round:09d}.checkpoint"
        save(path, KIND, snapshot)
        older = [found for found in self._found() if found.name < path.name]
        for old in older[: 1 - KEPT]:
            old.unlink()

    def foreign(self, after: Path | None) -> list[Path]:
        """Return the checkpoints in the folder that are not of a run, before its first round.

        They would be taken for its own by their numbers: to be removed as too old, or to be gone
        on from as the last ones.

        Parameters
        ----------
        after : pathlib.Path or None
            The checkpoint that the run goes on from; ``None`` is a new run.
        """
        found = self._found()
        if after is None or after.resolve() not in [path.resolve() for path in found]:
            return found
        return [path for path in found if path.name > after.name]

    def place_aside(self) -> Path:
        """Make a sub-folder, named by the time, for what other runs have left.

        Raises
        ------
        OSError
            If it cannot be made.
        """
        assert self.folder is not None
        name = time.strftime("before-%Y%m%dT%H%M%SZ", time.gmtime())
        for suffix in count(1):
            place = self.folder / (name if suffix == 1 else f"{name}-{suffix}")
            with suppress(FileExistsError):
                place.mkdir()
                break
        return place

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob(_PATTERN)) if self.folder else []


def round_of(path: Path) -> int:
    """Return the round after which a checkpoint was written, by its name."""
    return int(path.stem.removeprefix("round-"))


def read_checkpoint(place: str | Path) -> tuple[Path, Snapshot]:
    """Return a checkpoint and its file: the file itself, or the last one of a folder.

    Raises
    ------
    CheckpointError
        If there is none, or it is damaged or of another version. An older one is never taken in
        its place without being asked for.
    """
    path = Path(place)
    if path.is_dir():
        found = sorted(path.glob(_PATTERN))
        if not found:
            raise CheckpointError(f"{path} has no checkpoint; give the checkpoint_dir of a run")
        path = found[-1]
    try:
        return path, load(path, KIND)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is not there; give the checkpoint_dir of a run") from error
    except ArchiveError as error:
        others = [p.name for p in sorted(path.parent.glob(_PATTERN)) if p != path]
        older = f"; beside it is {others[-1]}, which can be given in its place" if others else ""
        raise CheckpointError(f"{error}{older}") from error
