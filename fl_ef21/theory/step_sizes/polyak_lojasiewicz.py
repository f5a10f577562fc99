"""Linear convergence where ‖∇f‖² ≥ 2μ (f − f*)."""

from collections.abc import Callable
from math import sqrt

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import theta, xi
from fl_ef21.theory.error_bounds import dense_bound, support_bound
from fl_ef21.theory.step_sizes.value import Options, StepSize, needed

HALVINGS = 200


def pl_first_paper(constants: Constants, options: Options) -> StepSize:
    """min{1/(L + √2 L_QM ξ(α)), θ(α)/(2μ)} (published: EF21, arXiv 2106.05203, Theorem 2)."""
    alpha = min(options.alphas(constants))
    B = sqrt(2) * constants.quadratic_mean * xi(alpha)
    value = min(1 / (constants.L + B), theta(alpha) / (2 * _mu(constants)))
    formula = "min{1/(L + √2 L_QM ξ(α)), θ(α)/(2μ)}"
    return StepSize(value, formula, "EF21, arXiv 2106.05203, Theorem 2", "published")


def pl_dense(constants: Constants, options: Options) -> StepSize:
    """Largest γ with γL + γ²B(γμ)² ≤ 1 and B(ν) = Σ pᵢ Lᵢ ξ(πᵢ αᵢ, ν) (derived here).

    Ψ then falls by 1 − γμ a round.
    """
    value = _largest_step(constants, options, dense_bound)
    formula = "max{γ: γL + γ²B(γμ)² ≤ 1} with B(ν) = Σ pᵢ Lᵢ sᵢ/(√(1−ν) − sᵢ)"
    return StepSize(value, formula, "derived here", "derived")


def pl_support(constants: Constants, options: Options) -> StepSize:
    """As `pl_dense`, with B(ν) = max_j Σ_{i ∈ I_j} pᵢ Lᵢ ξ(πᵢ αᵢ, ν) (derived here)."""
    value = _largest_step(constants, options, support_bound)
    formula = "max{γ: γL + γ²B(γμ)² ≤ 1} with B(ν) = max_j Σ_(i ∈ I_j) pᵢ Lᵢ sᵢ/(√(1−ν) − sᵢ)"
    return StepSize(value, formula, "derived here", "derived")


def _largest_step(
    constants: Constants,
    options: Options,
    bound: Callable[[Constants, tuple[float, ...], float], float],
) -> float:
    L, mu = constants.L, _mu(constants)
    alphas = options.sampled_alphas(constants)
    slowest = min(alphas)

    def allowed(gamma: float) -> bool:
        rate = gamma * mu
        if slowest < 1 and rate >= slowest:
            return False
        return gamma * L + (gamma * bound(constants, alphas, rate)) ** 2 <= 1

    low, high = 0.0, 1 / L
    if allowed(high):
        return high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low


def _mu(constants: Constants) -> float:
    advice = "Constants(mu=...), for example the smallest eigenvalue of the Hessian"
    return needed(constants.mu, "mu", advice)
