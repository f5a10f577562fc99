"""One seed decides everything: a generator for every use, client and round."""

from zlib import crc32

import numpy as np


def client_generator(seed: int, client: str, server_round: int) -> np.random.Generator:
    """Return the generator of one client in one round.

    Examples
    --------
    >>> int(client_generator(1, "partition-id=3", 2).integers(100))
    25
    """
    return np.random.default_rng([seed, crc32(client.encode()), server_round])


def sampling_generator(seed: int, server_round: int) -> np.random.Generator:
    """Return the server's generator of one round, for the choice of clients."""
    # One word less than a client's sequence, whose last is never 0: no two streams are the same.
    return np.random.default_rng([seed, server_round])
