"""A small strongly convex problem, and the methods that have to solve it under faults.

fᵢ(x) = ½ Σ_l h_il (x_l − c_il)², l = 1..d, in float64, with an integer array beside the vector.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, prod
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.user_config import UserConfig
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from fl_ef21.compressors import from_text as compressor_from_text
from fl_ef21.engine.faults.failing import failing_mod
from fl_ef21.engine.faults.simulator import Case
from fl_ef21.flower import strategies
from fl_ef21.flower.client.mod import ef21_mod
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy
from fl_ef21.methods.downlink import from_text as downlink_from_text

DIMENSION: Final = 10

Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]

ONE_ARRAY: Final[Shapes] = (("x", (DIMENSION,)),)
LAYERS: Final[Shapes] = (("w", (4, 2)), ("b", (2,)))
NOISE: Final = 0.03
"""Standard deviation of what a client adds to its gradient while faults go on: no two turns then
have the same message."""


@dataclass(frozen=True)
class Quadratics:
    """The problem.

    Attributes
    ----------
    clients : int
        n.
    seed : int
        Decides all numbers.
    sparse : bool
        Whether a client's function depends on six of the ten coordinates only.
    by_smoothness : bool
        Whether all clients count alike in f, in place of by their examples.
    steady : bool
        Whether a client always says the same number of examples.
    shapes : tuple
        The float arrays of the model; an integer array is always there beside them.
    """

    clients: int = 4
    seed: int = 0
    sparse: bool = False
    by_smoothness: bool = False
    steady: bool = False
    shapes: Shapes = ONE_ARRAY

    @cached_property
    def _numbers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rng = np.random.default_rng(self.seed)
        curvatures = rng.uniform(0.97, 1.03, (self.clients, DIMENSION))
        if self.sparse:
            for i in range(self.clients):
                curvatures[i, (np.arange(4) + 2 * i) % DIMENSION] = 0.0
        return curvatures, rng.normal(size=(self.clients, DIMENSION))

    @property
    def smoothness(self) -> list[float]:
        """L_i of every client."""
        return [float(row.max()) for row in self._numbers[0]]

    def examples(self, client: int) -> int:
        """Return how many examples a client has when nothing is wrong."""
        return 10 + client

    def gradient(self, client: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ∇fᵢ(x), shape (d,)."""
        curvatures, centres = self._numbers
        gradient: NDArray[np.float64] = curvatures[client] * (x - centres[client])
        return gradient

    def gap(self, arrays: ArrayRecord) -> float:
        """Return ‖∇f(x)‖²."""
        x = self.vector(arrays)
        weights = [1.0 if self.by_smoothness else self.examples(i) for i in range(self.clients)]
        gradients = [self.gradient(i, x) for i in range(self.clients)]
        return float(np.sum(np.average(gradients, axis=0, weights=weights) ** 2))

    def vector(self, arrays: ArrayRecord) -> NDArray[np.float64]:
        """Return the float arrays of the model as one vector."""
        return np.concatenate([arrays[name].numpy().ravel() for name, _ in self.shapes])

    def arrays(self, vector: NDArray[np.float64], count: int = 0) -> ArrayRecord:
        """Return a vector as the model's arrays, with the integer one."""
        arrays, start = {}, 0
        for name, shape in self.shapes:
            arrays[name] = Array(vector[start : start + prod(shape)].reshape(shape))
            start += prod(shape)
        return ArrayRecord({**arrays, "n": Array(np.asarray(count, np.int64))})

    def loss(self, client: int, x: NDArray[np.float64]) -> float:
        """Return fᵢ(x)."""
        curvatures, centres = self._numbers
        return 0.5 * float(np.sum(curvatures[client] * (x - centres[client]) ** 2))

    def configs(self, **more: str) -> list[UserConfig]:
        """Return one node configuration for each client."""
        return [{"partition-id": i, **more} for i in range(self.clients)]

    def unnamed(self) -> list[UserConfig]:
        """Return configurations that name no client: the node's id has to do."""
        return [{"data": i} for i in range(self.clients)]

    def app(self, faulty: Callable[[], bool]) -> ClientApp:
        """Return the clients' app; while faults go on its gradients and weights are noisy."""
        rng = np.random.default_rng([self.seed, 1])
        app = ClientApp(mods=[ef21_mod, failing_mod])

        @app.train()
        def train(message: Message, context: Context) -> Message:
            config = context.node_config
            client = int(config.get("partition-id", config.get("data", 0)))
            arrays = message.content.array_records["arrays"]
            x = self.vector(arrays)
            gradient = self.gradient(client, x)
            examples = self.examples(client)
            if faulty():
                gradient = gradient + NOISE * rng.normal(size=DIMENSION) * (gradient != 0)
                examples += 0 if self.steady else int(rng.integers(5))
            told = self.arrays(gradient, int(arrays["n"].numpy()) + client)
            metrics = MetricRecord({"num-examples": examples, "loss": self.loss(client, x)})
            return Message(RecordDict({"arrays": told, "metrics": metrics}), reply_to=message)

        return app


def _case(
    name: str,
    strategy: Callable[..., ErrorFeedbackStrategy],
    compressor: str,
    problem: Quadratics = Quadratics(),
    floor: float = 1e-24,
    **options: Any,  # noqa: ANN401 - those of the strategy
) -> Case:
    def build(**more: Any) -> ErrorFeedbackStrategy:  # noqa: ANN401
        settings = {"step_size": 1.0, "signal": "gradient", "fraction_evaluate": 0.0}
        return strategy(compressor_from_text(compressor), **settings | options | more)

    return Case(
        name=name,
        strategy=build,
        app=problem.app,
        node_configs=lambda _folder: problem.configs(),
        arrays=lambda: problem.arrays(np.zeros(DIMENSION)),
        gap=problem.gap,
        floor=floor,
    )


def _by_smoothness(case: Case, problem: Quadratics) -> Case:
    known = {f"partition-id={i}": value for i, value in enumerate(problem.smoothness)}
    mean = sum(known.values()) / len(known)
    return replace(
        case, weight_of=lambda _client, _examples: 1.0, scale_of=lambda c: mean / known[c]
    )


def _on_disk(case: Case, problem: Quadratics = Quadratics()) -> Case:
    """Return a case in which clients keep their logs on disk, and the server all that it has."""
    return replace(
        case,
        name=f"{case.name}-on-disk",
        node_configs=lambda folder: problem.configs(**{"state-dir": str(folder / "clients")}),
        server=lambda folder: {"checkpoint_dir": folder / "server", "mirror": "disk"},
    )


def _resumed(case: Case, every: int = 1) -> Case:
    """Return a case whose server goes on from a checkpoint."""
    name = f"{case.name}-resumed" + (f"-{every}" if every > 1 else "")
    return replace(
        case,
        name=name,
        server=lambda folder: {"checkpoint_dir": folder / "server", "checkpoint_every": every},
    )


def _unnamed(case: Case, problem: Quadratics = Quadratics()) -> Case:
    name = f"{case.name}-unnamed"
    return replace(case, name=name, node_configs=lambda _folder: problem.unnamed())


_LAYERED: Final = Quadratics(shapes=LAYERS)
_STEADY: Final = Quadratics(steady=True)
_BROADCAST: Final = compressor_from_text("topk:7")
_EQUAL: Final = Quadratics(by_smoothness=True)

AUTOMATIC: Final = _case("ef21-auto", strategies.EF21, "topk:7", step_size="auto")
"""A case that reads the clients' losses too."""

CASES: Final[Mapping[str, Case]] = MappingProxyType(
    {
        case.name: case
        for case in (
            _case("ef21", strategies.EF21, "topk:7", initialisation="compressed"),
            _on_disk(_case("ef21-sgdm", strategies.EF21SGDM, "topk:7", eta=0.9)),
            _unnamed(_case("ef21", strategies.EF21, "topk:7", initialisation="zero")),
            _resumed(_case("ef21", strategies.EF21, "topk:7", min_replies=2)),
            _resumed(_case("econtrol", strategies.EControl, "topk:8", eta=0.5), every=3),
            _resumed(_case("ef21-bc", strategies.EF21BC, "topk:7", downlink_compressor=_BROADCAST)),
            _case("ef21-no-mirror", strategies.EF21, "topk:7", _STEADY, mirror="off"),
            _resumed(_case("diana-no-mirror", strategies.DIANA, "natural", _STEADY, mirror="off")),
            _case("ef21-full", strategies.EF21, "topk:8|natural", initialisation="full"),
            _case(
                "ef21-pp",
                strategies.EF21,
                "topk:7",
                fraction_train=0.75,
                initialisation="compressed",
            ),
            _case(
                "ef21-layers", strategies.EF21, "topk:0.8", _LAYERED, scope="layer", exact_below=3
            ),
            _case("ef21-low-rank", strategies.EF21, "lowrank:1", _LAYERED, scope="layer"),
            _by_smoothness(
                _case("ef21-w", strategies.EF21W, "topk:7", _EQUAL, smoothness=_EQUAL.smoothness),
                _EQUAL,
            ),
            _case("ef21-rf", strategies.EF21RareFeatures, "topk:4", Quadratics(sparse=True)),
            _case("ef21+", strategies.EF21Plus, "topk:7"),
            _case("ef21-sgdm", strategies.EF21SGDM, "topk:7", eta=0.9),
            _case("ef21-page", strategies.EF21PAGE, "topk:7", probability=0.5),
            _case("ef21-hb", strategies.EF21HB, "topk:7", momentum=0.05),
            _case("econtrol", strategies.EControl, "topk:8", eta=0.5),
            _case("ef21-bc", strategies.EF21BC, "topk:7", downlink_compressor=_BROADCAST),
            _case(
                "ef21-p",
                strategies.EF21,
                "topk:7",
                downlink=downlink_from_text("ef21-p:topk:7"),
            ),
            _case("diana", strategies.DIANA, "natural"),
            _case("marina", strategies.MARINA, "unbiased-randk:8", probability=0.6, step_size=0.8),
            _case("dasha", strategies.DASHA, "unbiased-randk:8", step_size=0.7),
            _case("ef14", strategies.EF14, "topk:7", floor=inf, step_size=0.3),
        )
    }
)
"""By name: the methods of the family, with what the log treats differently in each."""
