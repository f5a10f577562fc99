"""Every golden trace through the methods alone: the mathematics, without Flower and the wire."""

import numpy as np
import pytest
from core_loop import trajectory
from golden_problem import GoldenProblem

from fl_ef21.compressors import Identity, Restricted, Sparse, Support, TopK, UnbiasedRandK
from fl_ef21.methods import (
    DASHA,
    DCGD,
    DIANA,
    EF14,
    EF21,
    EF21SGDM,
    MARINA,
    EControl,
    EF21Plus,
)
from fl_ef21.methods.server import HeavyBall, Prox


class ScheduledRandK(UnbiasedRandK):
    """Unbiased Rand-k whose choice the golden file has made."""

    def __init__(self, indices):
        super().__init__(k=len(indices))
        self.indices = np.sort(np.array(indices))

    def _compress(self, vector, rng):
        values = vector[self.indices] * (vector.size / self.indices.size)
        return Sparse(vector.size, self.indices, values)


class Golden:
    """One problem and one trace of it."""

    def __init__(self, problem, name):
        self.problem, self.trace = problem, problem["traces"][name]
        self.local = GoldenProblem(problem["data"])
        self.schedule, self.k = problem["schedule"], problem["k"]
        self.weights = np.array(problem["constants"]["Li"])
        self.weights /= self.weights.sum()

    def top_k(self):
        return TopK(k=self.k)

    def scheduled(self, after_initialisation):
        """Rand-k of round and client; with an initialisation, round 0 is that."""
        lead = 1 if after_initialisation else 0
        idx = self.schedule["idx"]
        return lambda t, i: ScheduledRandK(idx[max(t - lead, 0)][i])

    def restricted(self, counts):
        supports = [np.flatnonzero(mask) for mask in self.local.mask]
        return lambda t, i: Restricted(
            TopK(k=counts[i]), Support(self.local.d, supports[i].astype(np.int64))
        )

    def gradients(self):
        local = self.local
        return [lambda x, i=i: local.value_and_gradient(i, x)[1] for i in range(local.n)]

    def minibatch_gradients(self):
        local, rows = self.local, self.schedule["rows"]
        return [
            lambda x, t, i=i: local.value_and_gradient(i, x, rows[t][i])[1] for i in range(local.n)
        ]

    def run(self, method, compressor, **options):
        # With g_i⁰ = 0 the paper's first step stands still; here it costs no round.
        rounds = self.trace["points"][-1]["t"]
        stochastic = options.get("stochastic", False)
        gradients = self.minibatch_gradients() if stochastic else self.gradients()
        gamma = self.trace["gamma"]
        return trajectory(method, compressor, gradients, self.local.x0, gamma, rounds, **options)


RUNS = {
    "GD": lambda g: g.run(DCGD(), Identity()),
    "DCGD": lambda g: g.run(DCGD(), g.top_k()),
    "EF14": lambda g: g.run(EF14(), g.top_k()),
    "EF21_QM": lambda g: g.run(EF21(), g.top_k()),
    "EF21_AM": lambda g: g.run(EF21(), g.top_k()),
    "EF21_AM_initzero": lambda g: g.run(EF21("zero"), g.top_k()),
    "EF21_AM_initcomp": lambda g: g.run(EF21("compressed"), g.top_k()),
    "EF21plus_16x": lambda g: g.run(EF21Plus(), g.top_k()),
    "EF21_16x": lambda g: g.run(EF21(), g.top_k()),
    "EF21W": lambda g: g.run(
        EF21(), g.top_k(), weights=g.weights, scales=1 / (g.local.n * g.weights)
    ),
    "EF21RF_rare": lambda g: g.run(EF21(), g.restricted([g.k] * g.local.n)),
    "EF21RF_sup": lambda g: g.run(EF21(), g.restricted([g.k] * g.local.n)),
    "EF21RF_sup_root": lambda g: g.run(EF21(), g.restricted([g.k] * g.local.n)),
    "EF21RF_sqrt_root": lambda g: g.run(EF21(), g.restricted([g.k] * g.local.n)),
    "EF21RF_ki_sqrt_root": lambda g: g.run(EF21(), g.restricted(g.problem["k_i"])),
    # Round 0 is the initialisation, in which all take part.
    "EF21PP_p0.5": lambda g: g.run(
        EF21(), g.top_k(), takes_part=lambda t, i: t == 0 or g.schedule["masks"][t - 1][i]
    ),
    "EF21SGDM_full": lambda g: g.run(EF21SGDM("full", 0.3), g.top_k()),
    "EF21SGDM_minibatch": lambda g: g.run(EF21SGDM("full", 0.3), g.top_k(), stochastic=True),
    "EF21SGD_minibatch": lambda g: g.run(EF21(), g.top_k(), stochastic=True),
    "EF21HB_0.9": lambda g: g.run(EF21(), g.top_k(), server=HeavyBall(0.9)),
    "EF21Prox_l1": lambda g: g.run(EF21(), g.top_k(), server=Prox("l1", 0.01)),
    "EControl_eta0": lambda g: g.run(EControl("full", 0.0), g.top_k()),
    "EControl_eta0.05": lambda g: g.run(EControl("full", 0.05), g.top_k()),
    "DIANA": lambda g: g.run(DIANA(), g.scheduled(after_initialisation=False)),
    "MARINA": lambda g: g.run(
        MARINA(),
        g.scheduled(after_initialisation=True),
        coin=lambda t: t > 0 and g.schedule["coins"][t - 1],
    ),
    "DASHA": lambda g: g.run(DASHA(), g.scheduled(after_initialisation=True)),
}


@pytest.mark.parametrize("name", RUNS)
def test_golden_trace_of_the_core(golden, name):
    for problem in golden["problems"].values():
        run = Golden(problem, name)
        iterates = RUNS[name](run)
        lead = 1 if name.endswith("initzero") else 0
        for point in run.trace["points"]:
            x = iterates[max(0, point["t"] - lead)]
            np.testing.assert_allclose(x, point["x"], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(run.local.value(x), point["f"], rtol=1e-9)
            squared_norm = np.sum(run.local.gradient(x) ** 2)
            np.testing.assert_allclose(squared_norm, point["g2"], rtol=1e-9, atol=1e-20)
