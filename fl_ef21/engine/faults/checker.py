"""Folds the accepted messages once more, from what passes the Grid, and compares both sides.

The checker reads the messages as clients send them, and asks the server only which of them it
has accepted: the numbers and digests of its acks. What follows from these it works out itself.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from flwr.app import ArrayRecord, Message
from numpy.typing import NDArray

from fl_ef21.compressors import Message as CompressedMessage
from fl_ef21.compressors import Support
from fl_ef21.engine.faults.grid import FaultyGrid
from fl_ef21.engine.faults.states import log_records
from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.client.mod import client_key
from fl_ef21.flower.protocol import Ack, origin
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.payload import unpack
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.checking import read_reply
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy

from fl_ef21.methods.diana import DIANA
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.methods.method import ESTIMATE
from fl_ef21.methods.server import Descent
from fl_ef21.wire import decode

TOLERANCE: Final = 1e-12
"""Of sums, relative to the sum of magnitudes, in float64."""


class BrokenInvariantError(AssertionError):
    """Server and clients differ, or the model moved by what was not accepted."""


@dataclass(frozen=True)
class Sent:
    """A message as its client sent it."""

    place: int | None
    payload: bytes
    weight: float
    private: Mapping[str, bytes]
    disturbed: int


@dataclass(frozen=True)
class Folded:
    """A client's accepted messages, folded."""

    position: Ack
    weight: float
    vector: NDArray[Any]
    private: Mapping[str, bytes]
    support: Support | None
    news: CompressedMessage | None


class LogChecker:
    """Checks a run after every round.

    - I1: the server's estimate is Σ pᵢ ĝᵢ of the accepted messages.
    - I2: the server's ĝᵢ, and the state of each client where the server's ack leads it, are that
      same fold, bit for bit; what a client has committed is the fold up to some accepted message.
    - Every accepted message was sent in answer to an instruction of its round, follows the one
      accepted before, and counts once; a client joins again only if something happened to it.
    - The model moves along that estimate, and not at all when nothing was accepted.

    Mutable: it follows the run. :meth:`tap` is the Grid's tap; :meth:`begin` is called when a
    server begins; :meth:`after_round` is a callback of ``strategy.start``.

    Parameters
    ----------
    weight_of : callable, optional
        mᵢ from client key and number of examples; by default the number of examples.

    Attributes
    ----------
    accepted, rejoined, compared : int
        Messages accepted, of these first messages of known clients, and states compared.
    """

    def __init__(self, weight_of: Callable[[str, float], float] = lambda _, m: m) -> None:
        self.accepted = self.rejoined = self.compared = 0
        self._weight_of = weight_of
        self._sent: defaultdict[tuple[str, Ack], list[Sent]] = defaultdict(list)
        self._folded: dict[str, Folded] = {}
        self._states: dict[Ack, Mapping[str, bytes]] = {}
        self._excused: dict[str, int] = {}

    def begin(self, grid: FaultyGrid, strategy: ErrorFeedbackStrategy, arrays: ArrayRecord) -> None:
        """Begin with a server that knows nothing of the messages before, and its first model."""
        self._grid, self._strategy, self._arrays = grid, strategy, arrays
        self._layout = Layout.of(arrays, strategy.policy.exact_below)
        self._method = strategy.method.fitted(strategy.compressor, self._layout.size)
        self._epoch, self._kept = b"", {}
        self._folded, self._states, self._excused = {}, {}, {}
        self._sent.clear()

    def resume(self, strategy: ErrorFeedbackStrategy, server_round: int) -> None:
        """Go on with a server that remembers all until the end of a round, and no more."""
        before, (self._folded, self._arrays) = self._folded, self._kept[server_round]
        self._folded, self._strategy = dict(self._folded), strategy
        self._sent.clear()
        # Who is ahead of the server has to join again.
        for client, folded in before.items():
            kept = self._folded.get(client)
            if kept is None or kept.position != folded.position:
                self._excused[client] = -1

    def tap(self, message: Message) -> None:
        """Note a reply as its client has sent it."""
        if not message.metadata.reply_to_message_id or message.has_error():
            return
        about, payload = read_reply(message)
        if not about.seq:  # a roll call
            return
        node = message.metadata.src_node_id
        log, place = (
            ClientLog.load(log_records(self._grid.contexts[node])),
            self._grid.place_of(node),
        )
        metrics = next(iter(message.content.metric_records.values()))
        self._sent[about.client, about.position].append(
            Sent(
                place=place,
                payload=payload,
                weight=self._weight_of(about.client, float(metrics["num-examples"])),  # type: ignore[arg-type]
                private=_bits(log.pending.private if log and log.pending else {}),
                disturbed=self._grid.disturbed[place] if place is not None else -1,
            )
        )

    def after_round(self, row: RoundRecord, arrays: ArrayRecord) -> None:
        """Follow one round and compare.

        Raises
        ------
        BrokenInvariantError
            If anything is not as it has to be; the text says what.
        """
        ledger = self._strategy.ledger
        assert ledger is not None
        if ledger.epoch != self._epoch:
            self._begin_epoch(ledger)
        accepted = self._follow(ledger, row)
        direction = self._direction(accepted)
        self._check_server(ledger, direction)
        self._check_clients(ledger)
        self._check_model(row, arrays, direction)
        self._arrays = arrays
        self._sent.clear()
        self._kept[row.round] = dict(self._folded), arrays

    def _begin_epoch(self, ledger: Ledger) -> None:
        """Start anew with a server that has no copy of what it would have to take out."""
        if self._epoch and self._keeps_copies:
            raise BrokenInvariantError("the server has started a new epoch without need")
        self._epoch, self._folded, self._excused = ledger.epoch, {}, {}

    @property
    def _keeps_copies(self) -> bool:
        return self._strategy._mirroring.kind != "off"

    def _follow(self, ledger: Ledger, row: RoundRecord) -> list[str]:
        """Fold what was accepted in the round; return from whom."""
        joined, accepted, same = ledger.joined(), [], []
        for client in set(self._folded) - set(joined):
            if not client.startswith("node-id="):
                raise BrokenInvariantError(f"the server has forgotten {client}")
            del self._folded[client]
        for client, ack in sorted(joined.items()):
            before = self._folded.get(client)
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
        return accepted

    def _fold(self, ledger: Ledger, row: RoundRecord, client: str, ack: Ack) -> None:
        before = self._folded.get(client)
        if (client, ack) not in self._sent:
            raise BrokenInvariantError(
                f"message {ack} of {client} was accepted, which nobody sent in this round"
            )
        sent = self._counted(ledger, client, self._sent[client, ack])
        joins = ack.seq == 1
        if before is None and not joins:
            raise BrokenInvariantError(f"the first message of {client} has number {ack.seq}")
        if joins or before is None:
            last = Ack(0, origin(ledger.epoch, client, row.round))
        else:
            last = before.position
        digest = blake2b(sent.payload, digest_size=8, salt=last.digest, person=b"fl-ef21").digest()
        if ack != Ack(last.seq + 1, digest):
            raise BrokenInvariantError(f"{ack} of {client} does not follow {last}")
        if joins and before is not None:
            self._check_rejoin(client, sent)
        message, support = self._decode(sent.payload, None if joins else before)
        vector = np.zeros(self._layout.size, self._layout.dtype)
        if before is not None and not joins and self._remembers:
            vector[:] = before.vector
        increment = self._method.increment(message)
        if increment.fresh:
            vector[:] = 0
        for piece, values in increment.pieces():
            vector[piece] += values
        weight = sent.weight
        if before is not None and not joins and not self._keeps_copies:
            weight = before.weight  # who is not known cannot be weighed anew
        folded = Folded(ack, weight, vector, sent.private, support, message)
        self._folded[client] = folded
        estimate = {ESTIMATE: vector.tobytes()} if self._remembers else {}
        self._states[ack] = {**sent.private, **estimate}

    def _counted(self, ledger: Ledger, client: str, sent: list[Sent]) -> Sent:
        """Return which of several messages with the same bytes the server has counted.

        A client that takes its turn twice may send them with two weights.
        """
        estimate = ledger.estimate
        if len(sent) > 1 and isinstance(estimate, RememberedEstimate) and self._keeps_copies:
            weight = estimate.contributions()[client][0]
            return next((one for one in sent if one.weight == weight), sent[-1])
        return sent[-1]

    @property
    def _remembers(self) -> bool:
        estimate = self._strategy.ledger.estimate if self._strategy.ledger else None
        return isinstance(estimate, RememberedEstimate)

    def _check_rejoin(self, client: str, sent: Sent) -> None:
        self.rejoined += 1
        if sent.place is None or self._strategy.uses_supports:
            return
        if self._excused.get(client, 0) >= sent.disturbed:
            raise BrokenInvariantError(f"{client} has joined again, and nothing had happened to it")
        self._excused[client] = sent.disturbed

    def _decode(
        self, payload: bytes, before: Folded | None
    ) -> tuple[CompressedMessage, Support | None]:
        body = payload[: len(payload) - self._layout.exact_nbytes]
        if not self._strategy.uses_supports:
            return decode(body, size=self._layout.size), None
        told = unpack(body, self._layout.size)
        support = told.support or (before.support if before else None)
        return decode(told.message, size=self._layout.size, support=support), support

    def _direction(self, accepted: list[str]) -> NDArray[np.float64]:
        """Return Σ pᵢ ĝᵢ, and for methods that step along the round's messages these."""
        counting = self._folded if self._remembers else accepted
        total = sum(self._folded[client].weight for client in counting)
        direction = np.zeros(self._layout.size)
        self._magnitude = np.zeros(self._layout.size)
        for client in counting:
            part = self._folded[client].weight / total * self._folded[client].vector
            direction += part
            self._magnitude += np.abs(part)
        if isinstance(self._method, DIANA):
            for client in accepted:
                news, share = self._folded[client].news, self._folded[client].weight / total
                assert news is not None
                whole, kept = news.to_dense(), self._method.increment(news).to_dense()
                direction += share * (whole - kept)
                self._magnitude += share * (np.abs(whole) + np.abs(kept))
        return direction

    def _check_server(self, ledger: Ledger, direction: NDArray[np.float64]) -> None:
        """I1, and the server's half of I2."""
        self._compare("I1: the estimate", ledger.estimate.mean(), direction)
        if not isinstance(ledger.estimate, RememberedEstimate) or not self._keeps_copies:
            return
        held = ledger.estimate.contributions()
        if held.keys() != self._folded.keys():
            raise BrokenInvariantError(f"the server remembers {sorted(held)}")
        for client, (weight, vector) in held.items():
            folded = self._folded[client]
            if weight != folded.weight or vector.tobytes() != folded.vector.tobytes():
                raise BrokenInvariantError(f"I2: the server's copy of {client} is not its fold")

    def _check_clients(self, ledger: Ledger) -> None:
        """The clients' half of I2."""
        for place, context in self._grid.clients():
            log, client = ClientLog.load(log_records(context)), client_key(context)
            if log is None or log.epoch != ledger.epoch:
                continue
            if log.committed.seq:
                self._check_state(client, log.committed, log)
            last = self._folded.get(client)
            if last is None:
                continue
            agreed = log.acknowledge(last.position, self._method, self._layout.size)
            if agreed is not None:
                self._check_state(client, last.position, agreed)
                self.compared += 1
                if ledger.client_of(context.node_id) == client:
                    self._excused[client] = self._grid.disturbed[place]
            elif not self._is_excused(client, place):
                raise BrokenInvariantError(
                    f"I2: {client} cannot reach {last.position}, and nothing had happened to it"
                )

    def _is_excused(self, client: str, place: int) -> bool:
        disturbed = self._grid.disturbed[place]
        return self._strategy.uses_supports or self._excused.get(client, 0) < disturbed

    def _check_state(self, client: str, position: Ack, log: ClientLog) -> None:
        expected = self._states.get(position)
        if expected is None:
            raise BrokenInvariantError(
                f"I2: {client} has committed {position}, which was never accepted"
            )
        found = _bits(log.state)
        for name, bits in expected.items():
            if found.get(name) != bits:
                raise BrokenInvariantError(f"I2: {name} of {client} is not the fold at {position}")

    def _check_model(
        self, row: RoundRecord, arrays: ArrayRecord, direction: NDArray[np.float64]
    ) -> None:
        before, after = self._layout.vector(self._arrays), self._layout.vector(arrays)
        if row.instructed and row.clients < self._strategy.min_replies:
            if before.tobytes() != after.tobytes():
                raise BrokenInvariantError(
                    f"the model moved in round {row.round} by {row.clients} messages"
                )
            return
        model = self._strategy.model
        if model.downlink is None and model.server == Descent() and not self._counts_silent:
            step = self._method.server_step_size(row.step_size)
            self._magnitude = np.abs(before) + step * self._magnitude
            self._compare("the model", after, before - step * direction)

    @property
    def _counts_silent(self) -> bool:
        return self._method.counts_silent_clients

    def _compare(
        self, what: str, found: NDArray[np.float64], expected: NDArray[np.float64]
    ) -> None:
        error = np.abs(found - expected)
        if (error > TOLERANCE * self._magnitude).any():
            raise BrokenInvariantError(
                f"{what} is off by {error.max():.3g}: {found} instead of {expected}"
            )


def _bits(state: Mapping[str, NDArray[Any]]) -> dict[str, bytes]:
    return {name: vector.tobytes() for name, vector in state.items()}
