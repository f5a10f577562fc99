"""Every method's step size: its formula, what it needs, and what it is labelled."""

import re
from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_ef21.theory import (
    Constants,
    StepSize,
    clone_counts,
    exact_root,
    explain,
    step_size,
    support_bound,
    theta,
    xi,
)
from fl_ef21.theory.step_sizes.ef21 import clones_quadratic_mean
from fl_ef21.theory.step_sizes.registry import RULES

quick = settings(deadline=None, max_examples=40)
some_alphas = st.floats(1e-3, 1)
positive = st.floats(1e-3, 1e3)

# L_AM = 2.6, L_QM = √(0.2·1 + 0.8·9)
SOME = Constants(L=2.0, L_i=[1.0, 3.0], weights=[0.2, 0.8], mu=0.1)
RARE = Constants(L=2.0, L_i=[1.0, 3.0], supports=[[0, 1], [1, 2]], dimension=3, mu=0.1)
EVERYTHING = {
    "alpha": 0.5,
    "alpha_down": 0.5,
    "omega": 3.0,
    "eta": 0.1,
    "probability": 0.5,
    "batch_size": 4,
    "sample_smoothness": 5.0,
}


@st.composite
def problems(draw):
    L_i = draw(st.lists(positive, min_size=1, max_size=6))
    raw = draw(st.lists(st.floats(0.05, 1), min_size=len(L_i), max_size=len(L_i)))
    weights = np.array(raw) / sum(raw)
    L = draw(st.floats(0.05, 1)) * float(weights @ L_i)
    return Constants(L, L_i, weights, mu=draw(st.floats(1e-4, 1)) * L)


def close(value):
    return pytest.approx(value, rel=1e-12)


def cases():
    return [
        (method, form)
        for method, forms in RULES.items()
        for form in forms
        if method != "ef21-hb" and form not in ("curvature", "quadratic", "published-quadratic")
    ]


@pytest.mark.parametrize(("method", "form"), cases())
def test_every_rule_gives_a_labelled_step(method, form):
    found = explain(method, RARE, form=form, **EVERYTHING)
    assert isinstance(found, StepSize)
    assert found.value == step_size(method, RARE, form=form, **EVERYTHING)
    assert 0 < found.value <= 1 / RARE.L * (1 + 1e-12)
    assert found.kind in ("published", "derived", "recalled", "empirical")
    assert found.formula
    assert found.source
    for kind, words in {
        "derived": "derived here",
        "empirical": "no constant confirmed|no theorem",
    }.items():
        assert (found.kind == kind) == bool(re.search(words, found.source)), found


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("gd", "published"),
        ("ef21", "derived"),
        ("diana", "recalled"),
        ("marina", "recalled"),
        ("dasha", "recalled"),
        ("econtrol", "empirical"),
        ("dcgd", "empirical"),
        ("ef14", "empirical"),
        ("ef21-page", "derived"),
    ],
)
def test_labels(method, kind):
    assert explain(method, SOME, **EVERYTHING).kind == kind


@quick
@given(problems(), some_alphas, st.floats(0.05, 1))
def test_formulas_of_the_first_family(constants, alpha, eta):
    L, p, L_i = constants.L, np.array(constants.p), np.array(constants.L_i)
    AM, QM = p @ L_i, sqrt(p @ L_i**2)
    B = AM * xi(alpha)

    def step(method, **options):
        return step_size(method, constants, **({"alpha": alpha} | options))

    for method in ("ef21", "ef21+", "ef21-w", "ef21-pp", "econtrol"):
        assert step(method) == close(exact_root(L, B))
    assert step("ef21-w", form="published") == close(1 / (L + B))
    assert step("ef21", form="pl-2021") == close(
        min(1 / (L + sqrt(2) * QM * xi(alpha)), theta(alpha) / (2 * constants.mu))
    )
    assert step("cloning", form="published") == close(1 / (L + sqrt(2) * B))
    assert step("ef21-prox") == close(1 / (2 * (L + B)))
    assert step("ef21-p", alpha=1.0, alpha_down=alpha) == close(theta(alpha) / L)
    assert step("ef21-p") == close(theta(alpha) / L)
    momentum = step("ef21-sgdm", eta=eta)
    assert momentum * L + (momentum * (B + (1 - eta) * L / eta)) ** 2 == pytest.approx(1, rel=1e-9)
    assert step("ef21-sgdm", eta=eta, form="simple") == close(1 / (L / eta + B))
    assert step("ef21-sgdm", eta=eta, form="simple") <= momentum * (1 + 1e-12)
    assert step("ef21-sgdm", eta=1.0) == close(step("ef21"))
    assert step("econtrol", eta=0.0) == close(step("ef21"))


def test_econtrol_without_its_own_memory_is_ef21_and_derived():
    assert explain("econtrol", SOME, alpha=0.5, eta=0.0).kind == "derived"
    assert explain("econtrol", SOME, alpha=0.5, eta=0.05).kind == "empirical"


@quick
@given(problems(), some_alphas, some_alphas)
def test_formulas_of_both_directions(constants, up, down):
    L, AM = constants.L, constants.arithmetic_mean

    def step(nonexpansive):
        return step_size("ef21-bc", constants, alpha=up, alpha_down=down, nonexpansive=nonexpansive)

    assert step(True) == close(1 / (L - AM + AM / (theta(up) * theta(down))))
    xi_up, xi_down = xi(up), xi(down)
    assert step(False) == close(1 / (L + AM * (xi_up + 2 * xi_down * (1 + xi_up))))


def test_formulas_of_the_baselines():
    constants, omega, n = Constants(L=2.0, L_i=[1.0, 3.0]), 3.0, 2
    QM = sqrt(5.0)
    assert step_size("diana", constants, omega=omega) == close(1 / (3 * (1 + 9.0)))
    p = 0.25
    expected = 1 / (QM * (1 + sqrt((1 - p) * omega / (p * n))))
    assert step_size("marina", constants, omega=omega) == close(expected)
    assert step_size("marina", constants, omega=omega, probability=p) == close(expected)
    assert step_size("dasha", constants, omega=omega) == close(1 / (2 + sqrt(16 * 3 * 7 / 2) * QM))
    # Without compression only their constants are left.
    assert step_size("marina", constants, omega=0.0) == close(1 / QM)
    assert step_size("dasha", constants, omega=0.0) == close(1 / 2)
    # Weights enter through n p_i f_i, whose plain mean is f.
    weighted = Constants(L=2.0, L_i=[2.0, 2.0], weights=[0.25, 0.75])
    for method in ("diana", "marina", "dasha"):
        assert step_size(method, weighted, omega=omega) == close(
            step_size(method, constants, omega=omega)
        )


def test_formula_of_page():
    alpha, p, tau, sample = 0.75, 0.25, 4, 5.0
    inside = [1.25 * L**2 + 0.75 * 25 / 4 * (3 + 4) for L in SOME.L_i]
    expected = 1 / (2 + sqrt(2) * (0.2 * sqrt(inside[0]) + 0.8 * sqrt(inside[1])))
    options = {"alpha": alpha, "probability": p, "batch_size": tau}
    assert step_size("ef21-page", SOME, sample_smoothness=sample, **options) == close(expected)
    assert step_size("ef21-page", SOME, sample_smoothness=[5, 5], **options) == close(expected)


@quick
@given(problems(), some_alphas)
def test_noise_costs_at_most_a_factor_of_four_thirds(constants, alpha):
    L, AM = constants.L, constants.arithmetic_mean
    found = step_size("ef21-sgd", constants, alpha=alpha)
    loosened = 1 - (1 - alpha) * (1 + alpha / 4)
    assert found == pytest.approx(exact_root(L, AM * xi(loosened)), rel=1e-9)
    assert exact_root(L, 4 / 3 * 1.01 * AM * xi(alpha)) <= found * (1 + 1e-9)
    assert found <= step_size("ef21", constants, alpha=alpha) * (1 + 1e-12)
    assert step_size("ef21-sgd", constants, alpha=alpha, slack=1e-12) == pytest.approx(
        step_size("ef21", constants, alpha=alpha), rel=1e-6
    )


@quick
@given(problems(), some_alphas)
def test_the_step_for_the_pl_inequality_is_the_largest_that_fits(constants, alpha):
    gamma = step_size("ef21", constants, alpha=alpha, form="pl")
    L, mu, AM = constants.L, constants.mu, constants.arithmetic_mean

    def cost(g):
        nu = g * mu
        return inf if alpha < 1 and nu >= alpha else g * L + (g * AM * xi(alpha, nu)) ** 2

    if alpha == 1:
        assert gamma == close(1 / L)
        return
    assert cost(gamma) <= 1 + 1e-12
    assert cost(gamma * (1 + 1e-9)) > 1 - 1e-6
    assert cost(gamma * 1.001) > 1
    assert gamma <= step_size("ef21", constants, alpha=alpha) * (1 + 1e-12)
    assert gamma >= step_size("ef21", constants, alpha=alpha, form="pl-2021") * (1 - 1e-9)


def test_the_pl_step_gains_what_was_measured():
    """1.35 to 1.49 times the 2021 step, for small α and μ with equal L_i."""
    constants = Constants(L=1.0, L_i=[1.0] * 3, mu=1e-5)
    for alpha in (0.1, 0.01):
        ratio = step_size("ef21", constants, alpha=alpha, form="pl") / step_size(
            "ef21", constants, alpha=alpha, form="pl-2021"
        )
        assert 1.35 <= ratio <= 1.49


@quick
@given(problems())
def test_clones(constants):
    counts = clone_counts(constants)
    n, AM = constants.n, constants.arithmetic_mean
    shares = np.array(constants.p) * n * np.array(constants.L_i)
    assert (np.array(counts) >= shares / AM * (1 - 1e-9)).all()
    assert min(counts) >= 1
    assert sum(counts) <= 2 * n
    clones = [
        sum(counts) * p * L / c
        for p, L, c in zip(constants.p, constants.L_i, counts, strict=True)
        for _ in range(c)
    ]
    assert clones_quadratic_mean(constants) == close(sqrt(np.mean(np.square(clones))))
    assert np.mean(clones) == close(AM)
    assert AM * (1 - 1e-12) <= clones_quadratic_mean(constants) <= sqrt(2) * AM * (1 + 1e-12)
    for form in ("theory", "published"):
        assert step_size("cloning", constants, alpha=0.5, form=form) <= step_size(
            "ef21", constants, alpha=0.5
        )


def test_equal_clients_are_not_cloned():
    assert clone_counts(Constants(L=0.1, L_i=[0.1] * 7)) == (1,) * 7
    assert clone_counts(Constants(L=0.1, L_i=[0.3] * 3, weights=[1 / 3] * 3)) == (1,) * 3


@quick
@given(problems(), st.data())
def test_one_alpha_for_all_is_the_same_as_one_for_each(constants, data):
    alpha, share = data.draw(some_alphas), data.draw(st.floats(0.05, 0.99))
    options = EVERYTHING | {"alpha": alpha}
    for method, form in cases():
        if method != "ef21-rf":
            each = options | {"alpha": np.full(constants.n, alpha), "form": form}
            assert step_size(method, constants, **each) == close(
                step_size(method, constants, form=form, **options)
            )
    sampled = step_size("ef21-pp", constants, alpha=alpha, participation=share)
    assert sampled == close(1 / (constants.L + constants.arithmetic_mean * xi(share * alpha)))
    assert sampled == close(
        step_size(
            "ef21-pp", constants, alpha=[alpha] * constants.n, participation=[share] * constants.n
        )
    )


def test_each_client_has_its_own_alpha_and_participation():
    products = [0.2 * 1.0 * xi(0.5 * 0.4), 0.8 * 3.0 * xi(0.25 * 1.0)]
    found = step_size("ef21-pp", SOME, alpha=[0.5, 0.25], participation=[0.4, 1.0])
    assert found == close(1 / (2 + sum(products)))


def test_rare_features_use_the_supports():
    B = support_bound(RARE, 0.25)
    assert step_size("ef21-rf", RARE, alpha=0.25) == close(exact_root(2.0, B))
    assert step_size("ef21-rf", SOME, alpha=0.25) == close(step_size("ef21", SOME, alpha=0.25))
    assert step_size("ef21-rf", RARE, alpha=0.25) >= step_size(
        "ef21-rf", RARE, alpha=0.25, form="published"
    )


# Refusals


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("ef21-hb", {}, r"no confirmed step size; give a number"),
        ("ef21-sgdm", {}, "needs eta="),
        ("ef21-sgdm", {"eta": 0.0}, "eta=0 never takes in"),
        ("ef21-sgdm", {"eta": 1.5}, "eta=1.5 is outside"),
        ("ef21-bc", {}, r"needs alpha_down=: the server's compressor.alpha"),
        ("ef21-bc", {"alpha_down": 0.0}, "alpha_down=0.0 is outside"),
        ("ef21-p", {"alpha": [0.5, 0.25]}, "give alpha_down="),
        ("diana", {}, r"needs omega=: compressor.omega"),
        ("marina", {}, "needs omega="),
        ("dasha", {}, "needs omega="),
        ("dasha", {"omega": -1.0}, "omega=-1.0"),
        ("dasha", {"omega": nan}, "omega=nan"),
        ("marina", {"omega": 1.0, "probability": 0.0}, "probability=0.0"),
        ("ef21-page", {}, "needs probability="),
        ("ef21-page", {"probability": 0.5}, "needs batch_size="),
        ("ef21-page", {"probability": 0.5, "batch_size": 1}, "needs sample_smoothness="),
        ("ef21-page", {"batch_size": 0}, "batch_size=0"),
        (
            "ef21-page",
            {"probability": 0.5, "batch_size": 1, "sample_smoothness": [1.0, nan]},
            r"sample_smoothness\[1\]=nan",
        ),
        ("ef21-sgd", {"alpha": 0.5, "slack": 1.0}, "slack=1.0 leaves no contraction at alpha=0.5"),
        ("ef21-sgd", {"slack": 0.0}, "slack=0.0 is not"),
        ("ef21", {"alpha": [0.5]}, "alpha has 1 values for 2 clients"),
        ("ef21", {"alpha": [0.5, 0.0]}, r"alpha=0.0 is outside"),
        ("ef21", {"participation": [0.5, 0.5, 0.5]}, "participation has 3 values for 2"),
        ("ef21", {"participation": [0.5, 0.0]}, "participation=0.0 is outside"),
        ("ef21-sgdm", {"eta": 0.5, "participation": 0.5}, "is for full participation"),
        ("ef21", {"form": "curvature"}, r"needs curvatures.*federated_constants"),
        ("ef21-rf", {"form": "newest"}, "choose one of theory, published"),
        ("ef21-sgdm", {"form": "2021"}, "unknown for ef21-sgdm"),
    ],
    ids=str,
)
def test_what_is_missing_or_wrong_is_named(method, options, message):
    with pytest.raises(ValueError, match=message):
        step_size(method, SOME, **options)


@pytest.mark.parametrize("form", ["pl", "pl-2021"])
def test_mu_is_asked_for(form):
    with pytest.raises(ValueError, match=r"needs mu=: Constants\(mu=\.\.\.\)"):
        step_size("ef21", Constants(L=1.0, L_i=[1.0]), alpha=0.5, form=form)


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="momentum"):
        step_size("ef21", SOME, momentum=0.9)


def test_a_step_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="too extreme"):
        step_size("gd", Constants(L=1e-320, L_i=[1e-320]))
