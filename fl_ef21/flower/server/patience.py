"""Whom to wait for: a node that has not answered is asked again, but ever more seldom."""

from collections.abc import Collection, Iterable, Sequence
from logging import WARNING
from typing import Final

from flwr.common import log

from fl_ef21.methods import Snapshot

FORGIVEN: Final = 1
"""Silences in a row after which a node is still asked in the very next round."""

LONGEST_PAUSE: Final = 32
"""Rounds."""


class Patience:
    """Silences in a row by node, and the round in which a silent node is asked again.

    Waiting for a node that is gone costs every round its whole timeout. After the second silence
    in a row a node is left out of 1 round, after the third of 2, then of 4, and so on. An error
    is an answer: it costs no time. Mutable.
    """

    def __init__(self) -> None:
        self.silences: dict[int, int] = {}
        self.again: dict[int, int] = {}

    def snapshot(self) -> Snapshot:
        """Return both, for a checkpoint."""
        return Snapshot({}, {"silences": self.silences, "again": self.again})

    def restore(self, snapshot: Snapshot) -> None:
        """Take the state of a snapshot, in which node ids have become text."""
        for name, mine in (("silences", self.silences), ("again", self.again)):
            mine.clear()
            mine.update({int(node): value for node, value in snapshot.values[name].items()})

    def asked(self, server_round: int, nodes: Sequence[int]) -> list[int]:
        """Return the nodes that may be asked in a round; all of them if none else is left."""
        ready = [node for node in nodes if self.again.get(node, 0) <= server_round]
        return ready or list(nodes)

    def note(self, server_round: int, asked: Iterable[int], answered: Collection[int]) -> None:
        """Remember who has answered in a round, in whatever way, and who has not."""
        for node in asked:
            if node in answered:
                self.silences.pop(node, None)
                self.again.pop(node, None)
                continue
            times = self.silences[node] = self.silences.get(node, 0) + 1
            if times > FORGIVEN:
                pause = min(2 ** (times - FORGIVEN - 1), LONGEST_PAUSE)
                self.again[node] = server_round + 1 + pause
                log(
                    WARNING,
                    "node %s has not answered %d times in a row; it is asked again in round %d",
                    node,
                    times,
                    self.again[node],
                )
