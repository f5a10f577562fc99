"""Append-only records of what has happened, a line of JSON each."""

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray


class Journal:
    """A file that lines are added to; without a file it does nothing.

    A line is with the operating system when :meth:`write` returns, so that it survives the end of
    the process in whatever way.

    Parameters
    ----------
    path : pathlib.Path or None
        The file; its folder is made.

    Raises
    ------
    OSError
        If the folder cannot be made.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    @classmethod
    def within(cls, folder: str | Path | None, name: str) -> Self:
        """Return the journal of a folder, or the one that does nothing."""
        return cls(None if not folder else Path(folder) / name)

    def __bool__(self) -> bool:
        """Whether anything is written."""
        return self.path is not None

    def write(self, event: str, **values: object) -> None:
        """Add a line: bytes as hexadecimal digits.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        if self.path is None:
            return
        told = {k: v.hex() if isinstance(v, bytes) else v for k, v in values.items()}
        line = json.dumps({"event": event, **told}) + "\n"
        with self.path.open("ab") as file:
            if file.tell() and not self._ends_with_a_line():
                line = "\n" + line  # what a process that was killed has begun
            file.write(line.encode())

    def _ends_with_a_line(self) -> bool:
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"


def read_journal(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a journal; a line that was cut short by the end of a process is skipped.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(event, dict) and "event" in event:
                yield event


def fingerprint(vector: NDArray[Any]) -> str:
    """Return sixteen hexadecimal digits that differ for vectors that differ in a bit."""
    return blake2b(vector.tobytes(), digest_size=8, person=b"fl-ef21").hexdigest()
