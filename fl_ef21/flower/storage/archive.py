"""Named arrays and plain values in one file: numpy's npz, whose members carry checksums."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from fl_ef21.flower.storage.atomic import write_atomically
from fl_ef21.methods import Snapshot

FORMAT: Final = 2
"""Version of the files; a reader refuses any later one."""

_BYTES: Final = {1: "bytes", 2: "$bytes"}
"""The one key of an object that stands for bytes, by version. In version 1 a mapping of somebody
else's could have the same; since then ``$`` is doubled where a key of theirs begins with it."""

_ABOUT: Final = "about"


class ArchiveError(ValueError):
    """A file that is damaged, or that is not what was asked for; the text names it."""


def save(path: Path, kind: str, snapshot: Snapshot) -> None:
    """Write a snapshot, atomically.

    Parameters
    ----------
    path : pathlib.Path
        Replaced if it is there.
    kind : str
        What the file is, such as ``"client state"``; a reader asks for it.
    snapshot : Snapshot
        To write.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    about = {
        "kind": kind,
        "format": FORMAT,
        "names": list(snapshot.arrays),
        "values": _encoded(snapshot.values),
    }
    text = json.dumps(about).encode()
    members: dict[str, Any] = {f"array-{i}": a for i, a in enumerate(snapshot.arrays.values())}
    members[_ABOUT] = np.frombuffer(text, np.uint8)

    def write(file: BinaryIO) -> None:
        np.savez(file, **members)

    write_atomically(path, write)


def load(path: Path, kind: str) -> Snapshot:
    """Read an archive back, every byte checked.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ArchiveError
        If it is cut short, damaged, of another kind, or of another version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
            about = json.loads(members[_ABOUT].tobytes())
            _check(path, about, kind)
            arrays = {name: members[f"array-{i}"] for i, name in enumerate(about["names"])}
            return Snapshot(arrays, _decoded(about["values"], _BYTES[about["format"]]))
    except (zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, ArchiveError | FileNotFoundError | PermissionError):
            raise
        raise ArchiveError(f"{path} is cut short or damaged: {error}") from error


def _check(path: Path, about: Mapping[str, Any], kind: str) -> None:
    if about["kind"] != kind:
        raise ArchiveError(f"{path} holds a {about['kind']}, not a {kind}")
    if about["format"] not in _BYTES:
        raise ArchiveError(
            f"{path} has format {about['format']}, and this version of fl-ef21 reads up to {FORMAT}"
        )


def _encoded(value: Any) -> Any:  # noqa: ANN401 - what JSON can say, and bytes
    """Return a value with bytes as JSON can say them."""
    if isinstance(value, bytes):
        return {_BYTES[FORMAT]: value.hex()}
    if isinstance(value, Mapping):
        return {_escaped(key): _encoded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    return value


def _decoded(value: Any, mark: str) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_decoded(item, mark) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {mark}:
        return bytes.fromhex(value[mark])
    escaped = mark.startswith("$")
    return {
        key[1:] if escaped and key.startswith("$") else key: _decoded(item, mark)
        for key, item in value.items()
    }


def _escaped(key: object) -> object:
    return f"${key}" if isinstance(key, str) and key.startswith("$") else key
