"""The server's side of the log: which message of which client was applied last.

The ledger decides on replies and applies them; it never changes anything for a reply that it
refuses.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from logging import WARNING
from typing import Any, Final

from flwr.app import Message, MetricRecord
from flwr.common import log
from numpy.typing import NDArray

from fl_ef21.compressors import Message as CompressedMessage
from fl_ef21.compressors import Support
from fl_ef21.flower.protocol import (
    Ack,
    ProtocolError,
    Reply,
    chain,
    origin,
    reply_of,
)
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.payload import unpack
from fl_ef21.methods import Estimate
from fl_ef21.wire import decode

MAX_WEIGHT: Final = 2.0**40
MAX_VALUE: Final = 1e30
"""No honest number of examples or entry of an update is larger; sums stay finite below."""


class RejectedError(ValueError):
    """Why a reply is quarantined."""


@dataclass(frozen=True)
class CheckedReply:
    """A reply that is well-formed; whether it fits the log is decided when it is applied."""

    node_id: int
    about: Reply
    payload: bytes
    message: CompressedMessage
    exact: list[NDArray[Any]]
    weight: float
    metrics: MetricRecord
    support: Support | None = None


class Ledger:
    """The log of one run.

    Mutable: it is the one place where the server's copy of the log lives.

    Parameters
    ----------
    epoch : bytes
        Eight bytes that name the run.
    layout : Layout
        Of the model.
    estimate : Estimate
        The method's estimate, into which accepted messages are folded.
    weight_of : callable
        The weight mᵢ > 0 of the client that has sent a reply; the number of examples that it
        reports, by default. May raise :class:`RejectedError`.
    supports : bool
        Whether messages lie on the clients' own coordinates (EF21-RF).
    """

    def __init__(
        self,
        epoch: bytes,
        layout: Layout,
        estimate: Estimate,
        weight_of: Callable[[CheckedReply], float] = lambda reply: reply.weight,
        *,
        supports: bool = False,
    ) -> None:
        self.epoch = epoch
        self.layout = layout
        self.estimate = estimate
        self._weight_of = weight_of
        self._supports = supports
        self._support_of: dict[str, Support] = {}
        self._applied: dict[str, Ack] = {}
        self._clients: dict[int, str] = {}
        self._round = 0

    def begin_round(self, server_round: int) -> None:
        """Prepare for the replies of a round: first messages are bound to it."""
        self._round = server_round
        self.estimate.begin_round()

    def client_of(self, node_id: int) -> str | None:
        """Return the client key that a node has given, or ``None``."""
        return self._clients.get(node_id)

    def ack(self, node_id: int) -> Ack:
        """Return the last applied message of the client on a node; ``Ack()`` if there is none."""
        return self._applied.get(self._clients.get(node_id, ""), Ack())

    def joined(self) -> dict[str, Ack]:
        """Return a copy of the last applied message of every client."""
        return dict(self._applied)

    def introduce(self, node_id: int, client: str, connected: Collection[int]) -> None:
        """Remember the client key of a node.

        Raises
        ------
        RejectedError
            If the node has given another key before, or another node that is connected has given
            this one. A client that comes back as another node is welcome once the old is gone.
        """
        known = self._clients.get(node_id, client)
        if known != client:
            raise RejectedError(f"node {node_id} was client {known} before and now is {client}")
        others = [n for n, key in self._clients.items() if key == client and n != node_id]
        if any(node in connected for node in others):
            raise RejectedError(
                f"node {node_id} says that it is client {client}, which another connected node "
                f"is; give every node a client-id of its own"
            )
        for node in others:
            del self._clients[node]
        self._clients[node_id] = client

    def drop_unnamed(self, connected: Collection[int]) -> None:
        """Let clients leave that are known by a node id only, once that node is gone.

        Node ids do not come back, so what such a client has contributed would count for ever.
        """
        for node, client in list(self._clients.items()):
            if node not in connected and client == f"node-id={node}":
                log(WARNING, "client %s is gone; its contribution is taken out", client)
                self.leave(client)

    def leave(self, client: str) -> None:
        """Take a client's contribution out and forget the client."""
        self.estimate.forget(client)
        self._applied.pop(client, None)
        self._support_of.pop(client, None)
        self._clients = {node: key for node, key in self._clients.items() if key != client}

    def check(self, node_id: int, reply: Message, weighted_by_key: str) -> CheckedReply:
        """Read a reply without changing anything.

        Raises
        ------
        RejectedError
            If a part is missing, malformed, or out of range.
        """
        try:
            about, payload = read_reply(reply)
            split = len(payload) - self.layout.exact_nbytes
            exact = self.layout.unpack_exact(payload[max(split, 0) :])
            message, support = self._message(about.client, payload[:split])
        except ValueError as error:
            raise RejectedError(str(error)) from error
        if message.dtype != self.layout.dtype:
            raise RejectedError(f"values are {message.dtype} instead of {self.layout.dtype}")
        if message.bound() > MAX_VALUE:
            raise RejectedError(f"a value is above {MAX_VALUE:g} in magnitude")
        metrics = _metrics(reply)
        weight = _weight(metrics, weighted_by_key)
        return CheckedReply(node_id, about, payload, message, exact, weight, metrics, support)

    def _message(self, client: str, payload: bytes) -> tuple[CompressedMessage, Support | None]:
        """Return a payload's message, and the support if the client tells one."""
        if not self._supports:
            return decode(payload, size=self.layout.size), None
        told = unpack(payload, self.layout.size)
        support = told.support or self._support_of.get(client)
        if support is None:
            raise ProtocolError("the client's support is not known; it has to join again")
        return decode(told.message, size=self.layout.size, support=support), told.support

    def apply(self, reply: CheckedReply, connected: Collection[int]) -> None:
        """Fold a message into the estimate if it is the next one of its client's log.

        A first message of a client that is known already says that the client has lost its state:
        its old contribution is taken out before the new one is folded.

        Raises
        ------
        RejectedError
            If the message is not the next one; nothing has changed then.
        """
        about = reply.about
        nothing = Ack(0, origin(self.epoch, about.client, self._round))
        last = self._applied.get(about.client, nothing)
        joins = about.position == _following(nothing, reply.payload)
        if not joins and about.position != _following(last, reply.payload):
            raise RejectedError(
                f"message {about.seq} with digest {about.digest.hex()} does not follow message "
                f"{last.seq}, the last one applied of client {about.client}"
            )
        if (reply.support is not None) != (joins and self._supports):
            raise RejectedError("a support is told by a client that joins, and by no other")
        weight = self._weight_of(reply)
        self.introduce(reply.node_id, about.client, connected)
        if joins:
            self.estimate.forget(about.client)
        if reply.support is not None:
            self._support_of[about.client] = reply.support
        self.estimate.fold(about.client, weight, reply.message)
        self._applied[about.client] = about.position


def _following(last: Ack, payload: bytes) -> Ack:
    return Ack(last.seq + 1, chain(last.digest, payload))


def read_reply(reply: Message) -> tuple[Reply, bytes]:
    """Return what a client says about itself and its payload, and the payload.

    Raises
    ------
    ProtocolError
        If the reply is malformed.
    """
    records = list(reply.content.array_records.values())
    if len(records) != 1:
        raise ProtocolError(f"reply holds {len(records)} ArrayRecords instead of one")
    return reply_of(records[0])


def _metrics(reply: Message) -> MetricRecord:
    records = list(reply.content.metric_records.values())
    if len(records) != 1:
        raise RejectedError(
            f"reply holds {len(records)} MetricRecords instead of one; let the app return one"
        )
    return records[0]


def _weight(metrics: MetricRecord, weighted_by_key: str) -> float:
    weight = metrics.get(weighted_by_key)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise RejectedError(
            f"metric {weighted_by_key!r} is {weight!r} instead of a number; let the app return it"
        )
    if not 0 < weight <= MAX_WEIGHT:
        raise RejectedError(f"metric {weighted_by_key!r} is {weight}, which is outside (0, 2^40]")
    return float(weight)
