"""Replies that nobody honest sends, made from real ones: a corpus for the server's checks.

Some follow the protocol to the letter: their numbers and digests are right, and what they say is
within all limits. These may be accepted, as those of a client that lies would be; nothing else.
"""

from dataclasses import dataclass

import numpy as np
from flwr.app import Message

from fl_ef21.engine.faults.mutations import MUTATIONS
from fl_ef21.engine.faults.target import Target


@dataclass(frozen=True)
class Mutant:
    """A hostile reply.

    Attributes
    ----------
    kind : str
        One of ``MUTATIONS``.
    reply : Message
        The reply.
    follows_protocol : bool
        Whether number, digest and records are right, so that only its values can betray it.
    """

    kind: str
    reply: Message
    follows_protocol: bool = False


def mutants(target: Target, rng: np.random.Generator, each: int = 1) -> list[Mutant]:
    """Return ``each`` mutants of every kind that can be made of a reply."""
    found = []
    for kind, mutation in MUTATIONS.items():
        for _ in range(each):
            made = mutation(target, rng)
            if made is None:
                continue
            reply, follows = made if isinstance(made, tuple) else (made, False)
            found.append(Mutant(kind, reply, follows))
    return found
