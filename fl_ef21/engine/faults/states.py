"""All that a client has stored, in its context or in its folder, to keep, lose and bring back."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from flwr.app import Context, RecordDict

from fl_ef21.flower.client.mod import client_key
from fl_ef21.flower.client.state_directory import StateDirectory, files_of, folder_of
from fl_ef21.flower.protocol.records import copy_records


class _File(NamedTuple):
    content: bytes
    written: int  # in nanoseconds: the oldest files are removed


@dataclass(frozen=True)
class StoredState:
    """A client's state at some time.

    Attributes
    ----------
    records : RecordDict
        ``context.state``, which ends with the client's process.
    files : mapping of pathlib.Path to its content and time
        What lies in its ``state-dir``, if it has one and has stored anything.
    """

    records: RecordDict
    files: Mapping[Path, _File] = field(default_factory=dict)

    @classmethod
    def of(cls, context: Context) -> Self:
        """Copy what a client has stored."""
        files = {f: _File(f.read_bytes(), f.stat().st_mtime_ns) for f in _files(context)}
        return cls(copy_records(context.state), files)

    def bring_back(self, context: Context) -> None:
        """Put it in the place of what the client has stored now."""
        context.state = copy_records(self.records)
        for path in _files(context):
            path.unlink()
        for path, file in self.files.items():
            path.write_bytes(file.content)
            os.utime(path, ns=(file.written, file.written))


NOTHING = StoredState(RecordDict())
"""The state of a client that is new, or whose disk is."""


def end_process(context: Context) -> None:
    """Let a client's process end: its disk stays."""
    context.state = RecordDict()


def log_records(context: Context, epoch: bytes) -> RecordDict:
    """Return the records in which a client finds its log in an epoch."""
    home = StateDirectory.of(context, client_key(context), epoch)
    return context.state if home is None else home.load()


def _files(context: Context) -> list[Path]:
    folder = folder_of(context)
    return [] if folder is None else files_of(folder, client_key(context))
