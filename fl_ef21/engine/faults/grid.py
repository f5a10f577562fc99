"""A Grid in which messages, clients and the server fail as a schedule says."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.app.user_config import UserConfig
from flwr.clientapp import ClientApp

from fl_ef21.engine.faults.failing import FailingApp, flip_a_bit, told
from fl_ef21.engine.faults.schedule import OF_EXCHANGES, OF_NODES, Fault, FaultKind, FaultSchedule
from fl_ef21.engine.faults.states import NOTHING, StoredState, end_process
from fl_ef21.engine.in_process import InProcessGrid
from fl_ef21.flower.protocol.records import copy_records

KEPT_STATES: Final = 4
"""States of earlier turns that a client may be rolled back to."""

LATEST: Final = 3
"""Most exchanges that a reply comes late."""

FEWEST: Final = 2
"""Clients that stay connected."""

LOSING: Final[tuple[FaultKind, ...]] = ("lose-request", "kill-before")
"""Kinds after which the client does not take its turn."""

DISTURBING: Final[tuple[FaultKind, ...]] = (
    "kill-before",
    "kill-after",
    "kill-unwritten",
    "lose-state",
    "roll-back",
    "repeat-request",
)
"""Kinds of a turn after which a client may have to join again."""

UNANSWERED: Final[tuple[FaultKind, ...]] = ("lose-reply", "late-reply")


class _Twin(NamedTuple):
    client: int
    until: int


class ServerCrashedError(RuntimeError):
    """The server has died here; whoever catches it builds a new one."""


class FaultyGrid(InProcessGrid):
    """An in-process Grid that injects the faults of a schedule.

    An exchange is one call of :meth:`send_and_receive` that sends anything, be it a roll call. When
    the schedule's exchanges are over, every client is connected and nothing fails any more; only
    replies that are late still come in. They come with those of a later exchange, which a real
    Grid, asked for the replies to certain messages, would not do to a strategy.

    Parameters
    ----------
    client_app, node_configs, **options
        As in :class:`InProcessGrid`. For ``raise-inside`` the app has :func:`failing_mod` as the
        last of its mods.
    schedule : FaultSchedule
        What goes wrong.

    Attributes
    ----------
    exchange : int
        Number of the last exchange that has begun.
    injected : Counter
        How many faults of each kind have really happened. One that is scheduled for a client
        that takes no part in its exchange does not happen.
    disturbed : Counter
        How often each client, by its place, was hit by what may make it join again.
    """

    def __init__(
        self,
        client_app: ClientApp,
        node_configs: Sequence[UserConfig],
        schedule: FaultSchedule,
        **options: Any,  # noqa: ANN401 - those of the class above
    ) -> None:
        super().__init__(FailingApp(client_app), node_configs, **options)
        self.schedule = schedule
        self.exchange = 0
        self.injected: Counter[FaultKind] = Counter()
        self.disturbed: Counter[int] = Counter()
        self._nodes: list[int | None] = list(self.contexts)
        self._away: dict[int, Context] = {}
        self._twins: dict[int, _Twin] = {}
        self._next_node = max(self.contexts) + 1
        self._late: list[tuple[int, Message]] = []  # the exchange in which one comes
        self._arrived: list[Message] = []
        self._states: dict[int, deque[StoredState]] = {
            fault.client: deque(maxlen=KEPT_STATES)
            for fault in schedule.faults
            if fault.kind == "roll-back"
        }
        self._delivered, self._alive_for = 0, -1
        self._change_nodes()

    @property
    def is_over(self) -> bool:
        """Whether the exchanges with faults are over."""
        return self.exchange > self.schedule.exchanges

    def place_of(self, node_id: int) -> int | None:
        """Return which client a node is, by its place; ``None`` for a twin or one that is gone."""
        return self._nodes.index(node_id) if node_id in self._nodes else None

    def clients(self) -> Iterator[tuple[int, Context]]:
        """Yield every client's place and context, whether it is connected or not; no twins."""
        for place, node in enumerate(self._nodes):
            yield place, self._away[place] if node is None else self.contexts[node]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Push messages and return what arrives, replies that were late included.

        Raises
        ------
        ServerCrashedError
            Where the schedule lets the server die.
        """
        messages = list(messages)
        if not messages:  # an evaluation of nobody
            return []
        self.exchange += 1
        self._delivered, self._arrived = 0, []
        self._change_nodes()
        crash = self._scheduled("crash-sending")
        self._alive_for = -1 if crash is None else crash.detail % (len(messages) + 1)
        try:
            replies = list(super().send_and_receive(messages, timeout=timeout))
            self._die_if_due()
        except ServerCrashedError:
            # Nobody will ask for these replies; they turn up where they do not belong.
            self._late += [(self.exchange + 1, reply) for reply in self._arrived]
            raise
        replies += [reply for due, reply in self._late if due <= self.exchange]
        self._late = [(due, reply) for due, reply in self._late if due > self.exchange]
        reorder = self._scheduled("reorder")
        if reorder is not None and len(replies) > 1:
            self.injected["reorder"] += 1
            order = np.random.default_rng(reorder.detail).permutation(len(replies))
            replies = [replies[i] for i in order]
        return replies

    def reached(self, kind: FaultKind) -> None:
        """Let the server die if it is to die at this point of the round.

        Called from the server's own hooks: its aggregation of metrics, its callback after a round.

        Raises
        ------
        ServerCrashedError
            If so.
        """
        if self._scheduled(kind) is not None:
            self._die(kind)

    def deliver(self, message: Message) -> Message | None:
        """Hand an instruction to its node, with the fault that is due there."""
        self._die_if_due()
        self._delivered += 1
        node_id = message.metadata.dst_node_id
        place, context = self.place_of(node_id), self.contexts.get(node_id)
        if place is None or context is None:
            if node_id in self._twins:
                # With a folder in common it takes turns in the other's place.
                self.disturbed[self._twins[node_id].client] += 1
            return super().deliver(message)
        fault = self._fault_of(place)
        if fault is None:
            reply = super().deliver(message)
        else:
            reply = self._deliver_with(fault, message, context)
        if place in self._states:
            self._states[place].append(StoredState.of(context))
        if reply is not None:
            self._arrived.append(reply)
        return reply

    def _deliver_with(self, fault: Fault, message: Message, context: Context) -> Message | None:
        kind, before = fault.kind, StoredState.of(context)
        if kind == "roll-back" and not self._states[fault.client]:
            return super().deliver(message)
        self.injected[kind] += 1
        if kind in DISTURBING:
            self.disturbed[fault.client] += 1
        if kind == "kill-before":
            end_process(context)
        if kind == "lose-state":
            NOTHING.bring_back(context)
        if kind == "roll-back":
            states = self._states[fault.client]
            states[fault.detail % len(states)].bring_back(context)
        if kind in LOSING:
            return None
        with told(context, kind):
            reply = super().deliver(message)
        if kind in DISTURBING:
            self.disturbed[fault.client] += 1
        if kind == "repeat-request":
            first, reply = reply, super().deliver(message)
            if fault.detail % 2:
                first, reply = reply, first
            self._hold(first, fault)
        if kind == "kill-after":
            end_process(context)
        if kind == "kill-unwritten":
            before.bring_back(context)
        return None if reply is None else self._send(fault, reply)

    def _send(self, fault: Fault, reply: Message) -> Message | None:
        """Return what arrives of a reply in this exchange."""
        if fault.kind in ("late-reply", "repeat-reply"):
            self._hold(reply, fault)
        if fault.kind == "repeat-reply":
            self._late.append((self.exchange, reply))
        if fault.kind == "damage-reply" and not reply.has_error():
            return flip_a_bit(reply, fault.detail)
        return None if fault.kind in UNANSWERED else reply

    def _hold(self, reply: Message | None, fault: Fault) -> None:
        """Let a reply arrive in a later exchange."""
        if reply is not None:
            self._late.append((self.exchange + 1 + fault.detail % LATEST, reply))

    def _fault_of(self, place: int) -> Fault | None:
        """Return the fault of a client's turn in this exchange."""
        found = (f for f in self.schedule.of(self.exchange) if f.client == place)
        return next((fault for fault in found if fault.kind not in OF_EXCHANGES + OF_NODES), None)

    def _scheduled(self, kind: FaultKind) -> Fault | None:
        found = (fault for fault in self.schedule.of(self.exchange) if fault.kind == kind)
        return next(found, None)

    def _die_if_due(self) -> None:
        if self._delivered == self._alive_for:
            self._die("crash-sending")

    def _die(self, kind: FaultKind) -> None:
        self.injected[kind] += 1
        raise ServerCrashedError(f"{kind} in exchange {self.exchange}")

    def _change_nodes(self) -> None:
        """Let nodes come and go at the beginning of an exchange."""
        for node, twin in list(self._twins.items()):
            if twin.until <= self.exchange or self.is_over:
                del self.contexts[node], self._twins[node]
        for fault in self.schedule.of(self.exchange):
            if fault.kind in _CHANGES and _CHANGES[fault.kind](self, fault):
                self.injected[fault.kind] += 1
        if self.is_over:
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
        twin, context = self._new_id(), self.contexts[node]
        self.contexts[twin] = Context(
            context.run_id,
            twin,
            dict(context.node_config),
            RecordDict() if fault.detail % 2 else copy_records(context.state),
            dict(context.run_config),
        )
        self._twins[twin] = _Twin(fault.client, self.exchange + 1 + fault.detail % LATEST)
        self.disturbed[fault.client] += 1
        return True

    def _disconnect(self, fault: Fault) -> bool:
        node = self._nodes[fault.client]
        if node is None:
            return False
        self._away[fault.client] = self.contexts.pop(node)
        self._nodes[fault.client] = None
        return True

    def _connect(self, place: int) -> bool:
        context, node = self._away.pop(place), self._new_id()
        context.node_id, self._nodes[place] = node, node
        self.contexts[node] = context
        # Until it has said who it is, the server does not know it.
        self.disturbed[place] += 1
        return True

    def _new_id(self) -> int:
        self._next_node += 1
        return self._next_node - 1


_CHANGES = {
    "new-node": FaultyGrid._new_node,
    "new-node-empty": FaultyGrid._new_node,
    "leave": FaultyGrid._leave,
    "leave-empty": FaultyGrid._leave,
    "join": FaultyGrid._join,
    "twin": FaultyGrid._twin,
}
