"""Runs that benchmarks/models.py measures: a deployment, a simulation, one client's memory."""

import json
import tempfile
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import EF21, ef21_mod
from fl_ef21.compressors import from_text
from fl_ef21.engine import InProcessGrid, partition_configs, simulation
from fl_ef21.engine.deployment import LocalFederation
from fl_ef21.report.run_folder import RunFolder

MILLION = Path(__file__).parent / "million"
CHUNK = 10**5
MNIST = Path(__file__).parent.parent / "simulations" / "mnist"


def deployed(supernodes: int) -> dict[str, Any]:
    """Return the bytes of a reply by method, on Flower's Deployment Engine."""
    with tempfile.TemporaryDirectory() as folder, LocalFederation(supernodes) as federation:
        out = Path(folder) / "bytes.json"
        federation.run(MILLION, {"out": str(out)}, timeout=600)
        return dict(json.loads(out.read_text(encoding="utf-8")))


def simulated(rounds: int) -> dict[str, list[float]]:
    """Return elapsed seconds of rounds by method, MNIST on Flower's Simulation Engine."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "mnist"
        config = {"rounds": rounds, "seeds": "0", "evaluate-every": rounds, "out": str(out)}
        simulation.run(MNIST, clients=100, run_config=config)
        seconds: dict[str, list[float]] = {}
        for row in RunFolder(out).rows():
            # The first rounds start Ray's workers, and load the images.
            if row["round"] > rounds // 4:
                seconds.setdefault(row["method"], []).append(row["wall_seconds"])
    return seconds


def best_and_median(seconds: list[float]) -> tuple[float, float]:
    """Return the shortest round, and the median one."""
    return min(seconds), median(seconds)


def client_vectors(size: int, text: str, rounds: int = 3) -> float:
    """Return the most memory that a client holds at a time, in vectors of the model.

    It is what Python and numpy hold while one client of the in-process Grid answers, above what
    there was before it did, and the state that it kept from the round before. The app makes its
    update in place. Of the model that it is sent the Grid makes no copy.
    """
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message: Message, _: Any) -> Message:
        moved = message.content["arrays"]["weights"].numpy()
        _move(moved, message.content["config"]["server-round"])
        arrays = ArrayRecord({"weights": Array(moved)})
        del moved
        content = {"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    grid = _Watched(app, partition_configs(1), isolation="none")
    start = ArrayRecord({"weights": Array(np.zeros(size, np.float32))})
    tracemalloc.start()
    EF21(from_text(text), fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1).start(
        grid, start, num_rounds=rounds
    )
    tracemalloc.stop()
    return max(grid.peaks) / (4 * size)


def _move(weights: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for start in range(0, len(weights), CHUNK):
        part = weights[start : start + CHUNK]  # a view
        np.add(part, np.float32(1e-3) * rng.standard_t(3, len(part)).astype(np.float32), out=part)


class _Watched(InProcessGrid):
    """A Grid that notes what is held at most while a client answers."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.peaks: list[int] = []

    def deliver(self, message: Message) -> Message | None:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        kept = sum(
            len(array.data)
            for context in self.contexts.values()
            for record in context.state.array_records.values()
            for array in record.values()
        )
        reply = super().deliver(message)
        self.peaks.append(tracemalloc.get_traced_memory()[1] - before + kept)
        return reply
