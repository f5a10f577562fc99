"""A client's log in a folder of its own, for clients whose process or machine may stop."""

import re
from dataclasses import dataclass
from logging import WARNING
from pathlib import Path
from typing import Any, Final, Self

from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.common import log
from numpy.typing import NDArray

from fl_ef21.flower.client.vectors import to_array, to_vector
from fl_ef21.flower.protocol.records import own_records
from fl_ef21.flower.storage import ArchiveError, file_name, load, save
from fl_ef21.methods import Snapshot

KEY: Final = "state-dir"
"""Name in the node config, or in the run config, of the folder."""

KIND: Final = "client state"

KEPT: Final = 3
"""Files of a client, the newest ones: of this run, and of others at the same time or before it."""

_ENDING: Final = ".state"


@dataclass(frozen=True)
class StateDirectory:
    """Where a client keeps its log on disk, in place of ``context.state``.

    Each client has one file for each epoch of a server's log, so that several clients and several
    runs may share a folder: with one file for all runs, each turn in one of them would be a lost
    state in the others. It is replaced as a whole before the reply is sent: after a power cut it
    holds the turn before or the last one, and the server's next ack fits either.

    Attributes
    ----------
    path : pathlib.Path
        The client's file in an epoch.
    client : str
        Its key.
    """

    path: Path
    client: str

    @classmethod
    def of(cls, context: Context, client: str, epoch: bytes) -> Self | None:
        """Return the folder that a node is configured with; ``None`` if it keeps none.

        Raises
        ------
        OSError
            If the folder is not there and cannot be made.
        """
        folder = folder_of(context)
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / file_name(client, f".{epoch.hex()}{_ENDING}"), client)

    def load(self) -> RecordDict:
        """Return the stored records; none if there is no file that can be used.

        A file that is damaged, or that is another client's, is left where it is until the next
        turn replaces it: the client joins again.
        """
        try:
            found = load(self.path, KIND)
            if found.values["client"] != self.client:
                raise ArchiveError(f"{self.path} is that of client {found.values['client']}")
            return _records(found)
        except FileNotFoundError:
            return RecordDict()
        except (ArchiveError, KeyError, TypeError) as error:
            log(WARNING, "client %s joins again: %s", self.client, error)
            return RecordDict()

    def save(self, records: RecordDict) -> None:
        """Replace the stored records by those of this library.

        The first time in an epoch the oldest files of the client are removed, so that a few stay.

        Raises
        ------
        OSError
            If they cannot be written; what was stored before is still there.
        """
        is_new = not self.path.exists()
        save(self.path, KIND, _snapshot(self.client, records))
        if is_new:
            others = [f for f in files_of(self.path.parent, self.client) if f != self.path]
            for old in others[: 1 - KEPT]:
                old.unlink(missing_ok=True)


def folder_of(context: Context) -> Path | None:
    """Return the folder that a node is configured with, whether it is there or not."""
    folder = context.node_config.get(KEY) or context.run_config.get(KEY)
    return Path(str(folder)) if folder else None


def files_of(folder: Path, client: str) -> list[Path]:
    """Return a client's files in all epochs, the newest last.

    One without an epoch in its name is an earlier version's.
    """
    name = re.compile(re.escape(file_name(client, "")) + r"(\.[0-9a-f]+)?" + re.escape(_ENDING))
    return sorted((f for f in folder.glob(f"*{_ENDING}") if name.fullmatch(f.name)), key=_written)


def _written(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except FileNotFoundError:  # another run has just removed it
        return 0, path.name


def _snapshot(client: str, records: RecordDict) -> Snapshot:
    arrays: dict[str, NDArray[Any]] = {}
    configs: dict[str, Any] = {}
    for name, record in own_records(records).items():
        if isinstance(record, ArrayRecord):
            arrays.update({f"{name}/{key}": to_vector(array) for key, array in record.items()})
            configs[name] = list(record)
        else:
            configs[name] = dict(record)
    return Snapshot(arrays, {"client": client, "records": configs})


def _records(snapshot: Snapshot) -> RecordDict:
    records = RecordDict()
    for name, told in snapshot.values["records"].items():
        if isinstance(told, dict):
            records[name] = ConfigRecord(told)
            continue
        records[name] = ArrayRecord(
            {key: to_array(snapshot.arrays[f"{name}/{key}"]) for key in told}
        )
    return records
