"""EF21 with rare features: compressors that work on the client's own coordinates."""

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.error_bounds import curvature_bound, published_rare_bound, support_bound
from fl_ef21.theory.step_sizes.value import Options, StepSize, exact_root

ROOT = "2/(L + √(L² + 4B²))"


def support_root(constants: Constants, options: Options) -> StepSize:
    """Root with B = max_j Σ_{i ∈ I_j} pᵢ Lᵢ ξ(πᵢ αᵢ) (derived here).

    αᵢ is that on the client's own coordinates, min(1, kᵢ/rᵢ) for Top-k.
    """
    B = support_bound(constants, options.sampled_alphas(constants))
    formula = f"{ROOT} with B = max_j Σ_(i ∈ I_j) pᵢ Lᵢ ξ(πᵢ αᵢ)"
    return StepSize(exact_root(constants.L, B), formula, "derived here", "derived")


def curvature_root(constants: Constants, options: Options) -> StepSize:
    """Root with B_sqrt = √(B λ_max(Σ pᵢ ξᵢ Hᵢ)) (derived here); needs curvatures."""
    B = curvature_bound(constants, options.sampled_alphas(constants))
    formula = f"{ROOT} with B² = max_j Σ_(i ∈ I_j) pᵢ Lᵢ ξᵢ · λ_max(Σ pᵢ ξᵢ Hᵢ)"
    return StepSize(exact_root(constants.L, B), formula, "derived here", "derived")


def quadratic_root(constants: Constants, options: Options) -> StepSize:
    """Root with Σ pᵢ ξᵢ Hᵢ²/Lᵢ in B_sqrt (derived here): for quadratics with Hessians ±Hᵢ only."""
    B = curvature_bound(constants, options.sampled_alphas(constants), exact_quadratics=True)
    formula = f"{ROOT} with B² = max_j Σ_(i ∈ I_j) pᵢ Lᵢ ξᵢ · λ_max(Σ pᵢ ξᵢ Hᵢ²/Lᵢ)"
    return StepSize(exact_root(constants.L, B), formula, "derived here", "derived")


def best(constants: Constants, options: Options) -> StepSize:
    """`curvature_root` where the curvatures are known, `support_root` otherwise."""
    rule = support_root if constants.curvatures is None else curvature_root
    return rule(constants, options)


def published(constants: Constants, options: Options) -> StepSize:
    """1/(L + L₊ ξ(α) √(c/n)) (published: Rare, arXiv 2305.15264), with the smallest α.

    L₊ = √min(mean Lᵢ², (c/n) max Lᵢ²).
    """
    B = published_rare_bound(constants, options.alphas(constants))
    formula = "1/(L + L₊ ξ(α) √(c/n)) with L₊² = min(mean Lᵢ², (c/n) max Lᵢ²)"
    source = "Error Feedback Shines when Features are Rare, arXiv 2305.15264"
    return StepSize(1 / (constants.L + B), formula, source, "published")


def published_quadratic(constants: Constants, options: Options) -> StepSize:
    """1/(L + L₊ ξ(α) √(c/n)), L₊ = ‖mean Hᵢ²‖^½, quadratics only (published: Rare, 2305.15264)."""
    B = published_rare_bound(constants, options.alphas(constants), exact_quadratics=True)
    formula = "1/(L + L₊ ξ(α) √(c/n)) with L₊² = ‖mean Hᵢ²‖"
    source = "Error Feedback Shines when Features are Rare, arXiv 2305.15264, quadratics"
    return StepSize(1 / (constants.L + B), formula, source, "published")
