"""Problems: gradients, smoothness constants, and agreement with the golden file."""

import warnings

import numpy as np
import pytest
from conftest import path_from_environment
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, check_grad
from scipy.sparse import csr_array, random_array

from fl_ef21.problems import (
    LeastSquares,
    Logistic,
    Objective,
    Regulariser,
    Softmax,
    federated_constants,
    federated_objectives,
    smoothness_constants,
)
from fl_ef21.theory.eigenvalue import largest_eigenvalue

LOSSES = {"logistic": Logistic(), "lsq": LeastSquares(), "softmax": Softmax(outputs=4)}


def random_objective(loss_name, rng, *, rows=30, features=7, lam=0.3, support=False):
    loss = LOSSES[loss_name]
    A = random_array((rows, features), density=0.6, rng=rng, data_sampler=rng.standard_normal)
    targets = {
        "logistic": rng.choice([-1, 1], rows),
        "lsq": rng.standard_normal(rows),
        "softmax": rng.integers(4, size=rows),
    }[loss_name]
    mask = rng.random(loss.outputs * features) < 0.5 if support else None
    return Objective(csr_array(A), targets, loss, Regulariser(lam, mask))


def hessian_bound(objective):
    """Return the bound Hᵢ, dense, from its definition."""
    A, K = objective.features.toarray(), objective.loss.outputs
    regulariser = np.diag(objective.regulariser.curvature(objective.dimension))
    gram = objective.loss.curvature * A.T @ A / len(A)
    return np.kron(np.eye(K), gram) + regulariser


# --- Values and gradients --------------------------------------------------------------------


@pytest.mark.parametrize("support", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_match_finite_differences(loss, support):
    rng = np.random.default_rng(3)
    objective = random_objective(loss, rng, support=support)
    for _ in range(5):
        x = rng.standard_normal(objective.dimension)
        assert check_grad(objective.value, objective.gradient, x) < 1e-5
        value, gradient = objective.value_and_gradient(x)
        assert value == objective.value(x)
        assert np.array_equal(gradient, objective.gradient(x))
        assert (type(value), gradient.dtype, gradient.shape) == (float, np.float64, x.shape)


@pytest.mark.parametrize("support", [None, np.array([True, False, True])])
def test_the_regulariser_matches_its_formula_and_its_gradient(support):
    regulariser = Regulariser(0.7, support)
    x = np.array([0.5, -2.0, 3.0])
    kept = np.ones(3) if support is None else support
    assert regulariser.value(x) == pytest.approx(0.7 * np.sum(kept * x**2 / (1 + x**2)), rel=1e-14)
    difference = approx_fprime(x, regulariser.value, 1e-7)
    np.testing.assert_allclose(regulariser.gradient(x), difference, atol=1e-6)


def test_softmax_flattens_its_matrix_row_by_row():
    features = csr_array(np.array([[1.0, 2.0]]))
    objective = Objective(features, np.array([2]), Softmax(3))
    x = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0])  # rows (1, 0), (0, 1) and (1, 1)
    np.testing.assert_array_equal(objective.scores(x), [[1.0, 2.0, 3.0]])
    assert objective.value(x) == pytest.approx(np.log(np.exp([1, 2, 3]).sum()) - 3)
    assert objective.predict(x).tolist() == [2]


def test_softmax_with_two_classes_is_logistic_regression():
    rng = np.random.default_rng(5)
    features, labels = csr_array(rng.standard_normal((20, 4))), rng.choice([-1, 1], 20)
    logistic = Objective(features, labels, Logistic())
    softmax = Objective(features, (labels + 1) // 2, Softmax(2))
    x = rng.standard_normal(4)
    pair = np.concatenate([np.zeros(4), x])
    assert softmax.value(pair) == pytest.approx(logistic.value(x), rel=1e-14)
    assert softmax.accuracy(pair) == logistic.accuracy(x)


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_huge_scores_neither_overflow_nor_warn(loss):
    objective = random_objective(loss, np.random.default_rng(0))
    for scale in (1e5, 1e200):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value, gradient = objective.value_and_gradient(np.full(objective.dimension, scale))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_accuracy_is_the_share_of_right_labels_and_none_for_a_regression():
    features = csr_array(np.array([[1.0], [2.0], [-1.0], [-2.0]]))
    logistic = Objective(features, np.array([1, 1, 1, -1]), Logistic())
    assert logistic.predict(np.array([1.0])).tolist() == [1, 1, -1, -1]
    assert logistic.accuracy(np.array([1.0])) == 0.75
    regression = Objective(features, np.ones(4), LeastSquares())
    assert regression.accuracy(np.array([1.0])) is None


# --- Smoothness ------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_smoothness_bounds_the_gradients_lipschitz_ratio(loss):
    rng = np.random.default_rng(11)
    for _ in range(20):
        objective = random_objective(loss, rng, lam=rng.choice([0, 1]))
        x = rng.standard_normal(objective.dimension) * 10 ** rng.uniform(-3, 1)
        y = x + rng.standard_normal(objective.dimension) * 10 ** rng.uniform(-6, 1)
        difference = objective.gradient(x) - objective.gradient(y)
        ratio = np.linalg.norm(difference) / np.linalg.norm(x - y)
        assert ratio <= objective.smoothness() * (1 + 1e-8)


def test_smoothness_is_attained_by_least_squares():
    objective = random_objective("lsq", np.random.default_rng(2), lam=0.0)
    steepest = np.linalg.eigh(hessian_bound(objective))[1][:, -1]
    change = objective.gradient(steepest) - objective.gradient(np.zeros(7))
    assert np.linalg.norm(change) == pytest.approx(objective.smoothness(), rel=1e-10)


def test_the_curvature_of_logistic_regression_and_softmax_is_attained():
    one = csr_array(np.array([[1.0]]))
    logistic = Objective(one, np.array([1]), Logistic())
    change = logistic.gradient(np.array([1e-4])) - logistic.gradient(np.array([-1e-4]))
    assert change[0] / 2e-4 == pytest.approx(logistic.smoothness(), rel=1e-6)
    # Two classes with probability 1/2 each and the others with none.
    softmax = Objective(one, np.array([0]), Softmax(3))
    x, v = np.array([0.0, 0.0, -50.0]), np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    change = softmax.gradient(x + 1e-4 * v) - softmax.gradient(x - 1e-4 * v)
    assert np.linalg.norm(change) / 2e-4 == pytest.approx(softmax.smoothness(), rel=1e-6)


@pytest.mark.parametrize(
    "shape", [(1, 1), (5, 1), (1, 5), (3, 2), (40, 64), (300, 65), (65, 300), (200, 150)]
)
def test_the_largest_eigenvalue_matches_the_dense_solver(shape):
    rng = np.random.default_rng(shape)
    matrix = rng.standard_normal(shape)
    diagonal = rng.random(shape[1])
    gram = matrix.T @ matrix
    exact = np.linalg.eigvalsh(gram)[-1], np.linalg.eigvalsh(gram + np.diag(diagonal))[-1]
    assert largest_eigenvalue(csr_array(matrix)) == pytest.approx(exact[0], rel=1e-11)
    assert largest_eigenvalue(csr_array(matrix), diagonal) == pytest.approx(exact[1], rel=1e-11)
    assert largest_eigenvalue(csr_array(matrix)) == largest_eigenvalue(csr_array(matrix))


def test_rows_without_entries_have_curvature_zero():
    assert largest_eigenvalue(csr_array((5, 200))) == 0
    assert largest_eigenvalue(csr_array((5, 200)), np.arange(200.0)) == 199
    empty = Objective(csr_array((2, 100)), np.array([1, -1]), Logistic(), Regulariser(0.1))
    assert empty.smoothness() == 0.2


@pytest.mark.parametrize("support", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("features", [7, 90])
def test_the_constant_of_f_is_the_largest_eigenvalue_of_the_mean_hessian_bound(
    loss, support, features
):
    rng = np.random.default_rng(17)
    objectives = [
        random_objective(loss, rng, rows=rows, features=features, support=support)
        for rows in (5, 20, 60)
    ]
    for weights in (None, [0.2, 0.3, 0.5]):
        L, L_i = smoothness_constants(objectives, weights)
        p = np.full(3, 1 / 3) if weights is None else np.array(weights)
        H = sum(w * hessian_bound(objective) for w, objective in zip(p, objectives, strict=True))
        assert pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-11) == L
        assert p @ L_i * (1 + 1e-11) >= L
        for bound, objective in zip(L_i, objectives, strict=True):
            largest = np.linalg.eigvalsh(hessian_bound(objective))[-1]
            assert bound >= largest * (1 - 1e-11)
            if not support:
                assert bound == pytest.approx(largest, rel=1e-11)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_clients_on_disjoint_features_share_nothing(scales):
    n = len(scales)
    objectives = [
        Objective(csr_array(scale * np.eye(n)[[i]]), np.ones(1), LeastSquares())
        for i, scale in enumerate(scales)
    ]
    L, L_i = smoothness_constants(objectives)
    np.testing.assert_allclose(L_i, np.square(scales), rtol=1e-10)
    assert pytest.approx(np.max(L_i) / n, rel=1e-10) == L


# --- Supports and curvatures -----------------------------------------------------------------


@pytest.mark.parametrize("support", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_curvature_is_the_hessian_bound(loss, support):
    rng = np.random.default_rng(23)
    objective = random_objective(loss, rng, support=support)
    bound, curvature = hessian_bound(objective), objective.curvature()
    columns = [curvature.apply(unit) for unit in np.eye(objective.dimension)]
    np.testing.assert_allclose(np.array(columns).T, bound, rtol=1e-12, atol=1e-12)
    for _ in range(20):
        x, v = rng.normal(size=(2, objective.dimension))
        change = objective.gradient(x + 1e-5 * v) - objective.gradient(x - 1e-5 * v)
        assert abs(v @ change) / 2e-5 <= v @ bound @ v * (1 + 1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_support_is_where_the_gradient_can_be(loss):
    rng = np.random.default_rng(29)
    features = rng.normal(size=(5, 8)) * (rng.random(8) < 0.4)
    targets = {"logistic": np.ones(5), "lsq": np.ones(5), "softmax": np.arange(5) % 4}[loss]
    for kept in (None, rng.random(8 * LOSSES[loss].outputs) < 0.2):
        for lam in (0.0, 0.5):
            objective = Objective(
                csr_array(features), targets, LOSSES[loss], Regulariser(lam, kept)
            )
            moved = np.zeros(objective.dimension, dtype=bool)
            for _ in range(10):
                moved |= objective.gradient(rng.normal(size=objective.dimension)) != 0
            np.testing.assert_array_equal(objective.support(), np.flatnonzero(moved))


def test_stored_zeros_are_no_support():
    features = csr_array((np.array([0.0, 1.0]), np.array([0, 2]), np.array([0, 2])), shape=(1, 4))
    assert Objective(features, np.array([1]), Logistic()).support().tolist() == [2]


def test_a_client_of_empty_rows_hardly_counts():
    first, empty = (
        Objective(scale * csr_array(np.eye(2)), np.ones(2), LeastSquares()) for scale in (1.0, 0.0)
    )
    constants = federated_constants([first, empty])
    assert constants.support_sizes == (2, 1)
    assert 0 < constants.arithmetic_mean - 0.25 < 1e-8


def test_federated_constants_are_those_of_the_objectives():
    rng = np.random.default_rng(31)
    features = csr_array(random_array((40, 30), density=0.05, rng=rng) + 0)
    labels, parts = rng.choice([-1, 1], 40), np.array_split(np.arange(40), 4)
    everywhere = federated_objectives(features, labels, parts, lam=0.1)
    rare = federated_objectives(features, labels, parts, lam=0.1, regularise_support=True)
    plain = federated_objectives(features, labels, parts)
    weights = [0.1, 0.2, 0.3, 0.4]
    assert federated_constants(everywhere).support_sizes == (30,) * 4
    known = federated_constants(rare, weights)
    assert known.p == pytest.approx(weights)
    assert pytest.approx(smoothness_constants(rare, weights)[0]) == known.L
    assert known.support_sizes == federated_constants(plain).support_sizes
    assert known.most_owners <= 4
    assert max(known.support_sizes) < 30
    for curvature, L in zip(known.curvatures, known.L_i, strict=True):
        assert curvature.norm() == pytest.approx(L, rel=1e-10)


@pytest.mark.parametrize("kept", [None, np.arange(12) < 5])
def test_a_regulariser_on_the_server_counts_in_l_alone(kept):
    rng = np.random.default_rng(37)
    features, labels = csr_array(rng.standard_normal((20, 4))), rng.integers(3, size=20)
    objectives = federated_objectives(features, labels, [np.arange(9), np.arange(9, 20)])
    server = Regulariser(0.5, kept)
    with_server = federated_constants(objectives, server_regulariser=server)
    without = federated_constants(objectives)
    assert with_server.L_i == without.L_i
    H = np.mean([hessian_bound(o) for o in objectives], axis=0) + np.diag(server.curvature(12))
    assert pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-10) == with_server.L


# --- Federated objectives --------------------------------------------------------------------


def test_federated_objectives_split_the_mean_over_all_rows():
    rng = np.random.default_rng(1)
    features, labels = csr_array(rng.standard_normal((30, 5))), rng.integers(3, size=30)
    parts = [np.arange(0, 4), np.arange(4, 30)]
    whole = Objective(features, labels, Softmax(3), Regulariser(0.1))
    objectives = federated_objectives(features, labels, parts, lam=0.1)
    x = rng.standard_normal(15)
    value = sum(len(p) / 30 * o.value(x) for p, o in zip(parts, objectives, strict=True))
    assert value == pytest.approx(whole.value(x), rel=1e-14)
    # A client without rows of the last class still has its parameters.
    alone = federated_objectives(features, labels, [np.flatnonzero(labels == 0)])
    assert alone[0].dimension == 15


def test_labels_of_plus_and_minus_one_give_logistic_regression():
    features, labels = csr_array(np.eye(3)), np.array([-1, 1, 1])
    first, second = federated_objectives(features, labels, [np.array([1, 2]), np.array([0])])
    assert (first.loss, second.loss) == (Logistic(), Logistic())
    assert first.dimension == 3


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda A: Objective(A, np.array([0, 1]), Logistic()), "label 0 in row 0 is neither -1"),
        (lambda A: Objective(A, np.array([0, 3]), Softmax(3)), "label 3 in row 1 is not one of 0"),
        (lambda A: Objective(A, np.array([0, 0.5]), Softmax(3)), "label 0.5 in row 1"),
        (lambda A: Objective(A, np.array([0, np.nan]), LeastSquares()), "target nan in row 1"),
        (lambda A: Objective(A, np.ones(3), LeastSquares()), r"2 rows .* shape \(3,\)"),
        (lambda A: Objective(A[:0], np.ones(0), LeastSquares()), "no rows"),
        (lambda A: Objective(A.astype(np.float32), np.ones(2), LeastSquares()), "float32"),
        (
            lambda A: Objective(
                A, np.ones(2), LeastSquares(), Regulariser(1.0, np.ones(3, dtype=bool))
            ),
            "support has 3 coordinates for 2 parameters",
        ),
        (lambda A: Objective(A, np.ones(2), LeastSquares()).value(np.ones((2, 1))), "x has shape"),
        (lambda A: Softmax(1), "outputs=1 is below 2"),
        (lambda A: Regulariser(-0.1), r"-0.1 is outside \[0, ∞\)"),
        (lambda A: Regulariser(np.nan), "nan is outside"),
        (lambda A: Regulariser(0.1, np.ones(2)), "support has dtype float64"),
        (lambda A: smoothness_constants([]), "0 objectives"),
        (
            lambda A: federated_constants([Objective(A * 0, np.ones(2), LeastSquares())]),
            "L=0.0 is not a positive number",
        ),
        (
            lambda A: smoothness_constants([Objective(A, np.ones(2), LeastSquares())], [0.5]),
            "with sum 0.5; give 1 positive",
        ),
        (
            lambda A: federated_objectives(A, np.array([-1, 1]), [[0, 1], []]),
            "client 1: an objective has no rows",
        ),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build(csr_array(np.eye(2)))


# --- The golden file and real data -----------------------------------------------------------


def golden_objectives(data):
    return [
        Objective(
            csr_array(np.array(A)),
            np.array(b),
            LOSSES[data["loss"]],
            Regulariser(data["lam"], np.array(mask)),
        )
        for A, b, mask in zip(data["A"], data["b"], data["mask"], strict=True)
    ]


def test_golden_values_and_gradients(golden):
    for problem in golden["problems"].values():
        objectives = golden_objectives(problem["data"])
        for point in problem["traces"]["GD"]["points"]:
            x = np.array(point["x"])
            value = np.mean([objective.value(x) for objective in objectives])
            gradient = np.mean([objective.gradient(x) for objective in objectives], axis=0)
            assert value == pytest.approx(point["f"], rel=1e-9)
            assert gradient @ gradient == pytest.approx(point["g2"], rel=1e-9)


@pytest.mark.parametrize("name", ["mushrooms", "phishing", "a9a", "w8a"])
def test_constants_of_real_sets_match_the_dense_solver(name):
    from fl_ef21.data import Contiguous, load, partition

    dataset = load(name, path_from_environment("FL_EF21_DATA"))
    parts = partition(dataset, Contiguous(), 20)
    objectives = federated_objectives(dataset.features, dataset.labels, parts, lam=0.1)
    L, L_i = smoothness_constants(objectives)
    bounds = [hessian_bound(objective) for objective in objectives]
    assert pytest.approx(np.linalg.eigvalsh(np.mean(bounds, axis=0))[-1], rel=1e-10) == L
    np.testing.assert_allclose(L_i, np.linalg.eigvalsh(bounds)[:, -1], rtol=1e-10)
