"""A client's side of the log: what is committed, and the one message that may be pending.

Stored in ``context.state`` as two records, assigned once at the end of a step, so that an
exception on the way leaves the old log in place.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from fl_ef21.compressors import Support
from fl_ef21.flower.client.vectors import to_array, to_vector
from fl_ef21.flower.protocol import RECORD, Ack, ProtocolError
from fl_ef21.flower.protocol.payload import SUPPORT
from fl_ef21.methods import Method, State
from fl_ef21.wire import decode

_VECTORS = f"{RECORD}.vectors"
_PENDING = "pending."


@dataclass(frozen=True)
class Pending:
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
    private: State = field(default_factory=dict)

    def support(self, size: int) -> Support | None:
        """Return the coordinates that the message lies on, if only some are the client's."""
        return support_in(self.private, size)


@dataclass(frozen=True)
class ClientLog:
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
            return replace(self, pending=None)
        if self.pending is not None and ack == self.pending.position:
            # What is folded are the bytes that were sent, decoded: what the server folded too.
            try:
                support = self.pending.support(size)
                message = decode(self.pending.message, size=size, support=support)
            except ValueError:
                return None  # damaged at rest: the client joins again
            state = method.commit(self.state, message, self.pending.private)
            return replace(self, committed=ack, state=state, pending=None)
        return None

    def store(self, records: RecordDict) -> None:
        """Write the log into ``context.state``."""
        pending = self.pending or Pending(Ack(), b"")
        vectors = {name: to_array(vector) for name, vector in self.state.items()}
        vectors |= {_PENDING + name: to_array(v) for name, v in pending.private.items()}
        place = ConfigRecord(
            {
                "epoch": self.epoch,
                "seq": self.committed.seq,
                "digest": self.committed.digest,
                "pending-seq": pending.position.seq,
                "pending-digest": pending.position.digest,
                "pending-message": pending.message,
            }
        )
        records[_VECTORS], records[RECORD] = ArrayRecord(vectors), place

    @classmethod
    def load(cls, records: RecordDict) -> Self | None:
        """Read the log from ``context.state``; ``None`` if there is none that can be read."""
        place, vectors = records.get(RECORD), records.get(_VECTORS)
        if not isinstance(place, ConfigRecord) or not isinstance(vectors, ArrayRecord):
            return None
        try:
            position = Ack(_int(place["pending-seq"]), _bytes(place["pending-digest"]))
            private = {
                name.removeprefix(_PENDING): to_vector(array)
                for name, array in vectors.items()
                if name.startswith(_PENDING)
            }
            pending = Pending(position, _bytes(place["pending-message"]), private)
            return cls(
                epoch=_bytes(place["epoch"]),
                committed=Ack(_int(place["seq"]), _bytes(place["digest"])),
                state={n: to_vector(a) for n, a in vectors.items() if not n.startswith(_PENDING)},
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
