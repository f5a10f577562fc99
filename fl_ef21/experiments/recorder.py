"""Rows of long runs, further and further apart."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from fl_ef21.report.run_folder import RunFolder

GROWTH: Final = 1.02
"""Of the round number from one row to the next: 600 rows for 10⁵ rounds, as many as are drawn."""

COUNTED: Final = ("_bytes", "_per_client", "_seconds", "rejections", "failures")
"""Ends of the columns that say what happened in a round."""


class Recorder:
    """Appends an arm's rows to a history; counts of rounds without a row go into the next one.

    Mutable: it holds what the next row has to count.
    """

    def __init__(self, folder: RunFolder, labels: Mapping[str, Any]) -> None:
        self._folder = folder
        self._labels = dict(labels)
        self._counted: dict[str, float] = {}
        self._next = 0

    def wants(self, server_round: int) -> bool:
        """Whether the round is to have a row of its own."""
        return server_round >= self._next

    def add(self, row: Mapping[str, Any], *, last: bool = False) -> None:
        """Count a round, and append a row if one is due or it is the last."""
        for key, value in row.items():
            if key.endswith(COUNTED):
                self._counted[key] = self._counted.get(key, 0) + value
        if last or self.wants(int(row["round"])):
            self._folder.append({**self._labels, **row, **self._counted})
            self._counted = {}
            self._next = max(int(row["round"]) + 1, ceil(GROWTH * int(row["round"])))
