"""The server's side of a compressed downlink: which version of the model each client holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fl_ef21.compressors import Vector
from fl_ef21.flower.protocol import REPLY_STYPE
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.model_update import WHOLE, advanced, model_digest, piece
from fl_ef21.methods import Snapshot, State
from fl_ef21.methods.downlink import Downlink, Step
from fl_ef21.methods.downlink.downlink import MODEL
from fl_ef21.wire import decode, encode

KEEP: Final = 64
"""Messages that are kept for clients that were silent; who lacks more gets the model whole."""


@dataclass(frozen=True)
class Update:
    """What moves a client from one version of the model to a later one.

    Attributes
    ----------
    base, version : int
        Where it starts, and where it leads; base is ``WHOLE`` if the model is whole.
    digest : bytes
        Of the model's vector at ``version``.
    arrays : ArrayRecord
        The whole model, or one Array with the messages.
    direction : bytes
        With a whole model: the other vector that clients need, raw; often empty.
    """

    base: int
    version: int
    digest: bytes
    arrays: ArrayRecord
    direction: bytes = b""


class Broadcast:
    """Keeps what clients hold, and the last messages.

    Mutable: it is the one place where the server's copy of the clients' model lives.

    Parameters
    ----------
    downlink : Downlink
        The method.
    layout : Layout
        Of the model.
    model : ndarray, shape (d,)
        The first model, which everybody is sent whole.
    """

    def __init__(self, downlink: Downlink, layout: Layout, model: Vector) -> None:
        self.downlink = downlink
        self.layout = layout
        self.version = 0
        self._state: State = downlink.start(model)
        self._pieces: list[bytes] = []
        self._held: dict[str, int] = {}

    def step(
        self,
        iterate: Vector,
        estimate: NDArray[np.float64],
        step: Step,
        step_size: float,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Take the server's step, keep the message that tells the clients, return the iterate."""
        message, moved = self.downlink.message(self._state, iterate, estimate, step, rng)
        encoded = encode(message)
        # The clients fold what they decode, and so does the server.
        decoded = decode(encoded, size=self.layout.size)
        self._state = advanced(self.downlink, self.layout, self._state, decoded, step_size)
        self._pieces = [*self._pieces, piece(step_size, encoded)][-KEEP:]
        self.version += 1
        return self._state[MODEL].astype(np.float64) if self.downlink.shares_iterate else moved

    def update_for(self, client: str, exact: Sequence[NDArray[Any]]) -> Update:
        """Return what a client needs: the messages since its version if they are shorter."""
        digest = model_digest(self._state[MODEL])
        held = self._held.get(client)
        if held is not None and self.version - held <= len(self._pieces):
            # None of them after an evaluation, for which clients got the newest model.
            pieces = self._pieces[len(self._pieces) - (self.version - held) :]
            blob = b"".join(pieces) + self.layout.pack_exact(exact)
            if len(blob) < self.layout.size * self.layout.dtype.itemsize:
                packed = ArrayRecord({"": Array("uint8", (len(blob),), REPLY_STYPE, blob)})
                return Update(held, self.version, digest, packed)
        whole = self.layout.arrays(self._state[MODEL], exact)
        others = [vector for name, vector in self._state.items() if name != MODEL]
        direction = b"".join(vector.tobytes() for vector in others)
        return Update(WHOLE, self.version, digest, whole, direction)

    def snapshot(self) -> Snapshot:
        """Return the copy of the clients' model, the last messages, and who holds what."""
        values = {"version": self.version, "pieces": self._pieces, "held": self._held}
        return Snapshot(dict(self._state), values)

    def restore(self, snapshot: Snapshot) -> None:
        """Take the state of a snapshot."""
        self._state = {name: vector.copy() for name, vector in snapshot.arrays.items()}
        self.version = snapshot.values["version"]
        self._pieces = list(snapshot.values["pieces"])
        self._held = dict(snapshot.values["held"])

    def note(self, client: str, version: int) -> None:
        """Note that a client has answered, and so holds a version."""
        self._held[client] = version

    def forget(self, client: str) -> None:
        """Note that it is not known any more what a client holds."""
        self._held.pop(client, None)
