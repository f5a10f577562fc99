"""From what a run has agreed on to the message for each client."""

from collections.abc import Sequence
from dataclasses import dataclass
from logging import WARNING

from flwr.app import Message, MessageType, RecordDict
from flwr.common import log
from flwr.serverapp import Grid

from fl_ef21.flower.ledger import Ledger, read_reply
from fl_ef21.flower.meter import MessageSize, measure
from fl_ef21.flower.protocol import RECORD, Instruction, ProtocolError


@dataclass(frozen=True)
class Terms:
    """What all instructions of a run have in common; see :class:`Instruction`."""

    method: str
    compressor: str
    signal: str
    seed: int

    def instruct(
        self,
        ledger: Ledger,
        server_round: int,
        node_id: int,
        model: RecordDict,
        *,
        roll_call: bool = False,
    ) -> Message:
        """Return the instruction for one node, with the model's records beside it."""
        ack = ledger.ack(node_id)
        instruction = Instruction(
            epoch=ledger.epoch,
            round=server_round,
            method=self.method,
            compressor=self.compressor,
            signal=self.signal,
            seed=self.seed,
            seq=ack.seq,
            digest=ack.digest,
            roll_call=roll_call,
        )
        content = RecordDict({**model, RECORD: instruction.to_record()})
        return Message(content=content, message_type=MessageType.TRAIN, dst_node_id=node_id)


def call_roll(
    terms: Terms,
    ledger: Ledger,
    server_round: int,
    nodes: Sequence[int],
    grid: Grid,
    timeout: float | None,
) -> tuple[MessageSize, MessageSize]:
    """Ask the nodes that have not given their client key for it, and note the keys.

    Nodes that do not answer, or not properly, cannot be drawn this round and are asked again in
    the next.

    Returns
    -------
    tuple of MessageSize
        What was sent, and what came back.
    """
    calls = [
        terms.instruct(ledger, server_round, node, RecordDict(), roll_call=True)
        for node in nodes
        if ledger.client_of(node) is None
    ]
    if not calls:
        return MessageSize(), MessageSize()
    replies = list(grid.send_and_receive(calls, timeout=timeout))
    asked = {call.metadata.message_id: call.metadata.dst_node_id for call in calls}
    for reply in replies:
        node_id = asked.get(reply.metadata.reply_to_message_id)
        if node_id is None or reply.has_error():
            continue
        try:
            ledger.introduce(node_id, read_reply(reply)[0].client)
        except ProtocolError as error:
            log(
                WARNING, "configure_train: node %d did not answer the roll call: %s", node_id, error
            )
    return measure(calls), measure(replies)
