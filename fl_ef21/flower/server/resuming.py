"""From a run to its checkpoint, and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fl_ef21.compressors import Support
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.server.checkpoints import CheckpointError, read_checkpoint
from fl_ef21.flower.server.clients import by_client
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.methods import Snapshot
from fl_ef21.theory import Constants

IDENTITY: Final = "identity"
MODEL: Final = "model"
HISTORY: Final = "history"


@dataclass(frozen=True)
class Resumed:
    """What a checkpoint holds.

    Attributes
    ----------
    path : pathlib.Path
        Its file.
    snapshot : Snapshot
        All of it, by part.
    epoch : bytes
        Of the log.
    round : int
        The last round that was finished.
    arrays : ArrayRecord
        The model after it.
    history : list of RoundRecord
        The rows until then.
    """

    path: Path
    snapshot: Snapshot
    epoch: bytes
    round: int
    arrays: ArrayRecord
    history: list[RoundRecord]


def identity(layout: Layout, settings: Mapping[str, object]) -> Snapshot:
    """Return what a checkpoint and the run that goes on from it have to agree on."""
    return Snapshot({}, {**{k: str(v) for k, v in settings.items()}, "model": str(layout)})


def told(values: Mapping[str, float]) -> str:
    """Return clients' numbers as an identity has them: how many, how large, and a digest.

    Six digits count: constants that were estimated again may differ in the last ones.

    Examples
    --------
    >>> told({"partition-id=0": 0.5, "partition-id=1": 1.0})
    '2 from 0.5 to 1 (4164a7c3)'
    """
    text = ";".join(f"{client} {value:.6g}" for client, value in sorted(values.items()))
    least, most = min(values.values()), max(values.values())
    return f"{len(values)} from {least:.6g} to {most:.6g} ({_digest(text.encode())})"


def told_constants(constants: Constants) -> str:
    """Return a problem's constants as an identity has them."""
    numbers = ";".join(f"{number:.6g}" for number in (*constants.p, constants.mu or 0.0))
    supports = [s.indices.tobytes() for s in constants.supports or () if isinstance(s, Support)]
    rest = _digest(numbers.encode(), *supports)
    clients = told(by_client(constants.L_i))
    return f"L {constants.L:.6g}, L_i {clients}, the rest ({rest})"


def _digest(*parts: bytes) -> str:
    found = blake2b(digest_size=4)
    for part in parts:
        found.update(part)
    return found.hexdigest()


def of_arrays(arrays: ArrayRecord) -> Snapshot:
    """Return the arrays of a model."""
    return Snapshot({name: array.numpy() for name, array in arrays.items()})


def to_arrays(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Return a model of its arrays."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def of_history(server_round: int, history: list[RoundRecord]) -> Snapshot:
    """Return the rows of a history."""
    return Snapshot({}, {"round": server_round, "rows": [asdict(row) for row in history]})


def resume(place: str | Path, expected: Snapshot) -> Resumed:
    """Read a checkpoint and check that it is one of this run.

    Raises
    ------
    CheckpointError
        If it cannot be read, or was written by a run with other settings; the text names both.
    """
    path, snapshot = read_checkpoint(place)
    try:
        found = snapshot.within(IDENTITY)
        _require_same(path, found.values, expected.values)
        rows = snapshot.values[HISTORY]["rows"]
        return Resumed(
            path=path,
            snapshot=snapshot,
            epoch=snapshot.values["ledger"]["epoch"],
            round=int(snapshot.values[HISTORY]["round"]),
            arrays=to_arrays(snapshot.within(MODEL).arrays),
            history=[_row(row) for row in rows],
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} lacks a part of a checkpoint: {error}") from error


def _require_same(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    # What an earlier version has not written down cannot be compared.
    other = [name for name in expected if name in found and found[name] != expected[name]]
    if other:
        pairs = "; ".join(f"{n} {found[n]!r}, not {expected[n]!r}" for n in other)
        raise CheckpointError(
            f"{path} was written by another run, with {pairs}; give the settings that it was "
            f"started with, or another checkpoint"
        )


def _row(values: Mapping[str, Any]) -> RoundRecord:
    known = {field.name: values[field.name] for field in fields(RoundRecord)}
    return RoundRecord(**{**known, "reasons": tuple(known["reasons"])})
