"""One seed decides everything: a generator for every use, client and round."""

from typing import Final, NoReturn, cast
from zlib import crc32

import numpy as np


class _Unused:
    """In place of a generator where nothing is random: one takes longer to seed than to use."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a compressor that says it is not random has asked for {name}")


UNUSED: Final = cast(np.random.Generator, _Unused())


def client_generator(seed: int, client: str, server_round: int) -> np.random.Generator:
    """Return the generator of one client in one round.

    Examples
    --------
    >>> int(client_generator(1, "partition-id=3", 2).integers(100))
    25
    """
    return np.random.default_rng([seed, crc32(client.encode()), server_round])


def minibatch_seed(seed: int, client: str, server_round: int) -> int:
    """Return the number from which an app draws the minibatch of a client and a round."""
    rng = np.random.default_rng([seed, crc32(client.encode()), server_round, 1])
    return int(rng.integers(2**63))


def round_generator(seed: int, server_round: int) -> np.random.Generator:
    """Return the generator of one round that all clients share."""
    # The key of no client: its place holds more than the 32 bits of a checksum.
    return np.random.default_rng([seed, 2**32, server_round])


def coin_generator(seed: int, server_round: int) -> np.random.Generator:
    """Return the server's generator of one round, for the coin of methods that toss one."""
    return np.random.default_rng([seed, 2**32 + 1, server_round])


def broadcast_generator(seed: int, server_round: int) -> np.random.Generator:
    """Return the server's generator of one round, for a compressed downlink."""
    return np.random.default_rng([seed, 2**32 + 2, server_round])


def sampling_generator(seed: int, server_round: int) -> np.random.Generator:
    """Return the server's generator of one round, for the choice of clients."""
    # One word less than a client's sequence, whose last is never 0: no two streams are the same.
    return np.random.default_rng([seed, server_round])
