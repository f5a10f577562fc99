"""Places in a client's log: the number and the chained digest of a message."""

from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

DIGEST_BYTES: Final = 8

_SMALL: Final = 64
"""Bytes of the longest payload whose digest is remembered."""


class ProtocolError(ValueError):
    """A record that is not of this protocol, or not of this version of it."""


class Ack(NamedTuple):
    """The last message of a client that the server has applied: its number and digest.

    ``Ack()`` says that none is.
    """

    seq: int = 0
    digest: bytes = b""


def chain(previous: bytes, payload: bytes) -> bytes:
    """Return the digest of a payload that follows the message with digest ``previous``.

    Examples
    --------
    >>> chain(b"", b"payload").hex()
    '744bb14a5d2e47a3'
    """
    return (_chain_once if len(payload) <= _SMALL else _chain)(previous, payload)


def _chain(previous: bytes, payload: bytes) -> bytes:
    return blake2b(payload, digest_size=DIGEST_BYTES, salt=previous, person=b"fl-ef21").digest()


_chain_once = lru_cache(maxsize=2**13)(_chain)
"""In one process client and server ask for the same digests."""


def origin(epoch: bytes, client: str, server_round: int) -> bytes:
    """Return the digest that a client's first message follows.

    It names the round, so that a first message which is sent again in a later one does not pass
    for that of a client that joins again.
    """
    name = server_round.to_bytes(8, "little") + client.encode()
    return blake2b(name, digest_size=DIGEST_BYTES, salt=epoch).digest()
