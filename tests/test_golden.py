"""The published algorithms and constants against traces of an independent implementation.

Every trace runs through the strategy, the mod, the log and the wire on the in-process Grid.
"""

from typing import Any

import numpy as np
import pytest
from golden_problem import GoldenProblem

from fl_ef21 import DCGD, EF21, Identity, TopK
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.theory import Constants, step_size, xi

ALGORITHMS = [
    "GD",
    "DCGD",
    "EF21_QM",
    "EF21_AM",
    "EF21_AM_initzero",
    "EF21_AM_initcomp",
    "EF21PP_p0.5",
]
TOLERANCE = 1e-9


class ScheduledEF21(EF21):
    """EF21-PP with the golden file's own choice of clients: all of them at the start."""

    masks: list[list[bool]]

    def choose(self, server_round, nodes, count, ledger):
        mask = [True] * len(nodes) if server_round == 1 else self.masks[server_round - 2]
        return [
            node
            for node in nodes
            if ledger.client_of(node) is None
            or mask[int(ledger.client_of(node).removeprefix("partition-id="))]
        ]


def build(name: str, problem: dict[str, Any], gamma: float):
    common = {"step_size": gamma, "signal": "gradient", "fraction_evaluate": 0.0}
    top_k = TopK(k=problem["k"])
    if name == "GD":
        return DCGD(Identity(), **common)
    if name == "DCGD":
        return DCGD(top_k, **common)
    if name == "EF21PP_p0.5":
        strategy = ScheduledEF21(top_k, initialisation="full", **common)
        strategy.masks = problem["schedule"]["masks"]
        return strategy
    suffix = name.rpartition("_")[2]
    initialisation = {"initzero": "zero", "initcomp": "compressed"}.get(suffix, "full")
    return EF21(top_k, initialisation=initialisation, **common)


def run(strategy, local: GoldenProblem, rounds: int) -> list[np.ndarray]:
    iterates = [local.x0]
    grid = InProcessGrid(local.client_app(), partition_configs(local.n))
    strategy.start(
        grid,
        local.arrays(),
        num_rounds=rounds,
        callbacks=[lambda _, arrays: iterates.append(arrays["x"].numpy())],
    )
    return iterates


@pytest.mark.parametrize("name", ALGORITHMS)
def test_golden_trace_through_the_adapters(golden, name):
    for problem in golden["problems"].values():
        trace = problem["traces"][name]
        local = GoldenProblem(problem["data"])
        strategy = build(name, problem, trace["gamma"])
        iterates = run(strategy, local, trace["points"][-1]["t"])
        # With g_i⁰ = 0 the paper's first step stands still and costs us no round.
        if name.endswith("initzero"):
            iterates.insert(0, local.x0)
        for point in trace["points"]:
            x = iterates[point["t"]]
            np.testing.assert_allclose(x, point["x"], rtol=TOLERANCE, atol=1e-12)
            np.testing.assert_allclose(local.value(x), point["f"], rtol=TOLERANCE)
            squared_norm = np.sum(local.gradient(x) ** 2)
            np.testing.assert_allclose(squared_norm, point["g2"], rtol=TOLERANCE, atol=1e-20)


def test_golden_constants_and_step_sizes(golden):
    for problem in golden["problems"].values():
        expected, traces = problem["constants"], problem["traces"]
        constants = Constants(L=expected["L"], L_i=expected["Li"])
        alpha = expected["alpha"]
        assert alpha == TopK(k=problem["k"]).alpha(len(problem["data"]["x0"]))
        assert constants.arithmetic_mean == pytest.approx(expected["L_AM"], rel=TOLERANCE)
        assert constants.quadratic_mean == pytest.approx(expected["L_QM"], rel=TOLERANCE)
        assert xi(alpha) == pytest.approx(expected["xi"], rel=TOLERANCE)
        for name, form in [("EF21_QM", "2021"), ("EF21_AM", "published")]:
            gamma = step_size("ef21", constants, alpha=alpha, form=form)
            assert gamma == pytest.approx(traces[name]["gamma"], rel=TOLERANCE)
        assert step_size("gd", constants) == pytest.approx(traces["GD"]["gamma"], rel=TOLERANCE)
        partial = step_size("ef21", constants, alpha=alpha, participation=0.5)
        assert partial == pytest.approx(traces["EF21PP_p0.5"]["gamma"], rel=TOLERANCE)
