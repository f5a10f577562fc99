"""The task: regularised logistic or softmax regression on rows spread over the clients."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from flwr.app import UserConfig
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor, Contractive
from fl_ef21.data import Dataset, load, partition, partition_from_text
from fl_ef21.problems import Objective, federated_objectives, smoothness_constants
from fl_ef21.theory import Constants, step_size

EF21_FORMS = ("theory", "published", "2021")


@dataclass(frozen=True)
class Federation:
    """A data set, its rows' clients, and every client's objective."""

    dataset: Dataset
    rows: tuple[NDArray[np.int64], ...]
    objectives: tuple[Objective, ...]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Each client's share of the rows: f is the mean over all rows."""
        sizes = np.array([len(rows) for rows in self.rows])
        return sizes / sizes.sum()

    @property
    def dimension(self) -> int:
        """Number of parameters."""
        return self.objectives[0].dimension

    def constants(self) -> Constants:
        """Return the smoothness constants of f and of every client's objective."""
        L, L_i = smoothness_constants(self.objectives, self.weights)
        return Constants(float(L), [float(value) for value in L_i], list(self.weights))

    def evaluate(self, x: NDArray[np.float64]) -> dict[str, float]:
        """Return f, ‖∇f‖² and the share of correctly classified rows at ``x``."""
        pairs = [objective.value_and_gradient(x) for objective in self.objectives]
        gradient = sum(p * g for p, (_, g) in zip(self.weights, pairs, strict=True))
        correct = [objective.accuracy(x) for objective in self.objectives]
        return {
            "loss": float(sum(p * f for p, (f, _) in zip(self.weights, pairs, strict=True))),
            "gradient_norm_squared": float(np.sum(np.square(gradient))),
            "accuracy": float(np.sum(self.weights * correct)),
        }

    def label_counts(self) -> NDArray[np.int64]:
        """Return how many rows of each class each client has, shape (clients, classes)."""
        labels = self.dataset.labels
        classes = np.unique(labels)
        return np.array([[np.sum(labels[rows] == c) for c in classes] for rows in self.rows])


def load_federation(config: UserConfig, clients: int) -> Federation:
    """Load the data and spread them over ``clients`` clients, as the run config says."""
    return _load_federation(
        str(config["data"]),
        str(config["partition"]),
        clients,
        int(config["seed"]),
        float(config["regularisation"]),
    )


# Nodes share a process in the Simulation Engine: they load the data once.
@lru_cache(maxsize=1)
def _load_federation(
    data: str, partition_text: str, clients: int, seed: int, regularisation: float
) -> Federation:
    dataset = load(data)
    rows = partition(dataset, partition_from_text(partition_text), clients, seed)
    objectives = federated_objectives(dataset.features, dataset.labels, rows, regularisation)
    return Federation(dataset, rows, objectives)


def choose_step_size(
    rule: str, constants: Constants, compressor: Compressor, dimension: int
) -> tuple[float, float]:
    """Return the step sizes of EF21 and of uncompressed training under one rule.

    A number and ``1/L`` give both the same step. ``theory``, ``published`` and ``2021`` give
    each method what theorems allow: EF21 its own, uncompressed training 1/L.
    """
    plain = step_size("gd", constants)
    if rule == "1/L":
        return plain, plain
    if rule in EF21_FORMS:
        if not isinstance(compressor, Contractive):
            raise ValueError(f"step-size={rule} needs a contractive compressor, got {compressor}")
        alpha = compressor.alpha(dimension)
        return step_size("ef21", constants, alpha=alpha, form=rule), plain
    try:
        number = float(rule)
    except ValueError:
        raise ValueError(
            f"step-size={rule!r} is unknown; give a positive number, 1/L, {', '.join(EF21_FORMS)}"
        ) from None
    return number, number
