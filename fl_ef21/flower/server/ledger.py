"""The server's side of the log: which message of which client was applied last.

The ledger decides on replies and applies them; it never changes anything for a reply that it
refuses.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from logging import WARNING
from typing import Final, NamedTuple

import numpy as np
from flwr.app import Message
from flwr.common import log

from fl_ef21.compressors import Message as CompressedMessage
from fl_ef21.compressors import Support
from fl_ef21.flower.protocol import Ack, ProtocolError, Reply, chain, origin
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.payload import (
    decode_shared,
    decode_support,
    encode_support,
    unpack,
)
from fl_ef21.flower.server.checking import CheckedReply, Expected, Limits, RejectedError, checked
from fl_ef21.flower.server.names import ClientNames
from fl_ef21.flower.server.norms import NormBound
from fl_ef21.flower.server.rejoins import Rejoins
from fl_ef21.methods import Estimate, Snapshot
from fl_ef21.methods.mirrors import NoMirrorError

_NOTHING: Final = Ack()


class _Client(NamedTuple):
    """What is known of one client."""

    last: Ack
    support: Support | None = None


@dataclass(frozen=True)
class Rules:
    """What a run asks of its replies.

    Attributes
    ----------
    weighted_by_key : str
        Name of the metric with a client's weight.
    weight_of : callable
        The weight mᵢ > 0 of the client that has sent a reply; the number of examples that it
        reports, by default. May raise :class:`RejectedError`.
    supports : bool
        Whether messages lie on the clients' own coordinates (EF21-RF).
    fresh : bool
        Whether messages may take the place of all before them, as the method's may.
    limits : Limits
        What no honest reply exceeds.
    norms : NormBound
        What its client has sent so far bounds a message.
    """

    weighted_by_key: str = "num-examples"
    weight_of: Callable[[CheckedReply], float] = lambda reply: reply.weight
    supports: bool = False
    fresh: bool = True
    limits: Limits = field(default_factory=Limits)
    norms: NormBound = field(default_factory=NormBound)


class Ledger:
    """The log of one epoch.

    Mutable: it is the one place where the server's copy of the log lives.

    Parameters
    ----------
    epoch : bytes
        Eight bytes that name the run, or the part of it since the last restart of the log.
    layout : Layout
        Of the model.
    estimate : Estimate
        The method's estimate, into which accepted messages are folded.
    rules : Rules
        What is asked of replies.
    names : ClientNames, optional
        Which client each node is, as far as that is known already.

    Attributes
    ----------
    broken : bool
        Whether a client has left, or has lost its state, whose contribution cannot be taken out:
        the log has to start anew, with another epoch.
    rejoins : Rejoins
        Clients that have joined again.
    """

    def __init__(
        self,
        epoch: bytes,
        layout: Layout,
        estimate: Estimate,
        rules: Rules | None = None,
        names: ClientNames | None = None,
    ) -> None:
        self.epoch = epoch
        self.layout = layout
        self.estimate = estimate
        self.rules = rules or Rules()
        self.names = names or ClientNames()
        self.broken = False
        self.rejoins = Rejoins()
        self._clients: dict[str, _Client] = {}
        self._round = 0

    def begin_round(self, server_round: int) -> None:
        """Prepare for the replies of a round: first messages are bound to it."""
        self._round = server_round
        self.estimate.begin_round()

    def client_of(self, node_id: int) -> str | None:
        """Return the client key that a node has given, or ``None``."""
        return self.names.client_of(node_id)

    def ack(self, node_id: int) -> Ack:
        """Return the last applied message of the client on a node; ``Ack()`` if there is none."""
        known = self._clients.get(self.client_of(node_id) or "")
        return known.last if known else _NOTHING

    def joined(self) -> dict[str, Ack]:
        """Return a copy of the last applied message of every client."""
        return {client: known.last for client, known in self._clients.items()}

    def silent(self, connected: Collection[int]) -> int:
        """Return how many connected clients have not joined, as far as that is known.

        A node that has not given its key yet may be a client that has joined on a node that is
        gone: it counts already.
        """
        keys = [self.names.client_of(node) for node in connected]
        away = len(self._clients.keys() - set(keys))
        unnamed = keys.count(None)
        heard = len(self._clients) - away
        return len(keys) - heard - min(unnamed, away)

    def __len__(self) -> int:
        """Return how many clients have joined."""
        return len(self._clients)

    def drop_unnamed(self, connected: Collection[int]) -> None:
        """Let clients leave that are known by a node id only, once that node is gone.

        Node ids do not come back, so what such a client has contributed would count for ever.
        """
        for client in self.names.gone(connected):
            log(WARNING, "client %s is gone; its contribution is taken out", client)
            self.leave(client)

    def leave(self, client: str) -> None:
        """Take a client's contribution out and forget the client."""
        self.names.forget(client)
        if self._clients.pop(client, None) is not None:
            self._take_out(client)

    def check(self, node_id: int, reply: Message, expected: Expected | None = None) -> CheckedReply:
        """Read a reply without changing anything.

        Parameters
        ----------
        node_id : int
            Of the node that was asked.
        reply : Message
            Its answer.
        expected : Expected, optional
            What its instruction has asked for; anything that fits the model, by default.

        Raises
        ------
        RejectedError
            If a part is missing, malformed, or out of range.
        """
        rules = self.rules
        decoder = partial(self._message, expected)
        found = checked(node_id, reply, self.layout, decoder, rules.limits, rules.weighted_by_key)
        if found.message.fresh and not rules.fresh:
            raise RejectedError("the message takes the place of all before it, which is not due")
        return found

    def _message(
        self, expected: Expected | None, about: Reply, payload: bytes
    ) -> tuple[CompressedMessage, Support | None]:
        """Return a payload's message, and the support if the client tells one."""
        if not self.rules.supports:
            if expected is None:
                return decode_shared(payload, self.layout.size), None
            if len(payload) > expected.message_bytes(about.seq):
                raise RejectedError(
                    f"a message of {len(payload)} bytes is longer than any that was asked for"
                )
            return decode_shared(payload, self.layout.size, form=expected.form), None
        # Those on a support are dense or sparse, and no longer than the support.
        told = unpack(payload, self.layout.size)
        known = self._clients.get(about.client)
        support = told.support or (known.support if known else None)
        if support is None:
            raise ProtocolError("the client's support is not known; it has to join again")
        return decode_shared(told.message, self.layout.size, support), told.support

    def require_next(self, reply: CheckedReply, connected: Collection[int]) -> bool:
        """Return whether a reply is the first of a client that joins, if it may be applied.

        Raises
        ------
        RejectedError
            If the message is not the next one of its client's log.
        """
        about, client = reply.about, reply.about.client
        known, joins = self._clients.get(client), False
        last = known.last if known else _NOTHING
        if known is None or about.seq == 1:
            nothing = Ack(0, origin(self.epoch, client, self._round))
            last = last if known else nothing
            joins = about.position == _following(nothing, reply.payload)
        if not joins and about.position != _following(last, reply.payload):
            raise RejectedError(
                f"message {about.seq} with digest {about.digest.hex()} does not follow message "
                f"{last.seq}, the last one applied of client {client}"
            )
        if (reply.support is not None) != (joins and self.rules.supports):
            raise RejectedError("a support is told by a client that joins, and by no other")
        self.names.require_free(reply.node_id, client, connected)
        self.rules.norms.require(client, reply.message)
        return joins

    def apply(self, reply: CheckedReply, connected: Collection[int]) -> None:
        """Fold a message into the estimate if it is the next one of its client's log.

        A first message of a client that is known already says that the client has lost its state:
        its old contribution is taken out before the new one is folded.

        Raises
        ------
        RejectedError
            If the message is not the next one; nothing has changed then, except that the log may
            be broken.
        """
        joins = self.require_next(reply, connected)
        weight, client = self.rules.weight_of(reply), reply.about.client
        known = self._clients.get(client)
        if joins and known is not None and not self._take_out(client):
            raise RejectedError(
                "it joins again, and its old contribution cannot be taken out; the next round "
                "starts the log anew"
            )
        self.names.note(reply.node_id, client)
        self.estimate.fold(client, weight, reply.message, reply.scale)
        if joins and known is not None and not _has_grown(known.support, reply.support):
            self.rejoins.note(client)
        support = reply.support or (known.support if known else None)
        self._clients[client] = _Client(reply.about.position, support)
        self.rules.norms.note(client, reply.message)

    def end_round(self) -> None:
        """Say who has joined again in the round."""
        self.rejoins.warn(self._round)

    def _take_out(self, client: str) -> bool:
        try:
            self.estimate.forget(client)
        except NoMirrorError as error:
            log(WARNING, "the log starts anew in the next round: %s", error)
            self.broken = True
        return not self.broken

    def snapshot(self) -> Snapshot:
        """Return the log without the estimate."""
        clients = {
            client: [
                known.last.seq,
                known.last.digest,
                encode_support(known.support) if known.support else b"",
            ]
            for client, known in self._clients.items()
        }
        values = {"epoch": self.epoch, "broken": self.broken, "clients": clients}
        names, norms = self.names.by_node(), self.rules.norms.largest
        return Snapshot({}, {**values, "names": names, "norms": norms})

    def restore(self, snapshot: Snapshot) -> None:
        """Take the log of a snapshot."""
        values = snapshot.values
        self.epoch, self.broken = values["epoch"], values["broken"]
        self.names = ClientNames({int(n): client for n, client in values["names"].items()})
        self.rules.norms.largest = dict(values["norms"])
        self._clients = {
            client: _Client(
                Ack(seq, digest), decode_support(told, self.layout.size) if told else None
            )
            for client, (seq, digest, told) in values["clients"].items()
        }


def _has_grown(known: Support | None, told: Support | None) -> bool:
    """Whether a client joins to tell more coordinates, as EF21-RF has it do."""
    if known is None or told is None or known == told:
        return False
    return bool(np.isin(known.indices, told.indices).all())


def _following(last: Ack, payload: bytes) -> Ack:
    return Ack(last.seq + 1, chain(last.digest, payload))
