"""What the server writes down of a run, for :mod:`fl_ef21.flower.audit`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flwr.app import Message

from fl_ef21.flower.protocol import RECORD
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.flower.server.receiving import Received
from fl_ef21.flower.storage import Journal, fingerprint

FILE: Final = "server.jsonl"


class RunJournal:
    """The server's journal of one run.

    Parameters
    ----------
    folder : path-like or None
        Where it goes; ``None`` writes nothing.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._journal = Journal.within(folder, FILE)

    def began(self, ledger: Ledger, server_round: int) -> None:
        """Note that the log starts, in an epoch of its own."""
        self._journal.write("epoch", epoch=ledger.epoch, round=server_round)

    def resumed(self, ledger: Ledger, server_round: int) -> None:
        """Note that the run goes on from the checkpoint of a round."""
        self._journal.write("resumed", epoch=ledger.epoch, round=server_round)

    def sent(self, ledger: Ledger, server_round: int, instructions: Sequence[Message]) -> None:
        """Note the instructions of a round, with the ack of each."""
        if not self._journal:
            return
        for instruction in instructions:
            node, told = instruction.metadata.dst_node_id, instruction.content[RECORD]
            self._journal.write(
                "sent",
                round=server_round,
                node=node,
                client=ledger.client_of(node),
                seq=told["seq"],
                digest=told["digest"],
            )

    def received(self, ledger: Ledger, server_round: int, received: Received) -> None:
        """Note what was accepted and what was not, and how exact the estimate is."""
        if not self._journal:
            return
        for reply in received.applied:
            vector = ledger.estimate.vector(reply.about.client)
            self._journal.write(
                "accepted",
                round=server_round,
                client=reply.about.client,
                seq=reply.about.seq,
                digest=reply.about.digest,
                state=None if vector is None else fingerprint(vector),
            )
        for text in (*received.errors, *received.rejections):
            self._journal.write("refused", round=server_round, reason=text)
        # First: the sum is made anew when it is asked for after somebody has left.
        ledger.estimate.mean()
        self._journal.write(
            "applied",
            round=server_round,
            replies=len(received.applied),
            drift=ledger.estimate.drift(),
            dtype=str(ledger.layout.dtype),
        )

    def kept(self, server_round: int) -> None:
        """Note that a round has ended, and that its checkpoint is on the disk."""
        self._journal.write("checkpoint", round=server_round)
