"""From the replies of a round to the ones that were applied, with a reason for every other."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from logging import INFO, WARNING
from typing import Any

from flwr.app import Message
from flwr.common import log
from numpy.typing import NDArray

from fl_ef21.flower.protocol import NO_MOD, ProtocolError, with_advice
from fl_ef21.flower.protocol.records import is_error, metadata
from fl_ef21.flower.server.buffers import buffer_mean
from fl_ef21.flower.server.checking import CheckedReply, Expected, RejectedError, read_reply
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.meter import MessageSize, measure


@dataclass(frozen=True)
class Received:
    """What came of a round's replies.

    Attributes
    ----------
    applied : tuple of CheckedReply
        The replies that were folded into the estimate, in the order of client keys.
    errors : tuple of str
        One text for each error reply.
    rejections : tuple of str
        One text for each quarantined reply.
    answered : frozenset of int
        Nodes that have answered, in whatever way.
    unanswered : int
        Instructions without any reply.
    payload_bytes : int
        Array data of all replies, in bytes.
    size : MessageSize
        All replies, in bytes.
    """

    applied: tuple[CheckedReply, ...]
    errors: tuple[str, ...]
    rejections: tuple[str, ...]
    answered: frozenset[int]
    unanswered: int
    payload_bytes: int
    size: MessageSize

    @property
    def failures(self) -> int:
        """Instructions that were answered by an error or not at all."""
        return len(self.errors) + self.unanswered

    @property
    def without_mod(self) -> bool:
        """Whether every instruction was answered, and every answer lacks ``ef21_mod``."""
        complete = bool(self.rejections) and not self.failures
        return complete and all(reason.endswith(NO_MOD) for reason in self.rejections)

    def mean_exact_arrays(self) -> list[NDArray[Any]]:
        """Return the weighted means of the arrays that travel exact, in their own dtypes."""
        weights = [reply.weight for reply in self.applied]
        columns = zip(*(reply.exact for reply in self.applied), strict=True)
        return [buffer_mean(arrays, weights) for arrays in columns]


def receive(
    replies: Sequence[Message],
    instructions: Sequence[Message],
    expected: Mapping[int, Expected],
    ledger: Ledger,
    connected: Collection[int],
    quorum: int = 1,
) -> Received:
    """Check every reply, then apply the good ones in the order of client keys.

    ``expected`` says what each node was asked for.

    Nothing is applied before everything was checked, and the order in which replies arrive makes
    no difference. Only replies to this round's instructions count, each once. Methods that forget a
    round's messages with the round get none of them where fewer than ``quorum`` could be applied:
    clients that are not acknowledged keep what they have said.
    """
    # Flower writes the id into the instruction when it sends it. An error reply that Flower makes
    # itself comes from another node id, so this is the only way to know who failed.
    sent = map(metadata, instructions)
    nodes = {about["_message_id"]: about["_dst_node_id"] for about in sent}
    size, payload_bytes = measure(replies), 0
    answered: set[str] = set()
    checked: list[CheckedReply] = []
    errors: list[str] = []
    rejections: list[str] = []
    for reply in sorted(replies, key=lambda r: metadata(r)["_reply_to_message_id"]):
        instruction_id = metadata(reply)["_reply_to_message_id"]
        node_id = nodes.get(instruction_id)
        try:
            if node_id is None:
                said = f" ({with_advice(str(reply.error.reason))})" if reply.has_error() else ""
                raise RejectedError(f"it answers no instruction of this round{said}")
            if instruction_id in answered:
                raise RejectedError("its instruction was answered before")
            answered.add(instruction_id)
            if is_error(reply):
                name, reason = _name(ledger, node_id, reply), with_advice(str(reply.error.reason))
                errors.append(f"{name}: error {reply.error.code}: {reason}")
            else:
                expects = expected[node_id]
                found = ledger.check(node_id, reply, expects)
                scale = expects.scale
                checked.append(found if scale == 1 else found._replace(scale=scale))
                payload_bytes += len(checked[-1].payload)
        except RejectedError as rejected:
            rejections.append(f"{_name(ledger, node_id, reply)}: {rejected}")
            payload_bytes += _payload_bytes(reply)
    if not ledger.estimate.remembers and 0 < _applicable(checked, ledger, connected) < quorum:
        rejections += [f"client {r.about.client}: fewer than {quorum} replies" for r in checked]
        checked = []
    applied = _apply(checked, ledger, rejections, connected)
    ledger.end_round()
    received = Received(
        applied=tuple(applied),
        errors=tuple(errors),
        rejections=tuple(rejections),
        answered=frozenset(nodes[instruction_id] for instruction_id in answered),
        unanswered=len(nodes) - len(answered),
        payload_bytes=payload_bytes,
        size=size,
    )
    _log(received)
    return received


def _apply(
    checked: Sequence[CheckedReply],
    ledger: Ledger,
    rejections: list[str],
    connected: Collection[int],
) -> list[CheckedReply]:
    applied: list[CheckedReply] = []
    for reply in sorted(checked, key=lambda r: (r.about.client, r.about.seq, r.node_id)):
        try:
            ledger.apply(reply, connected)
            applied.append(reply)
        except RejectedError as rejected:
            rejections.append(f"client {reply.about.client}: {rejected}")
    return applied


def _applicable(checked: Sequence[CheckedReply], ledger: Ledger, connected: Collection[int]) -> int:
    """Return how many clients have a reply that may be applied."""
    clients = set()
    for reply in checked:
        with suppress(RejectedError):
            ledger.require_next(reply, connected)
            clients.add(reply.about.client)
    return len(clients)


def _name(ledger: Ledger, node_id: int | None, reply: Message) -> str:
    client = None if node_id is None else ledger.client_of(node_id)
    if client:
        return f"client {client}"
    try:
        claim = f", client {read_reply(reply)[0].client}" if reply.has_content() else ""
    except ProtocolError:
        claim = ""
    return f"node {node_id or reply.metadata.src_node_id}{claim}"


def _payload_bytes(reply: Message) -> int:
    """Return the payload's bytes; of a reply that is none of ours, those of all its arrays."""
    if reply.has_error():
        return 0
    try:
        return len(read_reply(reply)[1])
    except ProtocolError:
        records = reply.content.array_records.values()
        return sum(len(array.data) for record in records for array in record.values())


def _log(received: Received) -> None:
    log(
        INFO,
        "aggregate_train: Received %s results, %s failures and %s rejected replies",
        len(received.applied),
        received.failures,
        len(received.rejections),
    )
    for text in received.errors:
        log(INFO, "\t> Received error in reply from %s", text)
    for text in received.rejections:
        log(WARNING, "\t> Rejected reply from %s", text)
