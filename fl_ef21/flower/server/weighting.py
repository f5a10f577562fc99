"""Weights by smoothness: what EF21-W knows of its clients."""

from collections.abc import ItemsView
from math import isfinite
from typing import Final, TypeAlias

from fl_ef21.compressors.arguments import is_number
from fl_ef21.flower.server.clients import ByClient, by_client, value_of
from fl_ef21.methods import Snapshot

REPORTED: Final = "reported"
SMOOTHNESS_KEY: Final = "smoothness"
"""Name of the metric in which clients report their Lᵢ."""

Smoothness: TypeAlias = ByClient[float] | str


class SmoothnessWeights:
    """Lᵢ by client key: given, or as clients report them.

    With weights wᵢ = Lᵢ/ΣL a client's signal is multiplied by 1/(n wᵢ) = L_AM/Lᵢ, and the server
    divides by it. Mutable where clients report: it learns.

    Parameters
    ----------
    smoothness : mapping, sequence or "reported"
        Lᵢ by client key, such as ``"partition-id=3"``, or by partition id; or the word, if clients
        report it as the metric ``smoothness``. Until a client has, it counts with the mean.

    Raises
    ------
    ValueError
        If an Lᵢ is not a positive number, or there is none.
    """

    def __init__(self, smoothness: Smoothness) -> None:
        self.reported = isinstance(smoothness, str) and smoothness == REPORTED
        self._known: dict[str, float] = {}
        if isinstance(smoothness, str):
            if not self.reported:
                raise ValueError(f"smoothness={smoothness!r}: the only word is {REPORTED!r}")
            return
        given = by_client(smoothness)
        if not given:
            raise ValueError("smoothness is empty; give one constant L_i for each client")
        for client, value in given.items():
            self._known[client] = checked(client, value)

    def of(self, client: str) -> float:
        """Return Lᵢ of a client, the mean of the known ones if it is not known.

        Raises
        ------
        ValueError
            If constants were given, but none for this client.
        """
        if self.reported and client not in self._known:
            return self.mean()
        return value_of(self._known, client, "smoothness constant")

    def mean(self) -> float:
        """Return L_AM of the known clients, 1 if there is none."""
        return sum(self._known.values()) / len(self._known) if self._known else 1.0

    def items(self) -> ItemsView[str, float]:
        """Return the known clients with their constants."""
        return self._known.items()

    def snapshot(self) -> Snapshot:
        """Return the known constants."""
        return Snapshot({}, {"known": self._known})

    def restore(self, snapshot: Snapshot) -> None:
        """Take the constants of a snapshot."""
        self._known = dict(snapshot.values["known"])

    def learn(self, client: str, value: object) -> None:
        """Note what a client has reported.

        Raises
        ------
        ValueError
            If it is not a positive number.
        """
        self._known[client] = checked(client, value)


def checked(client: str, value: object) -> float:
    """Return a smoothness constant.

    Raises
    ------
    ValueError
        If it is not a positive number.
    """
    if not is_number(value) or not isfinite(value) or value <= 0:
        raise ValueError(f"smoothness constant {value!r} of client {client!r} is not positive")
    return float(value)
