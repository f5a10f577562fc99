"""Runs of the library that benchmarks/engine.py measures: rounds, many clients, memory."""

import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
from flwr.app import Array, ArrayRecord, Message
from flwr.clientapp import ClientApp

from fl_ef21 import EF21, TopK, ef21_mod
from fl_ef21.engine import InProcessGrid, partition_configs, simulation
from fl_ef21.flower.client.answer import answer
from fl_ef21.problems import Objective, Together

FEDAVG = Path(__file__).parent / "fedavg"


def phishing_app(objectives: tuple[Objective, ...], *, together: bool = True) -> ClientApp:
    """Return an app whose clients get their gradients from one product for all, or each by one."""
    app, known = ClientApp(mods=[ef21_mod]), Together(objectives)

    def gradient(client: int, x: np.ndarray) -> np.ndarray:
        return known.gradient(client, x) if together else objectives[client].gradient(x)

    @app.train()
    def train(message: Message, context) -> Message:
        client = context.node_config["partition-id"]
        x = message.content["arrays"]["x"].numpy()
        metrics = {"num-examples": len(objectives[client].targets)}
        return answer(message, {"x": gradient(client, x)}, metrics)

    return app


def synthetic_app(size: int) -> ClientApp:
    """Return an app of f_i = ½‖x − c_i‖², whose gradient costs next to nothing."""
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message: Message, context) -> Message:
        x = message.content["arrays"]["x"].numpy()
        x -= (context.node_config["partition-id"] + np.arange(size)) % 7
        return answer(message, {"x": x}, {"num-examples": 1})

    return app


def strategy(step_size: float) -> EF21:
    """Return EF21 Top-1 on gradients."""
    return EF21(TopK(k=1), step_size=step_size, signal="gradient", fraction_evaluate=0.0)


class Run:
    """A run that can be timed in pieces: its strategy goes on from where it stopped.

    Mutable: it holds the model and the grid.
    """

    def __init__(
        self, app: ClientApp, clients: int, size: int, step_size: float, isolation: str = "none"
    ) -> None:
        self.grid = InProcessGrid(app, partition_configs(clients), isolation=isolation)
        self.arrays, self.size = ArrayRecord({"x": Array(np.zeros(size))}), size
        self._step_size = step_size
        self._runs = 0

    def seconds(self, rounds: int, clock: Callable[[], float] = process_time) -> list[float]:
        """Run rounds from the start, and return the time of each but the first.

        Every time with another step size, slightly: messages that are equal to those of the time
        before would be found decoded already.
        """
        ended: list[float] = []
        self._runs += 1
        strategy(self._step_size * (1 - self._runs / 1000)).start(
            self.grid,
            self.arrays,
            num_rounds=rounds + 1,
            callbacks=[lambda *_: ended.append(clock())],
        )
        return list(np.diff(ended))

    def model(self, rounds: int) -> np.ndarray:
        """Return the model after some rounds."""
        result = strategy(self._step_size).start(self.grid, self.arrays, num_rounds=rounds)
        return result.arrays["x"].numpy()


def fedavg_seconds(rounds: int) -> float:
    """Return the mean seconds of FedAvg's rounds with 20 clients on the Simulation Engine.

    Not the median: a round waits for one or for two looks of Flower's, 0.1 s apart, and which of
    the two is in the middle is chance.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ended.json"
        simulation.run(FEDAVG, clients=20, run_config={"rounds": rounds, "out": str(out)})
        ended = json.loads(out.read_text(encoding="utf-8"))
    # The first round starts Ray's workers.
    return float(np.diff(ended)[1:].mean())


def scaling(clients: int, messages: int) -> tuple[float, float]:
    """Return CPU seconds of a client message, in the first and in the second half of a run."""
    rounds = max(20, messages // clients)
    seconds = Run(synthetic_app(20), clients, 20, 0.1).seconds(rounds)
    first, second = np.array_split(seconds, 2)
    return median(first) / clients, median(second) / clients


def peak_memory(clients: int, size: int, initialisation: str) -> int:
    """Return the most bytes that Python and numpy hold in the course of a run."""
    app = synthetic_app(size)
    tracemalloc.start()
    grid = InProcessGrid(app, partition_configs(clients), isolation="none")
    ef21 = EF21(
        TopK(k=10),
        initialisation=initialisation,
        step_size=0.1,
        signal="gradient",
        fraction_evaluate=0.0,
    )
    ef21.start(grid, ArrayRecord({"x": Array(np.zeros(size))}), num_rounds=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def wall_seconds(run: Run, rounds: int) -> float:
    """Return elapsed seconds of a round: what the Simulation Engine is compared by."""
    return median(run.seconds(rounds, perf_counter))
