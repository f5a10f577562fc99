"""The server's model between rounds: its step, the state of that, and what clients hold of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fl_ef21.compressors import Vector
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.seeding import broadcast_generator
from fl_ef21.flower.server.broadcast import Broadcast, Update
from fl_ef21.methods import Snapshot
from fl_ef21.methods.downlink import EF21BC, Downlink
from fl_ef21.methods.server import Descent, ServerState, ServerStep
from fl_ef21.methods.snapshot import join


class ServerModel:
    """Takes the server's steps.

    Mutable: it holds the state of the server step, and the server's copy of what clients hold.

    Parameters
    ----------
    server : ServerStep
        What the server does with the estimate.
    downlink : Downlink or None
        How the model reaches the clients; whole for ``None``.
    seed : int
        Of the run.

    Raises
    ------
    ValueError
        If the two do not go together.
    """

    def __init__(self, server: ServerStep, downlink: Downlink | None, seed: int) -> None:
        if isinstance(downlink, EF21BC) and server != Descent():
            raise ValueError(
                f"EF21-BC steps by plain descent, on the clients too, and not by {server}; "
                f"use the downlink EF21P with another server step"
            )
        self.server = server
        self.downlink = downlink
        self._seed = seed
        self._state: ServerState = {}
        self._broadcast: Broadcast | None = None

    def restart(self) -> None:
        """Forget everything: a new run begins."""
        self._state, self._broadcast = {}, None

    def forget_motion(self) -> None:
        """Forget the server step's state: the model goes back to an earlier one."""
        self._state = {}

    def snapshot(self) -> Snapshot:
        """Return the server step's state, and what clients hold of the model."""
        parts = {"step": Snapshot(dict(self._state))}
        if self._broadcast is not None:
            parts["broadcast"] = self._broadcast.snapshot()
        return join(parts)

    def restore(self, snapshot: Snapshot, layout: Layout, arrays: ArrayRecord) -> None:
        """Take the state of a snapshot; ``arrays`` are any of the model's layout."""
        self._state = {k: v.copy() for k, v in snapshot.within("step").arrays.items()}
        self.open(layout, arrays)
        if self._broadcast is not None:
            self._broadcast.restore(snapshot.within("broadcast"))

    def open(self, layout: Layout, arrays: ArrayRecord) -> None:
        """Begin with a model that everybody will be sent whole."""
        if self.downlink is not None:
            self._broadcast = Broadcast(self.downlink, layout, layout.vector(arrays))

    def update_for(self, client: str, exact: Sequence[NDArray[Any]]) -> Update | None:
        """Return what moves a client's copy of the model; ``None`` if it is sent whole anyway."""
        return self._broadcast.update_for(client, exact) if self._broadcast is not None else None

    def note(self, client: str | None, *, answered: bool) -> None:
        """Note whether a client has answered to this version of the model."""
        if self._broadcast is None or client is None:
            return
        if answered:
            self._broadcast.note(client, self._broadcast.version)
        else:
            self._broadcast.forget(client)

    def step(
        self, server_round: int, vector: Vector, estimate: NDArray[np.float64], step_size: float
    ) -> NDArray[np.float64]:
        """Return the next iterate, from the model's vector and the estimate."""

        def along(direction: NDArray[np.float64]) -> NDArray[np.float64]:
            iterate = vector.astype(np.float64)
            moved, self._state = self.server.step(self._state, iterate, direction, step_size)
            return moved

        if self._broadcast is None:
            return along(estimate)
        rng = broadcast_generator(self._seed, server_round)
        return self._broadcast.step(vector, estimate, along, step_size, rng)
