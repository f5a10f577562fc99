"""Which nodes are connected: clients come, go and come back as other nodes."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from flwr.app import Context, RecordDict

from fl_ef21.engine.faults.schedule import Fault, FaultKind
from fl_ef21.engine.faults.states import end_process
from fl_ef21.flower.protocol.records import copy_records

FEWEST: Final = 2
"""Clients that stay connected."""

LONGEST: Final = 3
"""Most exchanges that a twin stays."""


class _Twin(NamedTuple):
    client: int
    until: int


class Nodes:
    """The nodes of a Grid by client.

    Mutable: it changes the contexts of its Grid, and is the only one to do so.

    Parameters
    ----------
    contexts : dict
        Of all nodes that are connected, by id; at first one for each client.

    Attributes
    ----------
    disturbed : Counter
        How often each client, by its place, was hit by what may make it join again.
    """

    def __init__(self, contexts: dict[int, Context]) -> None:
        self.disturbed: Counter[int] = Counter()
        self._contexts = contexts
        self._nodes: list[int | None] = list(contexts)
        self._away: dict[int, Context] = {}
        self._twins: dict[int, _Twin] = {}
        self._next_node = max(contexts) + 1

    def place_of(self, node_id: int) -> int | None:
        """Return which client a node is, by its place; ``None`` for a twin or one that is gone."""
        return self._nodes.index(node_id) if node_id in self._nodes else None

    def twin_of(self, node_id: int) -> int | None:
        """Return the place of the client that a twin says it is; ``None`` if it is no twin."""
        return self._twins[node_id].client if node_id in self._twins else None

    def clients(self) -> Iterator[tuple[int, Context]]:
        """Yield every client's place and context, whether it is connected or not; no twins."""
        for place, node in enumerate(self._nodes):
            yield place, self._away[place] if node is None else self._contexts[node]

    def change(self, fault: Fault) -> bool:
        """Let a node come or go, and return whether it could."""
        return _CHANGES[fault.kind](self, fault)

    def end_twins(self, exchange: int) -> None:
        """Let those go whose time is over."""
        for node, twin in list(self._twins.items()):
            if twin.until <= exchange:
                del self._contexts[node], self._twins[node]

    def connect_all(self) -> None:
        """Let every client come back, and all twins go."""
        self.end_twins(max((twin.until for twin in self._twins.values()), default=0))
        for place in list(self._away):
            self._connect(place)

    def _new_node(self, fault: Fault) -> bool:
        if not self._disconnect(fault):
            return False
        if fault.kind == "new-node-empty":
            end_process(self._away[fault.client])
        return self._connect(fault.client)

    def _leave(self, fault: Fault) -> bool:
        # With fewer than two nodes Flower's strategies wait, here for ever.
        if len(self._nodes) - len(self._away) <= FEWEST or not self._disconnect(fault):
            return False
        if fault.kind == "leave-empty":
            end_process(self._away[fault.client])
        return True

    def _join(self, fault: Fault) -> bool:
        return fault.client in self._away and self._connect(fault.client)

    def _twin(self, fault: Fault) -> bool:
        node = self._nodes[fault.client]
        if node is None:
            return False
        twin, context = self._new_id(), self._contexts[node]
        self._contexts[twin] = Context(
            context.run_id,
            twin,
            dict(context.node_config),
            RecordDict() if fault.detail % 2 else copy_records(context.state),
            dict(context.run_config),
        )
        self._twins[twin] = _Twin(fault.client, fault.exchange + 1 + fault.detail % LONGEST)
        self.disturbed[fault.client] += 1
        return True

    def _disconnect(self, fault: Fault) -> bool:
        node = self._nodes[fault.client]
        if node is None:
            return False
        self._away[fault.client] = self._contexts.pop(node)
        self._nodes[fault.client] = None
        return True

    def _connect(self, place: int) -> bool:
        context, node = self._away.pop(place), self._new_id()
        context.node_id, self._nodes[place] = node, node
        self._contexts[node] = context
        # Until it has said who it is, the server does not know it.
        self.disturbed[place] += 1
        return True

    def _new_id(self) -> int:
        self._next_node += 1
        return self._next_node - 1


_CHANGES: Final[Mapping[FaultKind, Callable[[Nodes, Fault], bool]]] = {
    "new-node": Nodes._new_node,
    "new-node-empty": Nodes._new_node,
    "leave": Nodes._leave,
    "leave-empty": Nodes._leave,
    "join": Nodes._join,
    "twin": Nodes._twin,
}
