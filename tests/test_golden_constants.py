"""Constants and step sizes of the golden file, from its numbers and from its data."""

from math import sqrt

import numpy as np
import pytest
from golden_problem import GoldenProblem
from scipy.sparse import csr_array

from fl_ef21.compressors import TopK
from fl_ef21.problems import LeastSquares, Logistic, Objective, Regulariser, federated_constants
from fl_ef21.theory import (
    Constants,
    curvature_bound,
    dense_bound,
    published_rare_bound,
    step_size,
    support_bound,
    theta,
    xi,
)

LOSSES = {"logistic": Logistic(), "lsq": LeastSquares()}
ETA = 0.3  # of the file's EF21SGDM traces
COIN = 0.25  # probability of a full gradient in the file's MARINA traces
DOWNLINK = 3  # of the file's EF21BC trace


def close(expected):
    return pytest.approx(expected, rel=1e-9)


def computed_constants(problem):
    """The library's own constants of a golden problem's data."""
    data = problem["data"]
    return federated_constants(
        [
            Objective(
                csr_array(np.array(A)),
                np.array(b),
                LOSSES[data["loss"]],
                Regulariser(data["lam"], np.array(mask, dtype=bool)),
            )
            for A, b, mask in zip(data["A"], data["b"], data["mask"], strict=True)
        ]
    )


@pytest.fixture(params=["given", "computed"])
def problems(request, golden):
    """Each problem with its constants, as the file gives them and as they are computed."""

    def constants(problem):
        found = computed_constants(problem)
        if request.param == "computed":
            return found
        given, mask = problem["constants"], np.array(problem["data"]["mask"])
        return Constants(
            L=given["L"],
            L_i=given["Li"],
            supports=[np.flatnonzero(row) for row in mask],
            curvatures=found.curvatures,
        )

    return [(problem, constants(problem)) for problem in golden["problems"].values()]


def test_golden_constants_of_smoothness(problems):
    for problem, constants in problems:
        expected = problem["constants"]
        assert close(expected["L"]) == constants.L
        assert constants.L_i == close(expected["Li"])
        assert constants.arithmetic_mean == close(expected["L_AM"])
        assert constants.quadratic_mean == close(expected["L_QM"])
        assert constants.most_owners == expected["c"]
        assert max(constants.support_sizes) == expected["r"]
        norms = [curvature.norm() for curvature in constants.curvatures]
        assert norms == close(expected["Li"])


def test_golden_constants_of_contraction(problems):
    for problem, constants in problems:
        expected, compressor = problem["constants"], TopK(k=problem["k"])
        alpha = compressor.alpha(constants.dimension)
        assert alpha == close(expected["alpha"])
        assert xi(alpha) == close(expected["xi"])
        assert theta(alpha) == close(expected["theta"])
        alphas = [min(1.0, problem["k"] / r) for r in constants.support_sizes]
        assert alphas == close(expected["alpha_i"])
        assert [xi(a) for a in alphas] == close(expected["xi_i"])


def test_golden_bounds(problems):
    for problem, constants in problems:
        expected = problem["constants"]
        alpha, alphas = expected["alpha"], expected["alpha_i"]
        assert constants.quadratic_mean * xi(alpha) == close(expected["B_QM"])
        assert dense_bound(constants, alpha) == close(expected["B_AM"])
        assert published_rare_bound(constants, alphas) == close(expected["B_rare"])
        assert support_bound(constants, alphas) == close(expected["B_sup"])
        assert curvature_bound(constants, alphas) == close(expected["B_sqrt"])


def test_golden_step_sizes(problems):
    for problem, constants in problems:
        expected, d = problem["constants"], constants.dimension
        alpha, alphas, k = expected["alpha"], expected["alpha_i"], problem["k"]
        own = [
            min(1.0, k_i / r)
            for k_i, r in zip(problem["k_i"], constants.support_sizes, strict=True)
        ]
        omega = d / k - 1

        def step(method, constants=constants, **options):
            return step_size(method, constants, **options)

        gammas = {
            "GD": step("gd"),
            "DCGD": step("dcgd", alpha=alpha),
            "EF14": step("ef14", alpha=alpha),
            "EF21_QM": step("ef21", alpha=alpha, form="2021"),
            "EF21_AM": step("ef21", alpha=alpha, form="published"),
            "EF21W": step("ef21-w", alpha=alpha, form="published"),
            "EControl_eta0": step("ef21", alpha=alpha, form="published"),
            "EF21RF_rare": step("ef21-rf", alpha=alphas, form="published"),
            "EF21RF_sup": 1 / (constants.L + support_bound(constants, alphas)),
            "EF21RF_sup_root": step("ef21-rf", alpha=alphas, form="support"),
            "EF21RF_sqrt_root": step("ef21-rf", alpha=alphas),
            "EF21RF_ki_sqrt_root": step("ef21-rf", alpha=own, form="curvature"),
            "EF21PP_p0.5": step("ef21-pp", alpha=alpha, participation=0.5),
            "EF21SGDM_full": step("ef21-sgdm", alpha=alpha, eta=ETA, form="simple"),
            "EF21SGDM_minibatch": step("ef21-sgdm", alpha=alpha, eta=ETA, form="simple"),
            "EF21Prox_l1": step("ef21-prox", alpha=alpha),
            "EF21BC_kM3": step(
                "ef21-bc", alpha=alpha, alpha_down=min(1.0, DOWNLINK / d), nonexpansive=True
            ),
            "EF21P": step("ef21-p", alpha_down=alpha),
            "DIANA": step("diana", omega=omega),
            "MARINA": step("marina", omega=omega, probability=COIN),
            "DASHA": step("dasha", omega=omega),
        }
        # The file's steps without a theorem: half of EF21's for minibatches, a tenth for heavy
        # ball.
        gammas["EF21SGD_minibatch"] = gammas["EF21_AM"] / 2
        gammas["EF21HB_0.9"] = gammas["EF21_AM"] / 10
        for name, gamma in gammas.items():
            assert gamma == close(problem["traces"][name]["gamma"]), name


def test_golden_sampling_is_ef21_with_participation(problems):
    for problem, constants in problems:
        gamma = step_size("ef21", constants, alpha=problem["constants"]["alpha"], participation=0.5)
        assert gamma == close(problem["traces"]["EF21PP_p0.5"]["gamma"])


def test_golden_curvatures_bound_the_hessians(golden):
    """−H_i ⪯ ∇²f_i ⪯ H_i along random directions, by differences of independent gradients."""
    rng = np.random.default_rng(0)
    for problem in golden["problems"].values():
        local = GoldenProblem(problem["data"])
        for i, curvature in enumerate(computed_constants(problem).curvatures):
            for _ in range(20):
                x, v = rng.normal(size=(2, local.d))
                h = 1e-5
                change = (
                    local.value_and_gradient(i, x + h * v)[1]
                    - local.value_and_gradient(i, x - h * v)[1]
                )
                assert abs(v @ change / (2 * h)) <= v @ curvature.apply(v) * (1 + 1e-6) + 1e-9
                assert sqrt(v @ v) * curvature.norm() >= np.linalg.norm(curvature.apply(v)) - 1e-9
