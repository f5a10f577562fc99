"""Contraction functions, step sizes and constants against their identities and definitions."""

import re
from itertools import pairwise
from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fl_ef21.compressors import Support
from fl_ef21.theory import (
    Constants,
    Curvature,
    curvature_bound,
    dense_bound,
    exact_root,
    published_rare_bound,
    step_size,
    support_bound,
    theta,
    xi,
)
from fl_ef21.theory.step_sizes.ef21 import partial
from fl_ef21.theory.step_sizes.value import Options

alphas = st.floats(1e-12, 1)
positive = st.floats(1e-6, 1e6)
quick = settings(deadline=None, max_examples=100)


@st.composite
def constants(draw):
    """Constants of a problem that can exist: L between 1 % and 100 % of L_AM."""
    L_i = draw(st.lists(positive, min_size=1, max_size=8))
    raw = draw(st.lists(st.floats(0.01, 1), min_size=len(L_i), max_size=len(L_i)))
    weights = [w / sum(raw) for w in raw]
    share = draw(st.floats(0.01, 1))
    return Constants(share * float(np.dot(weights, L_i)), L_i, weights)


def step(constants, alpha, form="theory", **options):
    return step_size("ef21", constants, alpha=alpha, form=form, **options)


# ξ and θ


@quick
@given(alphas)
def test_xi_and_theta_identities(alpha):
    assert 0 < theta(alpha) <= 1
    assert alpha / 2 <= theta(alpha) * (1 + 1e-15)
    assert theta(alpha) <= alpha * (1 + 1e-15)
    assert 1 + xi(alpha) == pytest.approx(1 / theta(alpha), rel=1e-14)
    assert 0 <= xi(alpha) <= (2 / alpha - 1) * (1 + 1e-14)
    assert xi(alpha) == pytest.approx((1 + sqrt(1 - alpha)) / alpha - 1, rel=1e-12, abs=1e-12)


@quick
@given(st.floats(0.01, 0.99))
def test_xi_is_the_root_of_beta_over_theta(alpha):
    s = sqrt(1 - alpha)
    assert theta(alpha) == pytest.approx(1 - s, rel=1e-12)
    assert xi(alpha) ** 2 == pytest.approx((1 - alpha) / (1 - s) / (1 - s), rel=1e-12)


@quick
@given(alphas, alphas)
def test_xi_falls_and_theta_rises_with_alpha(a, b):
    low, high = min(a, b), max(a, b)
    assert xi(low) >= xi(high)
    assert theta(low) <= theta(high)


def test_known_values():
    assert (theta(1.0), xi(1.0)) == (1, 0)
    assert (theta(0.75), xi(0.75)) == (0.5, 1)
    assert xi(0.36) == pytest.approx(4)
    # Small α without cancellation: θ → α/2 and ξ → 2/α.
    assert theta(1e-20) == 5e-21
    assert xi(1e-20) == pytest.approx(2e20)


@pytest.mark.parametrize("function", [theta, xi])
@pytest.mark.parametrize("alpha", [0, -0.5, 1.0000001, nan, inf])
def test_alpha_outside_its_range_is_refused(function, alpha):
    with pytest.raises(ValueError, match=r"outside \(0, 1\]") as caught:
        function(alpha)
    assert f"alpha={alpha!r}" in str(caught.value)
    assert "compressor.alpha" in str(caught.value)


# The exact root


@quick
@given(positive, st.one_of(st.just(0.0), positive))
def test_exact_root_solves_its_equation_within_a_quarter_of_the_published_form(L, B):
    gamma = exact_root(L, B)
    assert gamma * L + (gamma * B) ** 2 == pytest.approx(1, rel=1e-12)
    assert 1 - 1e-12 <= gamma * (L + B) <= 1.25 * (1 + 1e-12)


def test_exact_root_gains_most_where_b_is_two_thirds_of_l():
    assert exact_root(3.0, 2.0) * 5.0 == pytest.approx(1.25, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_exact_root_does_not_overflow_or_underflow(scale):
    assert exact_root(3 * scale, 2 * scale) * scale == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize(
    ("L", "B"), [(0.0, 0.0), (-1.0, 1.0), (1.0, -1.0), (nan, 1.0), (1.0, nan), (inf, 1.0)]
)
def test_exact_root_refuses_what_is_no_smoothness(L, B):
    with pytest.raises(ValueError, match=r"[LB]=(-1\.0|0\.0|nan|inf)"):
        exact_root(L, B)


# Step sizes


@quick
@given(constants(), alphas)
def test_step_sizes_follow_their_formulas(constants, alpha):
    L, p, L_i = constants.L, np.array(constants.p), np.array(constants.L_i)
    B_am, B_qm = p @ L_i * xi(alpha), sqrt(p @ L_i**2) * xi(alpha)
    assert step_size("gd", constants) == pytest.approx(1 / L)
    assert step(constants, alpha, "2021") == pytest.approx(1 / (L + B_qm), rel=1e-12)
    assert step(constants, alpha, "published") == pytest.approx(1 / (L + B_am), rel=1e-12)
    assert step(constants, alpha) == pytest.approx(exact_root(L, B_am), rel=1e-12)


@quick
@given(constants(), alphas)
def test_step_sizes_are_ordered(constants, alpha):
    forms = [step(constants, alpha, form) for form in ("2021", "published", "theory")]
    forms.append(step_size("gd", constants))
    for smaller, larger in pairwise(forms):
        assert 0 < smaller <= larger * (1 + 1e-12)


@quick
@given(constants())
def test_without_compression_every_step_size_is_that_of_gradient_descent(constants):
    for form in ("2021", "published", "theory"):
        assert step(constants, 1.0, form) == pytest.approx(1 / constants.L, rel=1e-12)


@quick
@given(constants(), alphas)
def test_full_participation_is_the_published_form(constants, alpha):
    published = step(constants, alpha, "published")
    sampled = partial(constants, Options(alpha=alpha)).value
    assert sampled == pytest.approx(published, rel=1e-12)
    assert step(constants, alpha, "published", participation=1.0) == published


@quick
@given(constants(), alphas, st.floats(1e-3, 0.999))
def test_fewer_participants_act_as_a_smaller_alpha(constants, alpha, participation):
    partial = step(constants, alpha, participation=participation)
    assert partial == pytest.approx(step(constants, alpha * participation, "published"), rel=1e-12)
    assert partial <= step(constants, alpha, "published") * (1 + 1e-12)


SOME = Constants(L=1.0, L_i=[1.0, 2.0])


@pytest.mark.parametrize("method", ["gd", "ef21"])
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"alpha": 0.0}, ("alpha=0.0", "(0, 1]")),
        ({"alpha": 1.5}, ("alpha=1.5", "(0, 1]")),
        ({"alpha": nan}, ("alpha=nan", "(0, 1]")),
        ({"participation": 0.0}, ("participation=0.0", "(0, 1]")),
        ({"participation": 1.5}, ("participation=1.5", "(0, 1]")),
        ({"participation": nan}, ("participation=nan", "(0, 1]")),
        ({"form": "newest"}, ("form='newest'", "theory, published, 2021")),
    ],
    ids=str,
)
def test_bad_options_are_refused(method, options, parts):
    name, allowed = parts
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        step_size(method, SOME, **options)
    assert allowed in str(caught.value)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match=r"method='adam'.*choose one of gd, dcgd, ef14, ef21,"):
        step_size("adam", SOME)


# Constants


def test_means_are_weighted():
    constants = Constants(L=1.0, L_i=[1.0, 7.0], weights=[0.75, 0.25])
    assert constants.arithmetic_mean == pytest.approx(2.5)
    assert constants.quadratic_mean == pytest.approx(sqrt(0.75 + 0.25 * 49))
    assert Constants(L=1.0, L_i=[3.0] * 3).p == pytest.approx([1 / 3] * 3)


@quick
@given(constants())
def test_the_arithmetic_mean_lies_between_the_smallest_and_the_quadratic_mean(constants):
    mean = constants.arithmetic_mean
    assert min(constants.L_i) <= mean * (1 + 1e-12)
    assert mean <= constants.quadratic_mean * (1 + 1e-12)
    assert constants.quadratic_mean <= max(constants.L_i) * (1 + 1e-12)


@pytest.mark.parametrize("weights", [None, [0.25, 0.75]], ids=["equal", "given"])
def test_constants_take_arrays(weights):
    lists = Constants(L=1.0, L_i=[1.0, 2.0], weights=weights)
    array = None if weights is None else np.array(weights)
    assert step(Constants(L=1.0, L_i=np.array([1.0, 2.0]), weights=array), 0.5) == step(lists, 0.5)


@pytest.mark.parametrize("value", [0.0, -1.0, nan, inf])
def test_constants_that_are_not_positive_numbers_are_refused(value):
    with pytest.raises(ValueError, match=rf"^L={value!r} is not a positive number"):
        Constants(L=value, L_i=[1.0])
    with pytest.raises(ValueError, match=rf"^L_i\[1\]={value!r} is not a positive number"):
        Constants(L=1.0, L_i=[1.0, value])


def test_no_client_is_refused():
    with pytest.raises(ValueError, match="L_i is empty; give one"):
        Constants(L=1.0, L_i=[])


@pytest.mark.parametrize(
    "weights",
    [[], [1.0], [0.5, 0.25, 0.25], [0.5, 0.6], [1.5, -0.5], [1.0, 0.0], [nan, 1.0], [inf, 0.5]],
    ids=str,
)
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="2 positive numbers with sum 1, got") as caught:
        Constants(L=1.0, L_i=[1.0, 2.0], weights=weights)
    assert f"{len(weights)} with sum" in str(caught.value)
    assert "divide them by their sum" in str(caught.value)


def test_constants_know_supports_and_curvatures():
    curvatures = [Curvature(csr_array(np.diag(row))) for row in ([1.0, 2.0, 0.0], [0.0, 1.0, 1.0])]
    constants = Constants(
        L=2.5, L_i=[4.0, 1.0], supports=[[0, 1], np.array([1, 2])], curvatures=curvatures, mu=0.1
    )
    assert constants.dimension == 3
    assert constants.support_sizes == (2, 2)
    assert (constants.n, constants.most_owners) == (2, 2)
    assert constants.largest_sum([1.0, 5.0]) == 6
    same = Constants(L=2.5, L_i=[4.0, 1.0], supports=[Support.of(3, [0, 1]), Support.of(3, [1, 2])])
    assert same.supports == constants.supports
    assert same.dimension == 3
    assert Constants(L=1.0, L_i=[1.0, 1.0], dimension=7).support_sizes == (7, 7)
    assert Constants(L=1.0, L_i=[1.0, 1.0]).most_owners == 2


def one_support(positions):
    return lambda: Constants(L=1.0, L_i=[1.0], supports=[positions], dimension=3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Constants(L=1.0, L_i=[1.0], supports=[[0]]), "give d as dimension="),
        (lambda: Constants(L=1.0, L_i=[1.0, 1.0], supports=[[0]], dimension=3), "1 supports for 2"),
        (one_support([3]), r"supports\[0\].*\[0, 3\)"),
        (one_support([-1]), r"supports\[0\].*\[0, 3\)"),
        (one_support([1, 0]), r"supports\[0\].*increase"),
        (one_support([]), r"supports\[0\]"),
        (one_support([0.5]), "float64 are not whole numbers"),
        (one_support([True, False]), "bool are not whole numbers"),
        (
            lambda: Constants(L=1.0, L_i=[1.0], curvatures=[], dimension=3),
            "0 curvatures for 1 clients",
        ),
        (
            lambda: Constants(
                L=1.0, L_i=[1.0], curvatures=[Curvature(csr_array(np.eye(2)))], dimension=3
            ),
            r"differ in d: \[2, 3\]",
        ),
        (lambda: Constants(L=1.0, L_i=[1.0], mu=1.1), r"mu=1.1 is outside \(0, L=1.0\]"),
        (lambda: Constants(L=1.0, L_i=[1.0], mu=0.0), "mu=0.0"),
        (lambda: Constants(L=1.0, L_i=[1.0], mu=nan), "mu=nan"),
        (lambda: Constants(L=1.0, L_i=[1.0]).support_sizes, "r_i needs supports="),
        (lambda: Curvature(csr_array(np.eye(2)), scale=-1.0), "scale=-1.0"),
        (lambda: Curvature(csr_array(np.eye(2)), ridge=nan), "ridge=nan"),
        (lambda: Curvature(csr_array(np.diag([1.0, inf]))), "not finite"),
        (lambda: Curvature(csr_array(np.eye(2)), support=np.array([2])), r"outside \[0, 2\)"),
    ],
)
def test_geometry_that_does_not_fit_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# Bounds of the compression error


@st.composite
def supported(draw, size=6):
    """Constants with random supports, and one contraction for each client."""
    plain = draw(constants())
    owned = st.sets(st.integers(0, size - 1), min_size=1)
    supports = [sorted(draw(owned)) for _ in plain.L_i]
    alpha = draw(st.lists(st.floats(1e-3, 1), min_size=plain.n, max_size=plain.n))
    known = Constants(plain.L, plain.L_i, plain.weights, supports=supports, dimension=size)
    return known, alpha


@quick
@given(supported())
def test_the_support_bound_follows_its_definition(case):
    constants, alpha = case
    totals = np.zeros(constants.dimension)
    for p, L, a, support in zip(constants.p, constants.L_i, alpha, constants.supports, strict=True):
        totals[support.indices] += p * L * xi(a)
    bound = support_bound(constants, alpha)
    assert bound == pytest.approx(totals.max(), rel=1e-12)
    assert bound <= dense_bound(constants, alpha) * (1 + 1e-12)
    owners = np.bincount(np.concatenate([s.indices for s in constants.supports]))
    assert constants.most_owners == owners.max()


@quick
@given(constants(), alphas)
def test_dense_supports_with_equal_alphas_give_the_bound_of_reloaded(constants, alpha):
    everything = [np.arange(4)] * constants.n
    dense = Constants(
        constants.L, constants.L_i, constants.weights, supports=everything, dimension=4
    )
    expected = pytest.approx(constants.arithmetic_mean * xi(alpha), rel=1e-12)
    for known in (constants, dense):
        assert support_bound(known, alpha) == expected
        assert dense_bound(known, [alpha] * constants.n) == expected


@quick
@given(supported(), st.floats(1e-3, 1))
def test_the_published_rare_bound_is_never_below(case, alpha):
    constants, _ = case
    assert published_rare_bound(constants, alpha) >= support_bound(constants, alpha) * (1 - 1e-12)


def random_curvatures(rng, n, d):
    """Curvatures on supports, dense copies of them, and the supports."""
    curvatures, dense, supports = [], [], []
    for _ in range(n):
        mask = rng.random(d) < 0.5
        mask[rng.integers(d)] = True
        factor = rng.normal(size=(3, d)) * mask * 10.0 ** rng.uniform(-1, 1)
        scale, ridge = rng.uniform(0, 2), rng.choice([0.0, 0.3])
        supports.append(np.flatnonzero(mask))
        curvatures.append(Curvature(csr_array(factor), scale, ridge, supports[-1]))
        dense.append(scale * factor.T @ factor + ridge * np.diag(mask.astype(float)))
    return curvatures, np.array(dense), supports


@pytest.mark.parametrize("d", [1, 5, 100])
def test_the_curvature_bound_follows_its_definition_and_is_the_smallest(d):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 6))
        curvatures, dense, supports = random_curvatures(rng, n, d)
        L_i = [max(curvature.norm(), 1e-3) for curvature in curvatures]
        np.testing.assert_allclose(
            [c.norm() for c in curvatures], np.linalg.eigvalsh(dense)[:, -1], rtol=1e-9, atol=1e-12
        )
        p = rng.dirichlet(np.ones(n))
        alpha = rng.uniform(0.05, 0.99, n)
        weights = p * [xi(a) for a in alpha]
        constants = Constants(L=1.0, L_i=L_i, weights=p, supports=supports, curvatures=curvatures)
        B = support_bound(constants, alpha)
        mean = np.einsum("i,ijk->jk", weights, dense)
        found = curvature_bound(constants, alpha)
        assert found == pytest.approx(np.sqrt(B * np.linalg.eigvalsh(mean)[-1]), rel=1e-9)
        assert found <= B * (1 + 1e-9)
        squares = np.einsum("i,ijk->jk", weights / L_i, dense @ dense)
        exact = curvature_bound(constants, alpha, exact_quadratics=True)
        assert exact == pytest.approx(np.sqrt(B * np.linalg.eigvalsh(squares)[-1]), rel=1e-9)
        assert exact <= found * (1 + 1e-9)
        published = published_rare_bound(constants, alpha, exact_quadratics=True)
        norm = np.linalg.eigvalsh(np.einsum("i,ijk->jk", n * p**2, dense @ dense))[-1]
        share = constants.most_owners / n
        assert published == pytest.approx(np.sqrt(norm * share) * xi(min(alpha)), rel=1e-9)


def test_without_curvatures_the_error_says_where_they_come_from():
    for options in ({}, {"exact_quadratics": True}):
        with pytest.raises(ValueError, match=r"Constants\(curvatures=.*federated_constants"):
            curvature_bound(SOME, 0.5, **options)


def test_a_zero_hessian_has_norm_zero():
    nothing = Curvature(csr_array((3, 200)))
    constants = Constants(L=1.0, L_i=[1.0], curvatures=[nothing])
    assert nothing.norm() == 0
    assert curvature_bound(constants, 0.5, exact_quadratics=True) == 0
    assert nothing.apply(np.ones(200)).tolist() == [0.0] * 200


@quick
@given(st.floats(0.01, 1), st.floats(0, 0.99))
def test_xi_at_a_rate_follows_its_formula(alpha, share):
    rate = share * alpha
    s = sqrt(1 - alpha)
    assert xi(alpha, rate) == pytest.approx(s / (sqrt(1 - rate) - s), rel=1e-9, abs=1e-12)
    assert xi(alpha, rate) >= xi(alpha)
    for bad in (alpha, -0.1, nan):
        with pytest.raises(ValueError, match="outside"):
            xi(alpha, bad)
