"""Random federations and adversarial compressors on which the theory is tried."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fl_ef21.problems import Logistic, Objective, Regulariser, federated_constants
from fl_ef21.theory import Constants, Curvature, xi


@dataclass
class Federation:
    """f = Σ p_i f_i with all its gradients, and what the theory may know of it."""

    value: Any
    gradients: Any  # x -> array of shape (n, d)
    masks: np.ndarray
    constants: Constants
    hessian: Any = None  # of a quadratic f

    @property
    def p(self):
        return np.array(self.constants.p)


def random_masks(rng, n, d, dense):
    if dense:
        return np.ones((n, d), dtype=bool)
    masks = rng.random((n, d)) < rng.uniform(0.15, 0.9)
    masks[np.arange(n), rng.integers(d, size=n)] = True
    return masks


def random_weights(rng, n):
    weights = rng.uniform(0.05, 1, n) if rng.random() < 0.7 else np.ones(n)
    return weights / weights.sum()


def quadratics(rng, *, convex=False, dense=False):
    """(x − c_i)ᵀ H_i (x − c_i)/2 on supports; some share their eigenvectors, so that L ≈ L_AM."""
    n, d = int(rng.integers(1, 7)), int(rng.integers(1, 8))
    masks, p = random_masks(rng, n, d, dense), random_weights(rng, n)
    aligned = rng.random() < 0.3
    hessians, curvatures = np.zeros((n, d, d)), []
    for i, scale in enumerate(10.0 ** rng.uniform(-1, 1, n)):
        r = int(masks[i].sum())
        basis = np.eye(r) if aligned else np.linalg.qr(rng.normal(size=(r, r)))[0]
        values = scale * rng.uniform(0.05 if convex else -1, 1, r)
        values[rng.integers(r)] = scale
        inside = np.ix_(masks[i], masks[i])
        hessians[i][inside] = (basis * values) @ basis.T
        factor = np.zeros((r, d))
        factor[:, masks[i]] = (basis * np.sqrt(np.abs(values))).T
        curvatures.append(Curvature(csr_array(factor)))
    centres = rng.normal(size=(n, d))
    mean = np.einsum("i,ijk->jk", p, hessians)
    eigenvalues = np.linalg.eigvalsh(mean)

    def value(x):
        z = x - centres
        return np.einsum("i,ij,ijk,ik->", p, z, hessians, z) / 2

    constants = Constants(
        L=float(np.abs(eigenvalues).max()),
        L_i=[curvature.norm() for curvature in curvatures],
        weights=p,
        supports=[np.flatnonzero(mask) for mask in masks],
        curvatures=curvatures,
        mu=float(eigenvalues[0]) if convex and eigenvalues[0] > 1e-3 else None,
    )
    return Federation(
        value, lambda x: np.einsum("ijk,ik->ij", hessians, x - centres), masks, constants, mean
    )


def logistic(rng, *, dense=False):
    """Logistic regression with the papers' regulariser on the support, or without one."""
    n, d = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    masks, p = random_masks(rng, n, d, dense), random_weights(rng, n)
    lam = float(rng.choice([0.0, 0.1, 1.0]))
    objectives = [
        Objective(
            csr_array(10.0 ** rng.uniform(-1, 1) * rng.normal(size=(4, d)) * mask),
            rng.choice([-1, 1], 4),
            Logistic(),
            Regulariser(lam, mask),
        )
        for mask in masks
    ]

    def value(x):
        return sum(w * objective.value(x) for w, objective in zip(p, objectives, strict=True))

    def gradients(x):
        return np.array([objective.gradient(x) for objective in objectives])

    return Federation(value, gradients, masks, federated_constants(objectives, p))


def random_alphas(rng, masks, kind):
    """Contractions that the compressors of ``kind`` have on the clients' supports."""
    sizes = masks.sum(axis=1)
    if kind == "topk":
        return rng.integers(1, sizes + 1) / sizes
    if rng.random() < 0.3:
        return np.full(len(masks), rng.uniform(0.01, 1))
    return np.where(rng.random(len(masks)) < 0.1, 1.0, rng.uniform(0.01, 1, len(masks)))


def unit_rows(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


KINDS = ("topk", "shrink", "stretch", "turn", "common", "uphill", "downhill")
NONEXPANSIVE = ("topk", "shrink")


def compression_errors(rng, kind, vectors, alphas, masks, direction):
    """C_i(v_i) − v_i for each row v_i: of the largest norm allowed, towards somewhere bad.

    ``direction`` is that of ∇f: "uphill" and "downhill" put all clients' errors along it.
    """
    if kind == "topk":
        errors = -vectors.copy()
        for row, alpha, mask in zip(errors, alphas, masks, strict=True):
            kept = np.argsort(-np.abs(np.where(mask, row, 0)))[: round(alpha * mask.sum())]
            row[kept] = 0
        return errors
    sizes = np.sqrt(1 - np.asarray(alphas))[:, None]
    if kind in ("shrink", "stretch"):
        return (sizes if kind == "stretch" else -sizes) * vectors
    towards = {
        "turn": lambda: vectors @ rng.normal(size=(vectors.shape[1],) * 2),
        "common": lambda: np.tile(rng.normal(size=vectors.shape[1]), (len(vectors), 1)),
        "uphill": lambda: np.tile(direction, (len(vectors), 1)),
        "downhill": lambda: np.tile(-direction, (len(vectors), 1)),
    }[kind]()
    return sizes * np.linalg.norm(vectors, axis=1, keepdims=True) * unit_rows(towards * masks)


def lyapunov_weights(constants, alphas, gamma, S, rate=0.0):
    """w_i = γ S p_i / (2 a_i κ(κ − s_i)) with a_i = L_i ξ(α_i, ν) and κ = √(1 − ν)."""
    weights = []
    for p, L, alpha in zip(constants.p, constants.L_i, alphas, strict=True):
        s, kappa = np.sqrt(1 - alpha), np.sqrt(1 - rate)
        a = L * xi(alpha, rate) if alpha < 1 else 0.0
        # Without compression there is no error to weigh.
        weights.append(gamma * S * p / (2 * a * kappa * (kappa - s)) if a else 0.0)
    return np.array(weights)
