"""Methods that compress what the server sends: EF21-BC and EF21-P."""

from math import fsum, sqrt

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import theta, xi
from fl_ef21.theory.error_bounds import dense_bound
from fl_ef21.theory.step_sizes.value import Options, StepSize, needed

# ‖C(v)‖ ≤ ‖v‖ + ‖C(v) − v‖ ≤ 2‖v‖ for every contractive compressor.
EXPANSION = 4.0


def both_ways(constants: Constants, options: Options) -> StepSize:
    """1/(L + L_AM[ξ_w + √κ ξ_M (1 + ξ_w)]) (derived here).

    With several αᵢ, L_AM stands for Σ pᵢ Lᵢ and ξ_w for ξ(αᵢ).
    κ bounds ‖C_w(v)‖²/‖v‖²: 1 for compressors such as Top-k (``nonexpansive``), else 4.
    """
    down = needed(options.alpha_down, "alpha_down", "the server's compressor.alpha(size)")
    alphas = options.alphas(constants)
    kappa = 1.0 if options.nonexpansive else EXPANSION
    # What the server compresses moves by at most √κ Lᵢ (1 + ξ_w) = √κ Lᵢ/θ_w a client.
    moves = fsum(
        p * L / theta(alpha) for p, L, alpha in zip(constants.p, constants.L_i, alphas, strict=True)
    )
    B = dense_bound(constants, alphas) + sqrt(kappa) * xi(down) * moves
    formula = f"1/(L + Σ pᵢ Lᵢ [ξ(αᵢ) + √κ ξ(α_M)(1 + ξ(αᵢ))]) with κ = {kappa:g}"
    return StepSize(1 / (constants.L + B), formula, "derived here", "derived")


def primal(constants: Constants, options: Options) -> StepSize:
    """θ(α)/L with α the server's compressor (derived here; EF21-P is arXiv 2209.15218)."""
    if options.alpha_down is None:
        alphas = set(options.alphas(constants))
        if len(alphas) != 1:
            raise ValueError("ef21-p has one compressor, the server's: give alpha_down=")
        alpha = alphas.pop()
    else:
        alpha = options.alpha_down
    return StepSize(theta(alpha) / constants.L, "θ(α)/L", "derived here", "derived")
