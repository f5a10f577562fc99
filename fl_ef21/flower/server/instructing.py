"""From what a run has agreed on to the message for each client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from logging import WARNING
from typing import Final, NamedTuple

from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.common import log
from flwr.serverapp import Grid

from fl_ef21.compressors import Compressor
from fl_ef21.flower.protocol import NO_MOD, RECORD, Instruction, ProtocolError, origin
from fl_ef21.flower.protocol.instruction import Common
from fl_ef21.flower.protocol.policy import LayerPolicy
from fl_ef21.flower.protocol.records import entries, filled, held, instruction_message
from fl_ef21.flower.server.broadcast import Update
from fl_ef21.flower.server.checking import RejectedError, read_reply
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.meter import MessageSize, measure


class Share(NamedTuple):
    """What is one client's own in a round.

    Attributes
    ----------
    compressor : Compressor
        What it compresses with.
    scale : float
        What it multiplies its signal by.
    update : Update, optional
        What moves its copy of the model, if the downlink is compressed.
    """

    compressor: Compressor
    scale: float = 1.0
    update: Update | None = None


@dataclass(frozen=True, eq=False)
class Terms:
    """What all instructions of a round have in common; see :class:`Instruction`."""

    method: str
    policy: LayerPolicy
    signal: str
    seed: int
    step_size: float = 1.0
    coin: bool = False
    supports: bool = False
    downlink: str = ""

    def instruct(
        self,
        ledger: Ledger,
        server_round: int,
        node_id: int,
        model: RecordDict,
        share: Share | None = None,
        message_type: str = MessageType.TRAIN,
    ) -> Message:
        """Return the instruction for one node, with the model's records beside it.

        Without a share it is a roll call.
        """
        compressor, scale = (share.compressor.text, float(share.scale)) if share else ("", 1.0)
        common = self._common(ledger.epoch, server_round, compressor, scale, share is None)
        content, ack = dict(entries(model)), ledger.ack(node_id)
        update = share.update if share else None
        if update is None:
            content[RECORD] = common.record(ack)
        else:
            instruction = replace(
                common.instruction,
                seq=ack.seq,
                digest=ack.digest,
                downlink=self.downlink,
                base=update.base,
                version=update.version,
                model_digest=update.digest,
                direction=update.direction,
            )
            # As large as the model, some of them: nobody shall keep it to look something up by it.
            content[RECORD] = instruction.to_record()
            content[held(model, ArrayRecord)[0][0]] = update.arrays
        return instruction_message(filled(RecordDict, content), message_type, node_id)

    @lru_cache(maxsize=1024)  # noqa: B019 - the terms of the last rounds, a few numbers each
    def _common(
        self, epoch: bytes, server_round: int, compressor: str, scale: float, roll_call: bool
    ) -> Common:
        """Return what clients of a round are told that differ in their acks alone."""
        instruction = Instruction(
            epoch=epoch,
            round=server_round,
            method=self.method,
            compressor=compressor,
            scope=self.policy.scope,
            exact_below=self.policy.exact_below,
            layers=self.policy.text,
            signal=self.signal,
            seed=self.seed,
            step_size=self.step_size,
            scale=scale,
            coin=self.coin,
            seq=0,
            digest=b"",
            supports=self.supports,
            roll_call=roll_call,
        )
        return Common(instruction)


@dataclass(frozen=True)
class RollCall:
    """What came of asking nodes for their keys.

    Attributes
    ----------
    sent, received : MessageSize
        All calls and answers, in bytes.
    errors : tuple of str
        One text for every node that did not give its key.
    asked : tuple of int
        The nodes.
    answered : frozenset of int
        Those that have answered, in whatever way.
    """

    sent: MessageSize
    received: MessageSize
    errors: tuple[str, ...]
    asked: tuple[int, ...] = ()
    answered: frozenset[int] = frozenset()


NO_ROLL_CALL: Final = RollCall(MessageSize(), MessageSize(), ())

CALLS: Final = 3
"""How often nodes are asked that all answer with an error: one damaged answer may be chance."""


def call_roll(
    terms: Terms,
    ledger: Ledger,
    server_round: int,
    nodes: Sequence[int],
    grid: Grid,
    timeout: float | None,
) -> RollCall:
    """Ask the nodes that have not given their client key for it, and note the keys.

    Nodes that do not answer, or not properly, cannot be drawn this round and are asked again in
    the next.

    Raises
    ------
    ProtocolError
        If no node has ever given its key and all answer with an error, however often they are
        asked: the clients lack the mod.
    """
    asked = [node for node in nodes if ledger.client_of(node) is None]
    if not asked:
        return NO_ROLL_CALL
    nobody_known = not len(ledger) and not ledger.names.by_node()
    sent = received = MessageSize()
    answered: set[int] = set()
    for _ in range(CALLS if nobody_known else 1):
        calls = [terms.instruct(ledger, server_round, node, RecordDict()) for node in asked]
        replies = list(grid.send_and_receive(calls, timeout=timeout))
        asked_by = {call.metadata.message_id: call.metadata.dst_node_id for call in calls}
        errors = _note_keys(ledger, server_round, nodes, asked_by, replies)
        answered.update(node for r in replies if (node := asked_by.get(_answers(r))) is not None)
        sent, received = sent + measure(calls), received + measure(replies)
        all_err = len(errors) == len(asked) == len(replies)
        if not all_err:
            break
    if nobody_known and all_err:
        raise ProtocolError(f"{NO_MOD} (a client says: {next(iter(errors.values()))})")
    for text in errors.values():
        log(WARNING, "configure_train: %s", text)
    return RollCall(sent, received, tuple(errors.values()), tuple(asked), frozenset(answered))


def _note_keys(
    ledger: Ledger,
    server_round: int,
    nodes: Sequence[int],
    asked_by: Mapping[str, int],
    replies: Sequence[Message],
) -> dict[int, str]:
    """Note the keys in the answers to a roll call; return a text for each node without one.

    ``asked_by`` are the nodes by the ids of their calls.
    """
    errors = {node: f"node {node}: no answer to the roll call" for node in asked_by.values()}
    for reply in replies:
        node = asked_by.get(_answers(reply))
        if node is None:
            continue
        try:
            if reply.has_error():
                raise ProtocolError(str(reply.error.reason))
            about, _ = read_reply(reply)
            if about.digest != origin(ledger.epoch, about.client, server_round):
                raise ProtocolError("the key is damaged, or one of another round")
            ledger.names.introduce(node, about.client, nodes)
            errors.pop(node, None)
        except (ProtocolError, RejectedError) as error:
            errors[node] = f"node {node}: {error}"
    return errors


def _answers(reply: Message) -> str:
    """Return the id of the call that a reply answers."""
    return reply.metadata.reply_to_message_id
