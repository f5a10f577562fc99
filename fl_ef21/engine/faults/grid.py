"""A Grid in which messages, clients and the server fail as a schedule says."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from flwr.app import Context, Message
from flwr.app.user_config import UserConfig
from flwr.clientapp import ClientApp

from fl_ef21.engine.faults.failing import FailingApp, flip_a_bit, told
from fl_ef21.engine.faults.nodes import Nodes
from fl_ef21.engine.faults.schedule import OF_EXCHANGES, OF_NODES, Fault, FaultKind, FaultSchedule
from fl_ef21.engine.faults.states import NOTHING, StoredState, end_process
from fl_ef21.engine.in_process import InProcessGrid

KEPT_STATES: Final = 4
"""States of earlier turns that a client may be rolled back to."""

LATEST: Final = 3
"""Most exchanges that a reply comes late."""

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
    nodes : Nodes
        Which nodes are which clients, and whose state was touched.
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
        self.nodes = Nodes(self.contexts)
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
        place, context = self.nodes.place_of(node_id), self.contexts.get(node_id)
        if place is None or context is None:
            client = self.nodes.twin_of(node_id)
            if client is not None:
                # With a folder in common it takes turns in the other's place.
                self.nodes.disturbed[client] += 1
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
            self.nodes.disturbed[fault.client] += 1
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
            self.nodes.disturbed[fault.client] += 1
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
        self.nodes.end_twins(self.exchange)
        for fault in self.schedule.of(self.exchange):
            if fault.kind in OF_NODES and self.nodes.change(fault):
                self.injected[fault.kind] += 1
        if self.is_over:
            self.nodes.connect_all()
