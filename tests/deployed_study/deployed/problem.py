"""Quadratics with diagonal Hessians: the same bits in every process and on every machine."""

import numpy as np


def curvature(client: int, size: int) -> np.ndarray:
    return np.random.default_rng([1, client]).uniform(0.1, 2.0, size)


def gradient(client: int, x: np.ndarray) -> np.ndarray:
    optimum = np.random.default_rng([2, client]).normal(size=len(x))
    return curvature(client, len(x)) * (x - optimum)


def squared_norm(clients: int, x: np.ndarray) -> float:
    mean = sum(gradient(client, x) for client in range(clients)) / clients
    return float(mean @ mean)
