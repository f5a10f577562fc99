"""What goes wrong, where and when: a frozen value that one seed draws."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, Self, TypeAlias, get_args

import numpy as np

FaultKind: TypeAlias = Literal[
    "lose-request",
    "lose-reply",
    "late-reply",
    "repeat-reply",
    "repeat-request",
    "damage-reply",
    "raise-before",
    "raise-inside",
    "raise-after",
    "kill-before",
    "kill-after",
    "kill-unwritten",
    "lose-state",
    "roll-back",
    "new-node",
    "new-node-empty",
    "twin",
    "leave",
    "leave-empty",
    "join",
    "reorder",
    "crash-sending",
    "crash-aggregating",
    "crash-after-round",
]

KINDS: Final[Mapping[FaultKind, str]] = MappingProxyType(
    {
        "lose-request": "the instruction does not arrive",
        "lose-reply": "the client takes its turn, and the reply does not arrive",
        "late-reply": "the reply arrives with those of a later exchange",
        "repeat-reply": "the reply arrives twice, and once more with a later exchange",
        "repeat-request": "the client takes its turn twice; one of the two replies arrives first",
        "damage-reply": "one bit of what the client sends is flipped",
        "raise-before": "the client's process fails before it touches its state",
        "raise-inside": "the user's app fails after it has written into the state",
        "raise-after": "the client's process fails after the mod has written the state",
        "kill-before": "the client dies before its turn and comes back without its state",
        "kill-after": "the client dies when its reply is sent and comes back without its state",
        "kill-unwritten": "the reply is sent, and the client dies before its state is written",
        "lose-state": "the client comes to its turn without its state",
        "roll-back": "the client comes to its turn with the state of some turns ago",
        "new-node": "the client comes back as another node, with its state",
        "new-node-empty": "the client comes back as another node, without its state",
        "twin": "another node says for some exchanges that it is this client",
        "leave": "the client disconnects and keeps its state",
        "leave-empty": "the client disconnects and loses its state",
        "join": "the client connects, if it is not, as another node",
        "reorder": "replies arrive in another order",
        "crash-sending": "the server dies after some of the exchange's messages were delivered",
        "crash-aggregating": "the server dies when replies are applied, before the model moves",
        "crash-after-round": "the server dies when the model has moved, before it is written down",
    }
)
"""Every kind of fault in words."""

OF_EXCHANGES: Final[tuple[FaultKind, ...]] = (
    "reorder",
    "crash-sending",
    "crash-aggregating",
    "crash-after-round",
)
"""Kinds that belong to a whole exchange and not to one client."""

OF_NODES: Final[tuple[FaultKind, ...]] = (
    "new-node",
    "new-node-empty",
    "twin",
    "leave",
    "leave-empty",
    "join",
)
"""Kinds by which nodes come and go, whether they are instructed in the exchange or not."""

ALWAYS: Final[tuple[tuple[FaultKind, ...], ...]] = (
    ("leave", "leave-empty"),
    ("join",),
    ("kill-before", "kill-after", "kill-unwritten", "lose-state", "new-node", "new-node-empty"),
    ("crash-sending", "crash-aggregating", "crash-after-round"),
)
"""Of each of these groups a drawn schedule has at least one: somebody leaves, somebody joins, a
client restarts, and the server dies."""

_WEIGHTS: Final[Mapping[FaultKind, float]] = MappingProxyType({"lose-reply": 3, "join": 3})
_SOME: Final = 2**16


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes
    ----------
    exchange : int
        In which exchange of messages, from 1; 0 is before the first.
    kind : str
        One of ``KINDS``.
    client : int
        Place of the client among the node configurations.
    detail : int
        From 0; decides what the kind leaves open: which bit, how late, how many messages.

    Raises
    ------
    ValueError
        If the kind is unknown or a number is negative.
    """

    exchange: int
    kind: FaultKind
    client: int = 0
    detail: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is unknown; choose one of {', '.join(KINDS)}")
        if min(self.exchange, self.client, self.detail) < 0:
            raise ValueError(f"{self} has a negative number; all count from 0")

    def __str__(self) -> str:
        who = "" if self.kind in OF_EXCHANGES else f" of client {self.client}"
        return f"exchange {self.exchange}: {self.kind}{who} ({self.detail})"


@dataclass(frozen=True)
class FaultSchedule:
    """All that goes wrong in one run.

    Attributes
    ----------
    seed : int
        Where the faults come from.
    exchanges : int
        After this many exchanges nothing goes wrong any more, and every client is connected.
    faults : tuple of Fault
        In order.

    Examples
    --------
    >>> print(FaultSchedule(0, 2, (Fault(1, "lose-reply", client=3), Fault(2, "reorder"))))
    seed 0: 2 faults in 2 exchanges
      exchange 1: lose-reply of client 3 (0)
      exchange 2: reorder (0)
    """

    seed: int
    exchanges: int
    faults: tuple[Fault, ...]

    @classmethod
    def from_seed(
        cls,
        seed: int,
        *,
        clients: int = 4,
        exchanges: int = 12,
        rate: float = 0.3,
        crash_rate: float = 0.12,
        kinds: Iterable[FaultKind] = get_args(FaultKind),
    ) -> Self:
        """Draw a schedule; of each group in ``ALWAYS`` that is allowed it has one fault at least.

        Parameters
        ----------
        seed : int
            From 0; decides everything.
        clients, exchanges : int
            How many clients there are, and for how many exchanges faults go on.
        rate : float
            Probability in [0, 1] that something happens to a client in an exchange, and that
            the replies of an exchange arrive in another order.
        crash_rate : float
            Probability in [0, 1] that the server dies in an exchange.
        kinds : iterable of str
            What may happen.

        Raises
        ------
        ValueError
            If a number is out of range or a kind is unknown.
        """
        for name, value in (("rate", rate), ("crash_rate", crash_rate)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value!r} is not a probability in [0, 1]")
        if clients < 1 or exchanges < 0:
            raise ValueError(f"clients={clients}, exchanges={exchanges}: give 1 or more, 0 or more")
        allowed = tuple(kinds)
        of_clients = [kind for kind in allowed if kind not in OF_EXCHANGES]
        crashes = [kind for kind in allowed if kind.startswith("crash")]
        rng = np.random.default_rng(seed)
        weights = np.array([_WEIGHTS.get(kind, 1.0) for kind in of_clients])
        faults = [
            Fault(0, "leave", client, 0)
            for client in range(1, clients)
            if "leave" in allowed and rng.random() < rate
        ]
        for exchange in range(1, exchanges + 1):
            if "reorder" in allowed and rng.random() < rate:
                faults.append(Fault(exchange, "reorder", 0, int(rng.integers(_SOME))))
            if crashes and rng.random() < crash_rate:
                kind = crashes[rng.integers(len(crashes))]
                faults.append(Fault(exchange, kind, 0, int(rng.integers(_SOME))))
            for client in range(clients):
                if of_clients and rng.random() < rate:
                    kind = of_clients[rng.choice(len(of_clients), p=weights / weights.sum())]
                    faults.append(Fault(exchange, kind, client, int(rng.integers(_SOME))))
        faults += _missing(faults, allowed, clients, exchanges, rate, crash_rate, rng)
        return cls(seed, exchanges, tuple(sorted(faults, key=lambda fault: fault.exchange)))

    def without(self, *kinds: FaultKind) -> Self:
        """Return the schedule without some kinds of faults: which of them breaks a run?"""
        return replace(self, faults=tuple(f for f in self.faults if f.kind not in kinds))

    def of(self, exchange: int) -> tuple[Fault, ...]:
        """Return what happens in one exchange."""
        return tuple(fault for fault in self.faults if fault.exchange == exchange)

    def __str__(self) -> str:
        head = f"seed {self.seed}: {len(self.faults)} faults in {self.exchanges} exchanges"
        return "\n  ".join([head, *map(str, self.faults)])


def _missing(
    faults: Iterable[Fault],
    allowed: Iterable[FaultKind],
    clients: int,
    exchanges: int,
    rate: float,
    crash_rate: float,
    rng: np.random.Generator,
) -> list[Fault]:
    """Return one fault of each group in ``ALWAYS`` that has none yet, and may have."""
    found, possible, added = {fault.kind for fault in faults}, set(allowed), []
    for group in ALWAYS:
        kinds = sorted(possible.intersection(group))
        share = crash_rate if group[0] in OF_EXCHANGES else rate
        if kinds and share and exchanges and found.isdisjoint(group):
            exchange, client = int(rng.integers(1, exchanges + 1)), int(rng.integers(clients))
            kind = kinds[rng.integers(len(kinds))]
            added.append(Fault(exchange, kind, client, int(rng.integers(_SOME))))
    return added
