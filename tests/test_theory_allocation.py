"""Budgets: the rule against a numerical optimum, and its whole numbers."""

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_ef21.compressors import Support
from fl_ef21.theory import Constants, allocate, dense_bound, xi
from fl_ef21.theory.allocation import relaxed_allocation

quick = settings(deadline=None, max_examples=150)


def bound(L, r, k):
    return np.sum(L * [xi(min(1.0, a)) for a in k / r])


# Where every α stays below 8/9, which is s = √(1 − α) above 1/3, ξ is convex, and the optimum is
# where all marginal gains agree. With dξ/dα = −1/(2 s (1 − s)²) that of a client is L/(r h(s)).
S = np.linspace(1, 1 / 3, 20_001)
H = 2 * S * (1 - S) ** 2


def numerical_optimum(L, r, budget):
    """The smallest Σ L_i ξ(k_i/r_i) over 1 ≤ k_i ≤ r_i, by bisection over the marginal gain."""

    def shares(price):
        s = np.interp(L / (r * price), H, S)
        return np.maximum(r * (1 - s**2), 1)

    low, high = 1e-12 * L.max(), 1e12 * L.max()
    for _ in range(80):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if shares(middle).sum() > budget else (low, middle)
    return shares(high)


def instance(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    L, r = 10.0 ** rng.uniform(-2, 2, n), rng.integers(100, 1000, n).astype(float)
    return L, r, int(n * rng.integers(2, 10))


def test_the_rule_is_the_numerical_optimum():
    for seed in range(100):
        L, r, budget = instance(seed)
        rule = np.array(relaxed_allocation(budget, np.sqrt(L * r), r))
        best = numerical_optimum(L, r, budget)
        assert best.sum() == pytest.approx(budget, rel=1e-6)
        assert bound(L, r, rule) <= bound(L, r, best) * (1 + 1e-4), f"seed {seed}"


def test_whole_numbers_cost_little_and_equal_shares_much():
    rounding, equal = [], []
    for seed in range(100):
        L, r, budget = instance(seed)
        best = bound(L, r, numerical_optimum(L, r, budget))
        rounding.append(bound(L, r, np.array(allocate(budget, L, r.astype(int)))) / best)
        equal.append(bound(L, r, np.full(len(L), budget // len(L))) / best)
    assert max(rounding) < 1.1
    assert np.median(rounding) < 1.01
    assert np.median(equal) > 1.5


@st.composite
def requests(draw):
    n = draw(st.integers(1, 8))
    L = draw(st.lists(st.floats(1e-6, 1e6), min_size=n, max_size=n))
    r = draw(st.lists(st.integers(1, 50), min_size=n, max_size=n))
    return draw(st.integers(n, 500)), L, r


@quick
@given(requests())
def test_the_budget_is_spent_within_its_limits(request):
    budget, L, r = request
    counts = allocate(budget, L, r)
    assert all(isinstance(k, int) and 1 <= k <= size for k, size in zip(counts, r, strict=True))
    assert sum(counts) == min(budget, sum(r))
    assert counts == allocate(budget, L, r)
    relaxed = relaxed_allocation(min(budget, sum(r)), np.sqrt(np.array(L) * r), r)
    assert all(abs(k - share) < 1 + 1e-6 for k, share in zip(counts, relaxed, strict=True))


def test_shares_follow_the_root_of_smoothness_support_and_weight():
    assert allocate(60, [1.0, 4.0, 9.0], [100, 100, 100]) == (10, 20, 30)
    assert allocate(60, [1.0, 1.0, 1.0], [100, 400, 900]) == (10, 20, 30)
    assert allocate(60, [1.0] * 3, [100] * 3, weights=[1 / 14, 4 / 14, 9 / 14]) == (10, 20, 30)


def test_equal_claims_are_settled_in_order():
    assert allocate(5, [1.0] * 3, [9] * 3) == (2, 2, 1)


def test_supports_may_be_given_as_they_are():
    supports = [Support.of(9, [0, 3]), Support.of(9, range(9))]
    expected = allocate(6, [1.0, 1.0], [2, 9])
    assert allocate(6, [1.0, 1.0], supports) == expected
    assert allocate(6, [1.0, 1.0], [s.indices for s in supports]) == expected
    constants = Constants(L=1.0, L_i=[1.0, 1.0], supports=supports)
    assert allocate(6, constants.L_i, constants.support_sizes) == expected
    assert dense_bound(constants, [k / r for k, r in zip(expected, (2, 9), strict=True)]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, [1.0] * 3, [5] * 3), r"budget=2 is not a whole number from 3 up"),
        ((3.5, [1.0] * 3, [5] * 3), "budget=3.5"),
        ((5, [1.0, 0.0], [5, 5]), r"smoothness\[1\]=0.0"),
        ((5, [1.0, nan], [5, 5]), r"smoothness\[1\]=nan"),
        ((5, [1.0, 1.0], [5, 0]), r"support\[1\]=0"),
        ((5, [1.0, 1.0], [5, 2.5]), r"support\[1\]=2.5"),
        ((5, [1.0, 1.0], [5]), "2 smoothness constants, 1 supports"),
        ((5, [], []), "0 smoothness constants"),
        ((5, [1.0, 1.0], [5, 5], [1.0, -1.0]), r"weights\[1\]=-1.0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        allocate(*arguments)
