"""Estimates of smoothness, which promise nothing and say so."""

import builtins
import subprocess
import sys

import numpy as np
import pytest
import torch

from fl_ef21.theory import SecantEstimate
from fl_ef21.torch.smoothness import estimate_smoothness


def test_the_secant_estimate_is_the_largest_ratio_and_never_above_the_constant():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    hessian = (basis * np.array([4.0, 1, 1, 0.5, -2])) @ basis.T
    estimate, x, ratios = SecantEstimate(), rng.normal(size=5), [0.0]
    assert estimate.value == 0
    for _ in range(30):
        estimate = estimate.updated(x, hessian @ x)
        assert estimate.value == pytest.approx(max(ratios), rel=1e-12)
        assert estimate.value <= 4 * (1 + 1e-12)
        step = rng.normal(size=5)
        ratios.append(np.linalg.norm(hessian @ step) / np.linalg.norm(step))
        x = x + step
    assert "not a bound" in SecantEstimate.label


def test_the_secant_estimate_keeps_its_own_copies_and_ignores_standing_still():
    x, gradient = np.zeros(2), np.zeros(2)
    first = SecantEstimate().updated(x, gradient)
    x[:] = gradient[:] = 7
    assert first.point.tolist() == [0, 0]
    assert first.updated(np.zeros(2), np.ones(2)).value == 0
    assert first.updated(np.array([3.0, 4.0]), np.array([0.0, 10.0])).value == 2


@pytest.mark.parametrize(
    ("point", "gradient", "message"),
    [
        (np.zeros(3), np.zeros(3), "flat vectors of one length"),
        (np.zeros(2), np.zeros(3), "flat vectors of one length"),
        (np.zeros(2), np.array([np.nan, 0]), "diverged"),
    ],
)
def test_the_secant_estimate_refuses_what_does_not_fit(point, gradient, message):
    first = SecantEstimate().updated(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=message):
        first.updated(point, gradient)


# torch


def test_the_hessian_of_a_quadratic_is_found():
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    hessian = torch.tensor((basis * np.array([-9.0, 3, 2, 1, 0, 0.5])) @ basis.T)
    first, second = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    frozen = torch.ones(1, dtype=torch.float64)

    def loss():
        x = torch.cat([first, second])
        return x @ hessian @ x / 2 * frozen[0]

    found = estimate_smoothness(loss, [first, second, frozen], tolerance=1e-9)
    assert found == pytest.approx(9, rel=1e-6)
    assert first.grad is None
    with torch.no_grad():
        assert estimate_smoothness(loss, [first, second]) == pytest.approx(9, rel=1e-2)


def test_a_models_logistic_loss_stays_below_its_bound():
    torch.manual_seed(0)
    features, labels = torch.randn(40, 5), torch.randint(2, (40,)).float()
    model = torch.nn.Linear(5, 1, bias=False)
    loss = torch.nn.BCEWithLogitsLoss()
    bound = float(torch.linalg.matrix_norm(features, 2) ** 2) / (4 * len(features))
    with torch.no_grad():
        model.weight.zero_()
    found = estimate_smoothness(
        lambda: loss(model(features)[:, 0], labels), model.parameters(), tolerance=1e-6
    )
    assert found == pytest.approx(bound, rel=1e-3)


def test_losses_without_curvature_have_none():
    x = torch.zeros(3, requires_grad=True)
    unused = torch.zeros(2, requires_grad=True)
    assert estimate_smoothness(x.sum, [x, unused]) == 0
    assert estimate_smoothness(lambda: torch.sum(x**3), [x, unused]) == 0


def test_bad_arguments_are_refused():
    x = torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        estimate_smoothness(x.sum, [])
    with pytest.raises(ValueError, match="iterations=0"):
        estimate_smoothness(x.sum, [x], iterations=0)
    with pytest.raises(ValueError, match="nan"):
        estimate_smoothness(lambda: x.sum() * float("nan"), [x])


def test_torch_is_asked_for_only_when_it_is_used(monkeypatch):
    code = "import sys, fl_ef21.theory, fl_ef21.torch; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    real = builtins.__import__

    def without_torch(name, *arguments, **options):
        if name == "torch":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(ImportError, match=r"pip install torch.*SecantEstimate"):
        estimate_smoothness(lambda: None, [])
