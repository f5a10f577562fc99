"""A federated problem whose smoothness constants are known, with the point to start from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fl_ef21.data import Dataset, load, partition, partition_from_text
from fl_ef21.problems import Objective, Together, federated_constants, federated_objectives
from fl_ef21.theory import Constants

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """The clients' objectives, of which f is the plain mean.

    Attributes
    ----------
    name : str
        What panels are called by.
    objectives : tuple of Objective
        One a client.
    start : ndarray of float64, shape (d,), optional
        x⁰; 0 by default.
    """

    name: str
    objectives: tuple[Objective, ...]
    start: Vector | None = None

    @property
    def dimension(self) -> int:
        """Number of parameters, d."""
        return self.objectives[0].dimension

    @property
    def first(self) -> Vector:
        """x⁰, a new array."""
        return np.zeros(self.dimension) if self.start is None else self.start.copy()

    @cached_property
    def constants(self) -> Constants:
        """L, Lᵢ, supports and curvatures."""
        return federated_constants(self.objectives)

    @cached_property
    def together(self) -> Together:
        """All clients' gradients by one product."""
        return Together(self.objectives)

    def gradient(self, x: Vector) -> Vector:
        """Return ∇f(x), from the gradients that the clients will be asked for next."""
        self.together.gradient(0, x)
        return np.asarray(self.together.latest.mean(axis=0))

    def value(self, x: Vector) -> float:
        """Return f(x)."""
        return float(np.mean([objective.value(x) for objective in self.objectives]))

    def sampled(self, client: int, rows: int, seed: int) -> Objective:
        """Return a client's objective on ``rows`` of its rows, drawn without replacement."""
        objective = self.objectives[client]
        drawn = np.random.default_rng(seed).choice(len(objective.targets), rows, replace=False)
        drawn.sort()
        return replace(
            objective, features=objective.features[drawn], targets=objective.targets[drawn]
        )

    def described(self) -> dict[str, object]:
        """Return what a summary says of the problem."""
        constants = self.constants
        return {
            "name": self.name,
            "rows": sum(len(objective.targets) for objective in self.objectives),
            "dimension": self.dimension,
            "clients": len(self.objectives),
            "L": constants.L,
            "L_AM": constants.arithmetic_mean,
            "L_QM": constants.quadratic_mean,
            "L_i": constants.L_i,
            "r_i": constants.support_sizes,
            "c": constants.most_owners,
        }


def logistic_problem(
    name: str,
    data: str,
    clients: int,
    split: str,
    *,
    regularisation: float,
    on_support: bool = False,
    scales: Sequence[float] | None = None,
    start: Vector | None = None,
    seed: int = 0,
) -> Problem:
    """Return logistic regression with the papers' non-convex regulariser.

    Parameters
    ----------
    name : str
        Of the problem.
    data : str
        A known data set or the path of a LIBSVM file; see `binary_labels`.
    clients : int
        n.
    split : str
        How rows are spread over the clients, as in ``norm``.
    regularisation : float
        λ ≥ 0.
    on_support : bool
        Whether a client regularises the features of its own rows alone.
    scales : sequence of float, optional
        Factors of each client's rows.
    start : ndarray, optional
        x⁰.
    seed : int
        Of the split.
    """
    dataset = binary_labels(load(data))
    parts = partition(dataset, partition_from_text(split), clients, seed)
    objectives = federated_objectives(
        dataset.features, dataset.labels, parts, regularisation, regularise_support=on_support
    )
    if scales is not None:
        objectives = tuple(
            replace(o, features=o.features * scale)
            for o, scale in zip(objectives, scales, strict=True)
        )
    return Problem(name, objectives, start)


def binary_labels(dataset: Dataset) -> Dataset:
    """Return a data set with labels −1 and +1; of more classes, the first half are −1.

    Examples
    --------
    >>> sorted(set(binary_labels(load("digits")).labels.tolist()))
    [-1, 1]
    """
    if dataset.labels.min() < 0:
        return dataset
    labels = np.where(dataset.labels < (dataset.labels.max() + 1) // 2, -1, 1)
    return replace(dataset, labels=labels, class_names=("first half", "second half"))
