"""The published algorithms against traces of an independent implementation.

Every trace runs through the strategy, the mod, the log and the wire on the in-process Grid. The
constants have tests of their own, and so have the methods without adapters.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from golden_problem import GoldenProblem

from fl_ef21 import (
    DASHA,
    DCGD,
    DIANA,
    EF14,
    EF21,
    EF21BC,
    EF21HB,
    EF21P,
    EF21SGDM,
    EF21W,
    MARINA,
    EControl,
    EF21Plus,
    EF21Prox,
    EF21RareFeatures,
    Identity,
    TopK,
    UnbiasedRandK,
)
from fl_ef21.compressors import Sparse
from fl_ef21.compressors.text import COMPRESSORS
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.methods.server import Prox

TOLERANCE = 1e-9
ROUNDS = int(os.environ.get("FL_EF21_GOLDEN_ROUNDS", "50"))
"""How far the traces are followed through the adapters, whose every turn passes all of Flower's
records; test_golden_core.py follows them to their ends."""


@dataclass(frozen=True)
class Golden:
    problem: dict[str, Any]
    gamma: float

    @property
    def top_k(self):
        return TopK(k=self.problem["k"])

    @property
    def common(self):
        return {"step_size": self.gamma, "signal": "gradient", "fraction_evaluate": 0.0}

    @property
    def schedule(self):
        return self.problem["schedule"]


class ChosenRandK(UnbiasedRandK):
    """Unbiased Rand-k whose choice stands in its text: chosen:3,5."""

    name = "chosen"

    def __init__(self, indices):
        super().__init__(k=len(indices))
        self.indices = np.sort(np.array(indices))

    @classmethod
    def from_arguments(cls, arguments):
        return cls([int(index) for index in arguments[0].split(",")])

    def _compress(self, vector, rng):
        values = vector[self.indices] * (vector.size / self.indices.size)
        return Sparse(vector.size, self.indices, values)

    def __str__(self):
        return f"chosen:{','.join(map(str, self.indices))}"


def scheduled(strategy, schedule, lead):
    """The strategy with the golden file's own choices of coordinates and of the coin."""

    class Scheduled(strategy):
        @property
        def needs_names(self):
            return True

        def compressor_of(self, client):
            i, t = int(client.removeprefix("partition-id=")), len(self.history)
            return ChosenRandK(schedule["idx"][max(t - lead, 0)][i])

        def _terms_of(self, server_round, ledger):
            terms = super()._terms_of(server_round, ledger)
            coin = server_round > lead and schedule["coins"][server_round - 1 - lead]
            return replace(terms, coin=bool(coin) and self.method.tosses_coin)

    return Scheduled


def partial(golden):
    """EF21-PP with the golden file's own choice of clients: all of them at the start."""

    class ScheduledEF21(EF21):
        def choose(self, server_round, nodes, count, ledger):
            masks = golden.schedule["masks"]
            mask = [True] * len(nodes) if server_round == 1 else masks[server_round - 2]
            return [
                node
                for node in nodes
                if ledger.client_of(node) is None
                or mask[int(ledger.client_of(node).removeprefix("partition-id="))]
            ]

    return ScheduledEF21(golden.top_k, initialisation="full", **golden.common)


def ef21(initialisation="full", strategy=EF21, **options):
    return lambda g: strategy(g.top_k, initialisation=initialisation, **options, **g.common)


def own_counts(golden):
    """EF21-RF in which every client keeps a number of coordinates of its own."""

    class OwnCounts(EF21RareFeatures):
        @property
        def needs_names(self):
            return True

        def compressor_of(self, client):
            return TopK(k=golden.problem["k_i"][int(client.removeprefix("partition-id="))])

    return OwnCounts(golden.top_k, initialisation="full", **golden.common)


def unbiased(strategy, lead):
    return lambda g: scheduled(strategy, g.schedule, lead)(
        UnbiasedRandK(k=g.problem["k"]), **g.common
    )


STRATEGIES = {
    "GD": lambda g: DCGD(Identity(), **g.common),
    "DCGD": lambda g: DCGD(g.top_k, **g.common),
    "EF14": lambda g: EF14(g.top_k, **g.common),
    "EF21_QM": ef21(),
    "EF21_AM": ef21(),
    "EF21_AM_initzero": ef21("zero"),
    "EF21_AM_initcomp": ef21("compressed"),
    "EF21plus_16x": ef21(strategy=EF21Plus),
    "EF21_16x": ef21(),
    "EF21W": lambda g: ef21(strategy=EF21W, smoothness=g.problem["constants"]["Li"])(g),
    "EF21PP_p0.5": partial,
    "EF21RF_rare": ef21(strategy=EF21RareFeatures),
    "EF21RF_sup": ef21(strategy=EF21RareFeatures),
    "EF21RF_sup_root": ef21(strategy=EF21RareFeatures),
    "EF21RF_sqrt_root": ef21(strategy=EF21RareFeatures),
    "EF21RF_ki_sqrt_root": own_counts,
    "EF21SGDM_full": ef21(strategy=EF21SGDM, eta=0.3),
    "EF21SGDM_minibatch": ef21(strategy=EF21SGDM, eta=0.3),
    "EF21SGD_minibatch": ef21(),
    "EF21HB_0.9": ef21(strategy=EF21HB, momentum=0.9),
    "EF21BC_kM3": ef21(strategy=EF21BC, downlink_compressor=TopK(k=3)),
    "EF21P": lambda g: EF21P(g.top_k, **g.common),
    "EF21Prox_l1": ef21(strategy=EF21Prox, prox=Prox("l1", 0.01)),
    "EControl_eta0": ef21(strategy=EControl, eta=0.0),
    "EControl_eta0.05": ef21(strategy=EControl, eta=0.05),
    "DIANA": unbiased(DIANA, lead=0),
    "MARINA": unbiased(MARINA, lead=1),
    "DASHA": unbiased(DASHA, lead=1),
}


def run(strategy, local: GoldenProblem, rounds: int, rows) -> list[np.ndarray]:
    iterates = [local.x0]
    # The app changes nothing that it is given, so that records need no copies.
    grid = InProcessGrid(
        local.client_app(rows), partition_configs(local.n), isolation="none", rollback=False
    )
    strategy.start(
        grid,
        local.arrays(),
        num_rounds=rounds,
        callbacks=[lambda _, arrays: iterates.append(arrays["x"].numpy())],
    )
    return iterates


@pytest.mark.parametrize("name", STRATEGIES)
def test_golden_trace_through_the_adapters(golden, name, monkeypatch):
    monkeypatch.setitem(COMPRESSORS, "chosen", ChosenRandK)
    for problem in golden["problems"].values():
        trace, local = problem["traces"][name], GoldenProblem(problem["data"])
        strategy = STRATEGIES[name](Golden(problem, trace["gamma"]))
        rows = problem["schedule"]["rows"] if name.endswith("minibatch") else None
        points = [point for point in trace["points"] if point["t"] <= ROUNDS]
        iterates = run(strategy, local, points[-1]["t"], rows)
        # With g_i⁰ = 0 the paper's first step stands still and costs us no round.
        if name.endswith("initzero"):
            iterates.insert(0, local.x0)
        for point in points:
            x = iterates[point["t"]]
            np.testing.assert_allclose(x, point["x"], rtol=TOLERANCE, atol=1e-12)
            np.testing.assert_allclose(local.value(x), point["f"], rtol=TOLERANCE)
            squared_norm = np.sum(local.gradient(x) ** 2)
            np.testing.assert_allclose(squared_norm, point["g2"], rtol=TOLERANCE, atol=1e-20)
