"""Are both sides equal? Decided from the journals alone, without the program that wrote them.

A message is named by its number and by a digest that is chained through all messages before it, so
two sides that agree on the digest have folded the same bytes. From the journals follows:

- every message that the server has applied was sent by its client, follows the one before it, and
  was applied once (I2, and nothing twice);
- every message that a client has committed was applied by the server, and where both have noted
  the fingerprint of ĝᵢ, it is the same (I2, bit for bit);
- the server's estimate is Σ pᵢ ĝᵢ, up to the rounding of its running sum (I1).

A server that goes on from a checkpoint has forgotten what it did after it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from fl_ef21.flower.server.run_journal import FILE
from fl_ef21.flower.storage import read_journal

LARGEST_DRIFT: Final[Mapping[str, float]] = {"float64": 1e-12, "float32": 1e-12}
"""Of the sum, which is float64 whatever the clients' vectors are."""

Event: TypeAlias = Mapping[str, Any]
_Position: TypeAlias = tuple[int, str]


@dataclass(frozen=True)
class Audit:
    """What an audit has found.

    Attributes
    ----------
    rounds, applied, committed, sent : int
        Rounds, messages that the server has applied and that count, messages that clients have
        committed, and messages that they have sent.
    compared : int
        Committed messages whose vectors were compared bit for bit.
    resumed : int
        How often the server went on from a checkpoint.
    drift : float
        Largest distance of the server's sum from Σ pᵢ ĝᵢ, relative.
    clients : int
        Clients with a journal.
    violations : tuple of str
        What must not be, a sentence each.
    """

    rounds: int
    applied: int
    committed: int
    sent: int
    compared: int
    resumed: int
    drift: float
    clients: int
    violations: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no violation."""
        return not self.violations


class _Applied(NamedTuple):
    epoch: str
    round: int
    client: str
    position: _Position


@dataclass
class _Server:
    """The server's side, as its journal tells it."""

    epoch: str = ""
    last: dict[str, _Position] = field(default_factory=dict)
    state: dict[tuple[str, _Position], str | None] = field(default_factory=dict)
    applied: list[_Applied] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    drift: float = 0.0
    rounds: int = 0
    resumed: int = 0


def audit(folder: Path) -> Audit:
    """Check the journals in a folder, ``server.jsonl`` and those of the clients.

    Raises
    ------
    FileNotFoundError
        If the folder has no journal of a server; the text says how to get one.
    """
    if not (folder / FILE).exists():
        raise FileNotFoundError(
            f"{folder} has no {FILE}; run with journal_dir= on the strategy and journal-dir in the "
            f"run config, or fl-ef21 simulate --journal"
        )
    server = _read_server(read_journal(folder / FILE))
    files = sorted(folder.glob("client-*.jsonl"))
    sent, committed, compared = 0, 0, 0
    known: set[tuple[str, _Position]] = set()
    for file in files:
        events = list(read_journal(file))
        known |= {(e["client"], _position(e)) for e in events if e["event"] == "sent"}
        sent += sum(event["event"] == "sent" for event in events)
        commits = [event for event in events if event["event"] == "committed"]
        committed += len(commits)
        compared += _compare(commits, server)
    if files:
        server.violations += [
            f"round {entry.round}: message {entry.position[0]} of client {entry.client} was "
            f"applied, and its client has no such message"
            for entry in server.applied
            if (entry.client, entry.position) not in known
        ]
    return Audit(
        rounds=server.rounds,
        applied=len(server.applied),
        committed=committed,
        sent=sent,
        compared=compared,
        resumed=server.resumed,
        drift=server.drift,
        clients=len(files),
        violations=tuple(server.violations),
    )


def _read_server(events: Iterable[Event]) -> _Server:
    server = _Server()
    seen: dict[str, set[_Position]] = defaultdict(set)
    for event in events:
        match event["event"]:
            case "epoch":
                server.epoch = event["epoch"]
                server.last.clear()
            case "resumed":
                server.epoch = event["epoch"]
                server.resumed += 1
                _go_back(server, seen, event["round"])
            case "accepted":
                _accept(server, seen, event)
            case "applied":
                server.rounds = max(server.rounds, event["round"])
                drift = event["drift"] or 0.0
                server.drift = max(server.drift, drift)
                if not drift <= LARGEST_DRIFT[event["dtype"]]:
                    server.violations.append(
                        f"round {event['round']}: the estimate is {drift:.1e} from the sum of what "
                        f"clients count with"
                    )
    return server


def _accept(server: _Server, seen: dict[str, set[_Position]], event: Event) -> None:
    client, at, number = event["client"], _position(event), event["round"]
    expected = server.last.get(client, (0, ""))[0] + 1
    if at[0] not in (1, expected):
        server.violations.append(
            f"round {number}: message {at[0]} of client {client} was applied where {expected} "
            f"was next"
        )
    if at in seen[client]:
        server.violations.append(
            f"round {number}: message {at[0]} of client {client} was applied twice"
        )
    seen[client].add(at)
    server.last[client] = at
    server.applied.append(_Applied(server.epoch, number, client, at))
    server.state[client, at] = event["state"]


def _go_back(server: _Server, seen: dict[str, set[_Position]], number: int) -> None:
    """Forget what was applied after a round: the server has."""
    server.applied = [
        entry for entry in server.applied if entry.epoch != server.epoch or entry.round <= number
    ]
    server.last.clear()
    seen.clear()
    for entry in server.applied:
        seen[entry.client].add(entry.position)
        if entry.epoch == server.epoch:
            server.last[entry.client] = entry.position


def _compare(commits: Iterable[Event], server: _Server) -> int:
    compared = 0
    for event in commits:
        key = event["client"], _position(event)
        if key not in server.state:
            server.violations.append(
                f"round {event['round']}: client {event['client']} has committed message "
                f"{event['seq']}, which the server has never applied"
            )
            continue
        mine, theirs = event["state"], server.state[key]
        if mine is None or theirs is None:
            continue
        compared += 1
        if mine != theirs:
            server.violations.append(
                f"round {event['round']}: after message {event['seq']} the vector of client "
                f"{event['client']} is not that of the server"
            )
    return compared


def _position(event: Event) -> _Position:
    return event["seq"], event["digest"]


def lines(found: Audit) -> Iterator[tuple[str, str]]:
    """Yield what an audit has found, by name, for a table."""
    yield "rounds", str(found.rounds)
    yield "messages sent", str(found.sent)
    yield "messages applied", str(found.applied)
    yield "messages committed", str(found.committed)
    yield "vectors compared bit for bit", str(found.compared)
    yield "resumed from a checkpoint", str(found.resumed)
    yield "largest drift of the estimate", f"{found.drift:.1e}"
    yield "clients with a journal", str(found.clients)
    yield "violations", str(len(found.violations))
