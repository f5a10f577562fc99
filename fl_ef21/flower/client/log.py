"""A client's side of the log: what is committed, and the one message that may be pending.

Stored in ``context.state`` as two records, assigned once at the end of a step, so that an
exception on the way leaves the old log in place.
"""

from typing import Any, Final, NamedTuple, Self

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fl_ef21.compressors import Support
from fl_ef21.flower.client.vectors import to_array, to_vector
from fl_ef21.flower.protocol import RECORD, Ack, ProtocolError
from fl_ef21.flower.protocol.meant import meant_by, standing_for
from fl_ef21.flower.protocol.payload import SUPPORT, decode_shared
from fl_ef21.flower.protocol.records import entries, is_record
from fl_ef21.methods import Method, State
from fl_ef21.methods.method import NOTHING

_VECTORS = f"{RECORD}.vectors"
_PENDING = "pending."


class Pending(NamedTuple):
    """A message that was sent and not yet acknowledged.

    Attributes
    ----------
    position : Ack
        Its place in the log.
    message : bytes
        As it was sent.
    private : State
        The client's own vectors as they will be once the message is known to have been applied.
    """

    position: Ack
    message: bytes
    private: State = NOTHING

    def support(self, size: int) -> Support | None:
        """Return the coordinates that the message lies on, if only some are the client's."""
        return support_in(self.private, size)


_NONE: Final = Pending(Ack(), b"")
"""What is stored of a pending message if there is none."""


class ClientLog(NamedTuple):
    """The committed state, its place in the log, and the pending message.

    Attributes
    ----------
    epoch : bytes
        The run that the state belongs to.
    committed : Ack
        The last message that is folded into ``state``.
    state : State
        The method's vectors.
    pending : Pending or None
        The message behind it, if one was sent.
    """

    epoch: bytes
    committed: Ack
    state: State
    pending: Pending | None = None

    def acknowledge(self, ack: Ack, method: Method, size: int) -> Self | None:
        """Return the log after the server's ack, with nothing pending.

        The pending message is committed if it was applied, and dropped if it was lost. ``None``
        says that server and client disagree, so that the client has to join again.
        """
        if ack == self.committed:
            return self._replace(pending=None)
        if self.pending is not None and ack == self.pending.position:
            # What is folded are the bytes that were sent, decoded: what the server folded too.
            try:
                support = self.pending.support(size)
                message = decode_shared(self.pending.message, size, support)
            except ValueError:
                return None  # damaged at rest: the client joins again
            state = method.commit(self.state, message, self.pending.private)
            return type(self)(self.epoch, ack, state)
        return None

    def store(self, records: RecordDict) -> None:
        """Write the log into ``context.state``; its vectors cannot be written any more."""
        for vectors in (self.state, (self.pending or _NONE).private):
            for vector in vectors.values():
                vector.setflags(write=False)
        stored = entries(records)
        stored[_VECTORS] = standing_for(ArrayRecord, self, type(self)._arrays)
        stored[RECORD] = standing_for(ConfigRecord, self, type(self)._place)

    def _arrays(self) -> dict[str, Any]:
        """Return the entries of the record of vectors."""
        arrays = {name: to_array(vector) for name, vector in self.state.items()}
        for name, vector in (self.pending or _NONE).private.items():
            arrays[_PENDING + name] = to_array(vector)
        return arrays

    def _place(self) -> dict[str, Any]:
        """Return the entries of the record of all else."""
        pending = self.pending or _NONE
        return {
            "epoch": self.epoch,
            "seq": self.committed.seq,
            "digest": self.committed.digest,
            "pending-seq": pending.position.seq,
            "pending-digest": pending.position.digest,
            "pending-message": pending.message,
        }

    @classmethod
    def load(cls, records: RecordDict) -> Self | None:
        """Read the log from ``context.state``; ``None`` if there is none that can be read."""
        stored = entries(records)
        place, vectors = stored.get(RECORD), stored.get(_VECTORS)
        if not is_record(place, ConfigRecord) or not is_record(vectors, ArrayRecord):
            return None
        meant = meant_by(place, cls)
        if meant is not None and meant is meant_by(vectors, cls):
            return meant
        said, arrays = entries(place), entries(vectors)
        try:
            position = Ack(_int(said["pending-seq"]), _bytes(said["pending-digest"]))
            state, private = {}, {}
            for name, array in arrays.items():
                if name.startswith(_PENDING):
                    private[name.removeprefix(_PENDING)] = to_vector(array)
                else:
                    state[name] = to_vector(array)
            pending = Pending(position, _bytes(said["pending-message"]), private)
            return cls(
                epoch=_bytes(said["epoch"]),
                committed=Ack(_int(said["seq"]), _bytes(said["digest"])),
                state=state,
                pending=pending if position.seq else None,
            )
        except (KeyError, TypeError, ValueError):
            return None


def support_in(state: State, size: int) -> Support | None:
    """Return the support that a state holds, if it does."""
    return Support(size, state[SUPPORT].astype(np.int64)) if SUPPORT in state else None


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise ProtocolError(f"{value!r} is not a whole number")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ProtocolError(f"{value!r} is not bytes")
    return value
