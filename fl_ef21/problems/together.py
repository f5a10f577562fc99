"""The gradients of all clients at one point, by one sparse product for all their rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, vstack

from fl_ef21.problems.objective import Objective, Vector


class Together:
    """All clients' objectives in one process, which are asked for the same points.

    The first client that asks for a gradient at a new point computes those of all; the others
    find theirs ready. It pays where all clients, or most, are asked for each point. The bits are
    those of ``Objective.gradient``: sums run over the same numbers in the same order.

    Mutable: it remembers the last point.

    Parameters
    ----------
    objectives : sequence of Objective
        Of one loss and one dimension; their rows are copied.

    Raises
    ------
    ValueError
        If there are no objectives, or their losses or dimensions differ.

    Examples
    --------
    >>> from fl_ef21.problems import federated_objectives
    >>> features = csr_array(np.array([[1.0, 0.0], [0.0, 2.0]]))
    >>> objectives = federated_objectives(features, np.array([1, -1]), [[0], [1]])
    >>> Together(objectives).gradient(1, np.zeros(2))
    array([0., 1.])
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        kinds = {(type(o.loss).__name__, o.loss.outputs, o.dimension) for o in objectives}
        if len(kinds) != 1:
            raise ValueError(
                f"{len(objectives)} objectives of {len(kinds)} kinds (loss, outputs, dimension); "
                f"give at least one, all of one kind"
            )
        self._objectives = tuple(objectives)
        self._loss = objectives[0].loss
        counts = np.array([len(o.targets) for o in objectives])
        clients, columns = len(counts), objectives[0].features.shape[1]
        # As floats, which products with scores make of them each time.
        self._targets = np.concatenate([o.targets for o in objectives]).astype(np.float64)
        # Every client's columns get a place of their own: one product then sums up each client's
        # rows by themselves.
        rows = csr_array(vstack([o.features for o in objectives], format="csr"))
        places = np.repeat(np.arange(clients), counts) * columns
        indices = rows.indices + np.repeat(places, np.diff(rows.indptr))
        shape = (clients * columns, rows.shape[0])
        # Half of an index's bytes are half of the time that it takes to read.
        kind = np.int32 if max(*shape, rows.nnz) < 2**31 else np.int64
        starts: NDArray[Any] = rows.indptr.astype(kind)
        places_of: NDArray[Any] = indices.astype(kind)
        self._features = csr_array((rows.data, rows.indices.astype(kind), starts), shape=rows.shape)
        self._transpose = csc_array((rows.data, places_of, starts), shape=shape)
        self._counts = counts[:, None]
        first = objectives[0].regulariser
        self._regulariser = first if all(o.regulariser is first for o in objectives) else None
        self._at = b""
        self._gradients = np.zeros((0, 0))

    def gradient(self, client: int, x: Vector) -> Vector:
        """Return ∇fᵢ(x) of client i, shape (dimension,), read-only."""
        at = x.tobytes()
        if at != self._at:
            self._gradients = self.gradients(x)
            self._gradients.flags.writeable = False
            self._at = at
        gradient: Vector = self._gradients[client]
        return gradient

    @property
    def latest(self) -> NDArray[np.float64]:
        """The gradients of all clients at the last point, shape (clients, dimension)."""
        return self._gradients

    def gradients(self, x: Vector) -> NDArray[np.float64]:
        """Return ∇fᵢ(x) of all clients, shape (clients, dimension).

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        first, clients = self._objectives[0], len(self._objectives)
        if x.shape != (first.dimension,):
            raise ValueError(f"x has shape {x.shape} for {first.dimension} parameters")
        outputs = self._loss.outputs
        weights = x if outputs == 1 else x.reshape(outputs, -1).T
        derivative = self._loss.derivative(np.asarray(self._features @ weights), self._targets)
        sums = (self._transpose @ derivative).reshape(clients, -1, outputs)
        slopes = sums.transpose(0, 2, 1).reshape(clients, -1) / self._counts
        if self._regulariser is not None:
            return np.asarray(slopes + self._regulariser.gradient(x))
        added = np.array([o.regulariser.gradient(x) for o in self._objectives])
        return np.asarray(slopes + added)
