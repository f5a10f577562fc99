"""Clients that join again although the server knows them: counted, and named in the log."""

from collections import Counter
from logging import WARNING
from typing import Final

from flwr.common import log

PAUSE: Final = 20
"""Rounds in which a client is named once."""

NAMED: Final = 5
"""Clients that are named in one line; after a fault many may join again together."""


class Rejoins:
    """How often each client has joined again, and when that was last said.

    A client that joins again every round sends first messages only: the method then runs without
    error feedback, and nothing else shows it. Mutable.

    Attributes
    ----------
    times : Counter
        By client key.
    """

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self._new: list[str] = []
        self._named: dict[str, int] = {}

    def note(self, client: str) -> None:
        """Count a client that has joined again."""
        self.times[client] += 1
        self._new.append(client)

    def warn(self, server_round: int) -> None:
        """Name those of a round in one line, except who was named in one of the last rounds."""
        due = [c for c in self._new if server_round - self._named.get(c, -PAUSE) >= PAUSE]
        self._new = []
        if not due:
            return
        self._named.update(dict.fromkeys(due, server_round))
        shown = [f"{client} ({self.times[client]})" for client in due[:NAMED]]
        if len(due) > NAMED:
            shown.append(f"and {len(due) - NAMED} more")
        log(
            WARNING,
            "clients have joined again, in brackets how often: %s. Their state was lost, is "
            "another run's, or is ahead of the checkpoint; what they had told was taken out, and "
            "is told anew from nothing. If it goes on, error feedback does not work for them: give "
            "each a state-dir that lasts, and a client-id of its own",
            ", ".join(shown),
        )
