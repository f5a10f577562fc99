"""The task: regularised logistic or softmax regression on rows spread over the clients."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from flwr.app import UserConfig
from numpy.typing import NDArray

from fl_ef21.data import Dataset, load, partition, partition_from_text
from fl_ef21.flower.strategies.kinds import method_parts
from fl_ef21.methods.server import Regularised, ServerStep
from fl_ef21.methods.server import from_text as server_from_text
from fl_ef21.problems import Objective, Regulariser, federated_constants, federated_objectives
from fl_ef21.theory import Constants

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Federation:
    """A data set, its rows' clients, every client's objective, and what the server adds to them."""

    dataset: Dataset
    rows: tuple[NDArray[np.int64], ...]
    objectives: tuple[Objective, ...]
    server: ServerStep

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Each client's share of the rows: f is the mean over all rows."""
        sizes = np.array([len(rows) for rows in self.rows])
        return sizes / sizes.sum()

    @property
    def dimension(self) -> int:
        """Number of parameters."""
        return self.objectives[0].dimension

    @cached_property
    def constants(self) -> Constants:
        """The smoothness constants of f and of every client's objective."""
        regulariser = None
        if isinstance(self.server, Regularised):
            # (λ/2)‖x‖² curves as much as half of λ of the papers' regulariser does at most.
            half = 0.5 if self.server.kind == "l2" else 1.0
            regulariser = Regulariser(half * self.server.weight)
        return federated_constants(self.objectives, self.weights, server_regulariser=regulariser)

    def row_smoothness(self) -> list[float]:
        """Return the root of the mean square of the smoothness of each client's single rows."""
        return [_row_smoothness(objective) for objective in self.objectives]

    def evaluate(self, x: Vector) -> dict[str, float]:
        """Return f, ‖∇f‖² and the share of correctly classified rows at ``x``."""
        pairs = [objective.value_and_gradient(x) for objective in self.objectives]
        value, gradient = self._added(x)
        gradient = gradient + sum(p * g for p, (_, g) in zip(self.weights, pairs, strict=True))
        correct = [objective.accuracy(x) for objective in self.objectives]
        return {
            "loss": float(
                value + sum(p * f for p, (f, _) in zip(self.weights, pairs, strict=True))
            ),
            "gradient_norm_squared": float(np.sum(np.square(gradient))),
            "accuracy": float(np.sum(self.weights * correct)),
        }

    def label_counts(self) -> NDArray[np.int64]:
        """Return how many rows of each class each client has, shape (clients, classes)."""
        labels = self.dataset.labels
        classes = np.unique(labels)
        return np.array([[np.sum(labels[rows] == c) for c in classes] for rows in self.rows])

    def _added(self, x: Vector) -> tuple[float, Vector]:
        """Return the value and the gradient of a regulariser that the server knows."""
        if not isinstance(self.server, Regularised):
            return 0.0, np.zeros_like(x)
        if self.server.kind == "l2":
            return self.server.weight / 2 * float(x @ x), self.server.gradient(x)
        return Regulariser(self.server.weight).value(x), self.server.gradient(x)


def load_federation(config: UserConfig, clients: int) -> Federation:
    """Load the data and spread them over ``clients`` clients, as the run config says."""
    regularisation, server = regulariser_and_server(config)
    return _load_federation(
        str(config["data"]),
        str(config["partition"]),
        clients,
        int(config["seed"]),
        regularisation,
        server,
    )


def regulariser_and_server(config: UserConfig) -> tuple[float, str]:
    """Return the weight of the clients' regulariser, and the server's step.

    EF21-RF needs objectives that depend on few coordinates: there the server adds the regulariser,
    and f is the same.
    """
    weight, server = float(config["regularisation"]), str(config["server"])
    rare = method_parts(str(config["method"]))[0] == "ef21-rf"
    if not rare or weight == 0 or server.startswith(Regularised.name):
        return weight, server
    return 0.0, str(Regularised("nonconvex", weight, server_from_text(server)))


# Nodes share a process in the Simulation Engine: they load the data once.
@lru_cache(maxsize=1)
def _load_federation(
    data: str, partition_text: str, clients: int, seed: int, regularisation: float, server: str
) -> Federation:
    dataset = load(data)
    rows = partition(dataset, partition_from_text(partition_text), clients, seed)
    objectives = federated_objectives(dataset.features, dataset.labels, rows, regularisation)
    return Federation(dataset, rows, objectives, server_from_text(server))


@lru_cache(maxsize=1024)
def smoothness(objective: Objective) -> float:
    """Return Lᵢ of a client's objective, computed once."""
    return objective.smoothness()


def loss(objective: Objective, x: Vector) -> float:
    """Return fᵢ(x) by one product with the rows, without a gradient."""
    rows, _ = objective.loss.value_and_derivative(objective.scores(x), objective.targets)
    return rows + objective.regulariser.value(x)


def draw_rows(objective: Objective, size: int, seed: int) -> Objective:
    """Return the objective on ``size`` of its rows, drawn without replacement; 0 means all."""
    available = len(objective.targets)
    if not 0 < size < available:
        return objective
    rows = np.sort(np.random.default_rng(seed).choice(available, size, replace=False))
    return replace(objective, features=objective.features[rows], targets=objective.targets[rows])


def _row_smoothness(objective: Objective) -> float:
    norms = objective.features.multiply(objective.features).sum(axis=1)
    rows = objective.loss.curvature * np.asarray(norms) + objective.regulariser.smoothness
    return float(np.sqrt(np.mean(np.square(rows))))
