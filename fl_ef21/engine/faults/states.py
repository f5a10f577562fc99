"""All that a client has stored, in its context or in its folder, to keep, lose and bring back."""

from dataclasses import dataclass
from typing import Self

from flwr.app import Context, RecordDict

from fl_ef21.flower.client.mod import client_key
from fl_ef21.flower.client.state_directory import StateDirectory
from fl_ef21.flower.protocol.records import copy_records


@dataclass(frozen=True)
class StoredState:
    """A client's state at some time.

    Attributes
    ----------
    records : RecordDict
        ``context.state``, which ends with the client's process.
    file : bytes or None
        What lies in its ``state-dir``, if it has one and has stored anything.
    """

    records: RecordDict
    file: bytes | None

    @classmethod
    def of(cls, context: Context) -> Self:
        """Copy what a client has stored."""
        home = StateDirectory.of(context, client_key(context))
        file = home.path.read_bytes() if home is not None and home.path.exists() else None
        return cls(copy_records(context.state), file)

    def bring_back(self, context: Context) -> None:
        """Put it in the place of what the client has stored now."""
        context.state = copy_records(self.records)
        home = StateDirectory.of(context, client_key(context))
        if home is None:
            return
        if self.file is None:
            home.path.unlink(missing_ok=True)
        else:
            home.path.write_bytes(self.file)


NOTHING = StoredState(RecordDict(), None)
"""The state of a client that is new, or whose disk is."""


def end_process(context: Context) -> None:
    """Let a client's process end: its disk stays."""
    context.state = RecordDict()


def log_records(context: Context) -> RecordDict:
    """Return the records in which a client finds its log."""
    home = StateDirectory.of(context, client_key(context))
    return context.state if home is None else home.load()
