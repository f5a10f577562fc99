"""Folds the accepted messages once more, from what passes the Grid.

Messages are read as clients send them. The server is asked only which of them it has accepted: the
numbers and digests of its acks. What follows from these is worked out here.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from flwr.app import ArrayRecord, Message
from numpy.typing import NDArray

from fl_ef21.compressors import Message as CompressedMessage
from fl_ef21.compressors import Support
from fl_ef21.engine.faults.grid import FaultyGrid
from fl_ef21.engine.faults.states import log_records
from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.protocol import DIGEST_BYTES, Ack, origin
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.payload import unpack
from fl_ef21.flower.server.checking import read_reply
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy
from fl_ef21.methods.diana import DIANA
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE
from fl_ef21.wire import decode


class BrokenInvariantError(AssertionError):
    """Server and clients differ, or the model moved by what was not accepted."""


@dataclass(frozen=True)
class Sent:
    """A message as its client sent it."""

    place: int | None
    payload: bytes
    weight: float
    factor: float
    private: Mapping[str, bytes]
    disturbed: int


@dataclass(frozen=True)
class Folded:
    """A client's accepted messages, folded, and the last of them."""

    position: Ack
    weight: float
    factor: float
    vector: NDArray[Any]
    support: Support | None
    message: CompressedMessage


class Sum(NamedTuple):
    """What the server should step along, and the sum of the terms' magnitudes."""

    value: NDArray[np.float64]
    magnitude: NDArray[np.float64]


class Folding:
    """The folds of all clients, followed from round to round.

    Mutable. What it finds wrong it raises as :class:`BrokenInvariantError`.

    Parameters
    ----------
    weight_of : callable
        mᵢ from client key and number of examples.
    scale_of : callable
        cᵢ, by which a client multiplies its signal, from its key.

    Attributes
    ----------
    folded : dict
        Of every client that has joined, by key.
    states : dict
        What a client's state has to be, by its place in the log.
    excused : dict
        How often each client had been disturbed when both sides were last seen equal: one that
        was disturbed since may have to join again.
    accepted, rejoined : int
        Messages accepted, and of these first messages of known clients.
    """

    def __init__(
        self, weight_of: Callable[[str, float], float], scale_of: Callable[[str], float]
    ) -> None:
        self.folded: dict[str, Folded] = {}
        self.states: dict[Ack, Mapping[str, bytes]] = {}
        self.excused: dict[str, int] = {}
        self.accepted = self.rejoined = 0
        self._weight_of, self._scale_of = weight_of, scale_of
        self._sent: defaultdict[tuple[str, Ack], list[Sent]] = defaultdict(list)
        self._kept: dict[int, dict[str, Folded]] = {}
        self._epoch = b""

    def begin(self, grid: FaultyGrid, strategy: ErrorFeedbackStrategy, model: ArrayRecord) -> None:
        """Begin with a server that knows nothing of the messages before."""
        self._grid, self._strategy = grid, strategy
        self.layout = Layout.of(model, strategy.policy.exact_below)
        self.method = strategy.method.fitted(strategy.compressor, self.layout.size)
        self.folded, self.states, self.excused = {}, {}, {}
        self._kept, self._epoch = {}, b""
        self._sent.clear()

    def resume(self, strategy: ErrorFeedbackStrategy, server_round: int) -> None:
        """Go on with a server that remembers all until the end of a round, and no more."""
        before, self._strategy = self.folded, strategy
        self.folded = dict(self._kept[server_round])
        self._sent.clear()
        for client, folded in before.items():
            kept = self.folded.get(client)
            if kept is None or kept.position != folded.position:
                self.excused[client] = -1  # it is ahead of the server, and has to join again

    @property
    def remembers(self) -> bool:
        """Whether messages outlive their round."""
        estimate = self._strategy.ledger.estimate if self._strategy.ledger else None
        return isinstance(estimate, RememberedEstimate)

    @property
    def has_mirrors(self) -> bool:
        """Whether the server keeps copies of the clients' vectors."""
        return self._strategy._mirroring.kind != "off"

    def tap(self, message: Message) -> None:
        """Note a reply as its client has sent it."""
        if not message.metadata.reply_to_message_id or message.has_error():
            return
        about, payload = read_reply(message)
        if not about.seq:  # a roll call
            return
        node = message.metadata.src_node_id
        ledger, place = self._strategy.ledger, self._grid.nodes.place_of(node)
        assert ledger is not None
        log = ClientLog.load(log_records(self._grid.contexts[node], ledger.epoch))
        metrics = next(iter(message.content.metric_records.values()))
        examples = float(metrics["num-examples"])  # type: ignore[arg-type]
        weight = self._weight_of(about.client, examples)
        sent = Sent(
            place=place,
            payload=payload,
            weight=weight,
            factor=weight / self._scale_of(about.client),
            private=bits(log.pending.private if log and log.pending else {}),
            disturbed=self._grid.nodes.disturbed[place] if place is not None else -1,
        )
        self._sent[about.client, about.position].append(sent)

    def follow(self, ledger: Ledger, row: RoundRecord) -> list[str]:
        """Fold what was accepted in a round, and return from whom."""
        if ledger.epoch != self._epoch:
            self._begin_epoch(ledger)
        joined, accepted, same = ledger.joined(), [], []
        for client in set(self.folded) - set(joined):
            if not client.startswith("node-id="):
                raise BrokenInvariantError(f"the server has forgotten {client}")
            del self.folded[client]
        for client, ack in sorted(joined.items()):
            before = self.folded.get(client)
            if before is None or before.position != ack:
                accepted.append(client)
            elif ack.seq == 1 and (client, ack) in self._sent:
                same.append(client)  # it has joined again with the same bytes, or was not heard
        if len(accepted) + len(same) == row.clients:
            accepted += same
        if len(accepted) != row.clients:
            raise BrokenInvariantError(
                f"round {row.round} applied {row.clients} messages, but the acks of "
                f"{len(accepted)} clients have moved"
            )
        for client in accepted:
            self._fold(ledger, row, client, joined[client])
        self.accepted += len(accepted)
        self._sent.clear()
        self._kept[row.round] = dict(self.folded)
        return accepted

    def sum(self, accepted: list[str]) -> Sum:
        """Return Σ pᵢ ĝᵢ/cᵢ, and for methods that step along the round's messages these."""
        counting = self.folded if self.remembers else accepted
        total = sum(self.folded[client].weight for client in counting)
        value, magnitude = np.zeros(self.layout.size), np.zeros(self.layout.size)
        for client in counting:
            term = self.folded[client].factor / total * self.folded[client].vector
            value += term
            magnitude += np.abs(term)
        if isinstance(self.method, DIANA):
            for client in accepted:
                last, share = self.folded[client].message, self.folded[client].factor / total
                whole, learned = last.to_dense(), self.method.increment(last).to_dense()
                value += share * (whole - learned)
                magnitude += share * (np.abs(whole) + np.abs(learned))
        if not self.has_mirrors:
            # A sum that is never made anew keeps the rounding of all that was in it.
            magnitude[:] = magnitude.max()
        return Sum(value, magnitude)

    def _begin_epoch(self, ledger: Ledger) -> None:
        """Start anew with a server that has no copy of what it would have to take out."""
        if self._epoch and self.has_mirrors:
            raise BrokenInvariantError("the server has started a new epoch without need")
        self._epoch, self.folded, self.excused = ledger.epoch, {}, {}

    def _fold(self, ledger: Ledger, row: RoundRecord, client: str, ack: Ack) -> None:
        if (client, ack) not in self._sent:
            raise BrokenInvariantError(
                f"message {ack} of {client} was accepted, which nobody sent in this round"
            )
        sent = self._counted(ledger, client, self._sent[client, ack])
        before, joins = self.folded.get(client), ack.seq == 1
        if joins:
            last = Ack(0, origin(ledger.epoch, client, row.round))
        elif before is None:
            raise BrokenInvariantError(f"the first message of {client} has number {ack.seq}")
        else:
            last = before.position
        if ack != Ack(last.seq + 1, _digest(sent.payload, last)):
            raise BrokenInvariantError(f"{ack} of {client} does not follow {last}")
        if joins and before is not None:
            self._require_cause(client, sent)
        self._keep(client, ack, sent, None if joins else before)

    def _keep(self, client: str, ack: Ack, sent: Sent, before: Folded | None) -> None:
        message, support = self._decode(sent.payload, before)
        vector = np.zeros(self.layout.size, self.layout.dtype)
        weight, factor = sent.weight, sent.factor
        if before is not None and self.remembers:
            vector[:] = before.vector
        if before is not None and not self.has_mirrors:
            # What is not known cannot be weighed anew.
            weight, factor = before.weight, before.factor
        increment = self.method.increment(message)
        if increment.fresh:
            vector[:] = 0
        for piece, values in increment.pieces():
            vector[piece] += values
        self.folded[client] = Folded(ack, weight, factor, vector, support, message)
        estimate = {ESTIMATE: vector.tobytes()} if self.remembers else {}
        self.states[ack] = {**sent.private, **estimate}

    def _counted(self, ledger: Ledger, client: str, sent: list[Sent]) -> Sent:
        """Return which of several messages with the same bytes the server has counted.

        A client that takes its turn twice may send them with two weights.
        """
        estimate = ledger.estimate
        if len(sent) > 1 and isinstance(estimate, RememberedEstimate) and self.has_mirrors:
            factor = estimate.contributions()[client][0]
            return next((one for one in sent if one.factor == factor), sent[-1])
        return sent[-1]

    def _require_cause(self, client: str, sent: Sent) -> None:
        self.rejoined += 1
        if sent.place is None or self._strategy.uses_supports:  # a support may have grown
            return
        if self.excused.get(client, 0) >= sent.disturbed:
            raise BrokenInvariantError(f"{client} has joined again, and nothing had happened to it")
        self.excused[client] = sent.disturbed

    def _decode(
        self, payload: bytes, before: Folded | None
    ) -> tuple[CompressedMessage, Support | None]:
        body = payload[: len(payload) - self.layout.exact_nbytes]
        if not self._strategy.uses_supports:
            return decode(body, size=self.layout.size), None
        told = unpack(body, self.layout.size)
        support = told.support or (before.support if before else None)
        return decode(told.message, size=self.layout.size, support=support), support


def bits(state: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    """Return the bytes of every vector."""
    return {name: vector.tobytes() for name, vector in state.items()}


def _digest(payload: bytes, last: Ack) -> bytes:
    """Return the chained digest, worked out anew."""
    hashed = blake2b(payload, digest_size=DIGEST_BYTES, salt=last.digest, person=b"fl-ef21")
    return hashed.digest()
