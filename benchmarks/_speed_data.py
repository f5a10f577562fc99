"""A client, a server, Flower's replies and messages: what benchmarks/speed.py sets to work."""

from typing import Final

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from fl_ef21.compressors import Dense, Sparse, TopK
from fl_ef21.flower.protocol import chain
from fl_ef21.flower.server.checking import MAX_VALUE
from fl_ef21.methods import EF21, Turn
from fl_ef21.wire import decode, encode

CLIENTS: Final = 4
"""Replies in one call of Flower's aggregation."""


def normal(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return normal float32 values."""
    return rng.standard_normal(size, np.float32)


class Client:
    """A client of EF21 Top-k in the middle of a run; its estimate is put back between repeats."""

    def __init__(self, size: int, ratio: float, rng: np.random.Generator) -> None:
        self.signal = normal(size, rng)
        self.before = normal(size, rng) / 2
        self.method, self.compressor = EF21("compressed"), TopK(ratio=ratio)
        self.state = self.method.start(size, np.dtype(np.float32))
        self.rng = rng
        self.restore()
        self.message = self.compress()

    def restore(self) -> None:
        """Undo all commits."""
        np.copyto(self.state["estimate"], self.before)

    def compress(self) -> Sparse:
        """Return the message of this round."""
        return self.method.client_step(self.state, self.signal, self.compressor, self.rng, Turn())

    def commit(self, message: Sparse) -> None:
        """Move the estimate."""
        self.method.commit(self.state, message, in_place=True)

    def step(self) -> bytes:
        """Difference, Top-k, encode and state update."""
        message = self.compress()
        data = encode(message)
        self.commit(message)
        return data


class Server:
    """A server that knows its one client, which has joined by a dense message."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size = size
        self.digest = bytes(8)
        self.estimate = EF21("compressed").estimate(size, np.dtype(np.float32))
        self.estimate.fold("client", 100.0, Dense(normal(size, rng)))
        self.estimate.mean()

    def fold(self, message: Sparse) -> None:
        """Add a message into the estimate."""
        self.estimate.fold("client", 100.0, message)

    def receive(self, payload: bytes) -> None:
        """Decode, check and fold, as the ledger does."""
        message = decode(payload, size=self.size)
        if message.dtype != np.float32 or message.bound() > MAX_VALUE:
            raise AssertionError("an honest message was refused")
        self.digest = chain(self.digest, payload)
        self.fold(message)


def flower_records(size: int, rng: np.random.Generator) -> list[RecordDict]:
    """Return the replies that Flower's own strategies average."""
    return [
        RecordDict(
            {
                "arrays": ArrayRecord({"weights": Array(normal(size, rng))}),
                "metrics": MetricRecord({"num-examples": 100}),
            }
        )
        for _ in range(CLIENTS)
    ]


def clustered(size: int, count: int, rng: np.random.Generator) -> Sparse:
    """Return a message whose positions come in dense stretches, as those of real models do."""
    dense = np.repeat(rng.random(count // 50 + 1) < 0.8, 50)[:count]
    gaps = rng.geometric(np.where(dense, 0.25, 0.25 * count / size))
    indices = np.cumsum(gaps) - 1
    indices = indices[indices < size]
    return Sparse(size, indices, normal(indices.size, rng))
