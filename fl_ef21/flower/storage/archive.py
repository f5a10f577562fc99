"""Named arrays and plain values in one file: numpy's npz, whose members carry checksums."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from fl_ef21.flower.storage.atomic import write_atomically
from fl_ef21.methods import Snapshot

FORMAT: Final = 1
"""Version of the files; a reader refuses any other."""

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
        "values": dict(snapshot.values),
    }
    text = json.dumps(about, default=_encode_bytes).encode()
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
            about = json.loads(members[_ABOUT].tobytes(), object_hook=_decode_bytes)
            _check(path, about, kind)
            arrays = {name: members[f"array-{i}"] for i, name in enumerate(about["names"])}
            return Snapshot(arrays, about["values"])
    except (zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, ArchiveError | FileNotFoundError | PermissionError):
            raise
        raise ArchiveError(f"{path} is cut short or damaged: {error}") from error


def _check(path: Path, about: Mapping[str, Any], kind: str) -> None:
    if about["kind"] != kind:
        raise ArchiveError(f"{path} holds a {about['kind']}, not a {kind}")
    if about["format"] != FORMAT:
        raise ArchiveError(
            f"{path} has format {about['format']}, and this version of fl-ef21 reads {FORMAT}"
        )


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    raise TypeError(f"{value!r} cannot be written into an archive")


def _decode_bytes(value: dict[str, Any]) -> object:
    return bytes.fromhex(value["bytes"]) if value.keys() == {"bytes"} else value
