"""What a client writes down of its log, for :mod:`fl_ef21.flower.audit`."""

from functools import lru_cache
from typing import Final, Self

from flwr.app import Context

from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.protocol import Ack
from fl_ef21.flower.storage import Journal, file_name, fingerprint
from fl_ef21.methods.method import ESTIMATE

KEY: Final = "journal-dir"
"""Name in the node config, or in the run config, of the folder."""


class ClientJournal:
    """One client's journal.

    Parameters
    ----------
    journal : Journal
        Where it is written; may be the one that does nothing.
    client : str
        The client's key.
    """

    def __init__(self, journal: Journal, client: str) -> None:
        self._journal = journal
        self._client = client
        self._writes = bool(journal)

    @classmethod
    def of(cls, context: Context, client: str) -> Self:
        """Return the journal in the folder that a node is configured with, if it is.

        Raises
        ------
        OSError
            If the folder cannot be made.
        """
        folder = context.node_config.get(KEY) or context.run_config.get(KEY)
        if not folder:
            return cls._silent()
        name = f"client-{file_name(client, '.jsonl')}"
        return cls(Journal.within(str(folder), name), client)

    @classmethod
    @lru_cache(maxsize=1)
    def _silent(cls) -> Self:
        """Return the journal that writes nothing, whoever the client is."""
        return cls(Journal(None), "")

    def agreed(self, stored: ClientLog | None, agreed: ClientLog, server_round: int) -> None:
        """Note what the server's ack has made of the log."""
        if not self._writes:
            return
        if agreed.committed.seq == 0:
            self._write("joined", server_round, agreed.committed, epoch=agreed.epoch)
        elif stored is not None and stored.pending is not None:
            if agreed.committed == stored.pending.position:
                vector = agreed.state.get(ESTIMATE)
                state = None if vector is None else fingerprint(vector)
                self._write("committed", server_round, agreed.committed, state=state)
            else:
                self._write("dropped", server_round, stored.pending.position)

    def sent(self, position: Ack, server_round: int) -> None:
        """Note a message before it is sent."""
        if self._writes:
            self._write("sent", server_round, position)

    def _write(self, event: str, server_round: int, at: Ack, **values: object) -> None:
        self._journal.write(
            event,
            client=self._client,
            round=server_round,
            seq=at.seq,
            digest=at.digest,
            **values,
        )
