"""EF21 Top-1 on phishing as loops of numpy, from an honest one to what scripts look like."""

from dataclasses import dataclass

import numpy as np

from fl_ef21.data import load, partition, partition_from_text
from fl_ef21.problems import Objective, federated_objectives

CLIENTS, LAMBDA = 20, 0.1


@dataclass(frozen=True)
class Rows:
    """One client's rows and labels as dense arrays, for loops of numpy."""

    features: np.ndarray
    labels: np.ndarray

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Return the gradient of the regularised logistic loss."""
        slopes = -self.labels / (1 + np.exp(self.labels * (self.features @ x)))
        return slopes @ self.features / len(self.labels) + 2 * LAMBDA * x / (1 + x * x) ** 2

    def value(self, x: np.ndarray) -> float:
        """Return the loss."""
        losses = np.log(1 + np.exp(-self.labels * (self.features @ x)))
        return losses.mean() + LAMBDA * np.sum(x * x / (1 + x * x))


def phishing(clients: int = CLIENTS) -> tuple[Objective, ...]:
    """Return the objectives of the EF21 paper's setting: contiguous chunks, non-convex λ = 0.1."""
    dataset = load("phishing")
    rows = partition(dataset, partition_from_text("contiguous"), clients, 0)
    return federated_objectives(dataset.features, dataset.labels, rows, LAMBDA)


def dense(objectives: tuple[Objective, ...]) -> list[Rows]:
    """Return every client's rows as dense arrays."""
    return [Rows(o.features.toarray(), o.targets.astype(float)) for o in objectives]


def plain(clients: list[Rows], step_size: float, rounds: int) -> np.ndarray:
    """Loop over clients, with nothing that the method does not need."""
    x = np.zeros(clients[0].features.shape[1])
    estimates = np.zeros((len(clients), x.size))
    mean = estimates.mean(axis=0)
    for _ in range(rounds):
        x = x - step_size * mean
        for client, estimate in zip(clients, estimates, strict=True):
            difference = client.gradient(x) - estimate
            place = np.abs(difference).argmax()
            estimate[place] += difference[place]
            mean[place] += difference[place] / len(clients)
    return x


def batched(clients: list[Rows], step_size: float, rounds: int) -> np.ndarray:
    """Do all clients at once: one product with all rows, one with its transpose by client."""
    features = np.concatenate([client.features for client in clients])
    labels = np.concatenate([client.labels for client in clients])
    counts = np.array([len(client.labels) for client in clients])
    starts, everyone = np.cumsum(counts) - counts, np.arange(len(clients))
    x = np.zeros(features.shape[1])
    estimates = np.zeros((len(clients), x.size))
    for _ in range(rounds):
        x = x - step_size * estimates.mean(axis=0)
        slopes = -labels / (1 + np.exp(labels * (features @ x)))
        sums = [
            slopes[start : start + count] @ features[start : start + count]
            for start, count in zip(starts, counts, strict=True)
        ]
        gradients = np.array(sums) / counts[:, None] + 2 * LAMBDA * x / (1 + x * x) ** 2
        differences = gradients - estimates
        places = np.abs(differences).argmax(axis=1)
        estimates[everyone, places] += differences[everyone, places]
    return x


def as_in_scripts(clients: list[Rows], step_size: float, rounds: int) -> np.ndarray:
    """Loop over clients as scripts published with papers do: matrices throughout, and metrics.

    Written here from the paper's algorithm: Top-k by a full sort into a dense vector, the mean by
    a sum over all clients, and in every round f, ‖∇f‖² and the bits sent, which figures need.
    """
    x = np.zeros(clients[0].features.shape[1])
    estimates = np.zeros((len(clients), x.size))
    values, norms, bits = [], [], []
    for _ in range(rounds):
        x = x - step_size * np.mean(estimates, axis=0)
        gradients = np.array([client.gradient(x) for client in clients])
        differences = gradients - estimates
        kept = np.zeros_like(differences)
        for i, difference in enumerate(differences):
            largest = np.argsort(np.abs(difference))[::-1][:1]
            kept[i, largest] = difference[largest]
        estimates = estimates + kept
        values.append(np.mean([client.value(x) for client in clients]))
        norms.append(np.sum(np.mean(gradients, axis=0) ** 2))
        bits.append(64 * np.count_nonzero(kept))
    return x
