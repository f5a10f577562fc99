"""EF21 and the methods that share its theorems: EF21+, EF21-W, cloning, EF21-PP."""

from math import ceil, fsum, sqrt

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import xi
from fl_ef21.theory.error_bounds import curvature_bound, dense_bound
from fl_ef21.theory.step_sizes.value import Options, StepSize, exact_root

# A ratio that is a whole number must not be rounded up because of its last bit.
WHOLE = 1 - 1e-12


def first_paper(constants: Constants, options: Options) -> StepSize:
    """1/(L + L_QM ξ(α)) with the smallest α (published: EF21, arXiv 2106.05203, Theorem 1)."""
    B = constants.quadratic_mean * xi(min(options.alphas(constants)))
    return StepSize(
        1 / (constants.L + B), "1/(L + L_QM ξ(α))", "EF21, arXiv 2106.05203, Theorem 1", "published"
    )


def reloaded(constants: Constants, options: Options) -> StepSize:
    """1/(L + L_AM ξ(α)) with the smallest α (published: Reloaded, arXiv 2402.10774)."""
    B = constants.arithmetic_mean * xi(min(options.alphas(constants)))
    source = "Error Feedback Reloaded, arXiv 2402.10774, EF21-W"
    return StepSize(1 / (constants.L + B), "1/(L + L_AM ξ(α))", source, "published")


def root(constants: Constants, options: Options) -> StepSize:
    """Root of γL + γ²B² = 1 with B = Σ pᵢ Lᵢ ξ(πᵢ αᵢ) (derived here).

    For any contractive compressors, one α a client; a client that is sampled with probability πᵢ
    contracts in expectation by πᵢ αᵢ.
    """
    B = dense_bound(constants, options.sampled_alphas(constants))
    formula = "2/(L + √(L² + 4B²)) with B = Σ pᵢ Lᵢ ξ(πᵢ αᵢ)"
    return StepSize(exact_root(constants.L, B), formula, "derived here", "derived")


def curvature_root(constants: Constants, options: Options) -> StepSize:
    """Root with B² = Σ pᵢ Lᵢ ξᵢ · λ_max(Σ pᵢ ξᵢ Hᵢ) (derived here); needs curvatures."""
    alphas = options.sampled_alphas(constants)
    B = curvature_bound(constants, alphas, within_supports=False)
    formula = "2/(L + √(L² + 4B²)) with B² = Σ pᵢ Lᵢ ξᵢ · λ_max(Σ pᵢ ξᵢ Hᵢ)"
    return StepSize(exact_root(constants.L, B), formula, "derived here", "derived")


def partial(constants: Constants, options: Options) -> StepSize:
    """1/(L + Σ pᵢ Lᵢ ξ(πᵢ αᵢ)) for clients sampled with probability πᵢ (derived here).

    The optimum of the (s, ρ) family in Bells & Whistles, arXiv 2110.03294; its default
    s = ρ = 10⁻³ fails for Top-1 and π = ½ above d = 500.
    """
    B = dense_bound(constants, options.sampled_alphas(constants))
    source = "derived here; optimum of the family in Bells & Whistles, arXiv 2110.03294"
    return StepSize(1 / (constants.L + B), "1/(L + Σ pᵢ Lᵢ ξ(πᵢ αᵢ))", source, "derived")


def best_for_participation(constants: Constants, options: Options) -> StepSize:
    """`root` when every client takes part in every round, `partial` otherwise."""
    full = all(share == 1 for share in options.participations(constants))
    return root(constants, options) if full else partial(constants, options)


def clone_counts(constants: Constants) -> tuple[int, ...]:
    """Return Nᵢ = ⌈n pᵢ Lᵢ / L_AM⌉, as how many clients each one counts; at most 2n in all.

    Examples
    --------
    >>> clone_counts(Constants(L=1.0, L_i=[1.0, 1.0, 4.0]))
    (1, 1, 2)
    """
    mean = constants.arithmetic_mean
    return tuple(max(1, ceil(WHOLE * L / mean)) for L in constants.equal_weight_smoothness)


def clones_quadratic_mean(constants: Constants) -> float:
    """Return √(mean of squares) of the clones' N pᵢ Lᵢ / Nᵢ, with N = Σ Nᵢ (derived here).

    Between L_AM and √2 L_AM.

    Examples
    --------
    >>> clones_quadratic_mean(Constants(L=1.0, L_i=[1.0, 1.0, 4.0])) / 2
    1.0540925533894598
    """
    counts = clone_counts(constants)
    pairs = zip(counts, constants.p, constants.L_i, strict=True)
    return sqrt(sum(counts) * fsum((p * L) ** 2 / count for count, p, L in pairs))


def cloning(constants: Constants, options: Options) -> StepSize:
    """1/(L + L_QM(clones) ξ(α)), with the clones' exact quadratic mean (derived here)."""
    B = clones_quadratic_mean(constants) * xi(min(options.alphas(constants)))
    formula = "1/(L + L_QM(clones) ξ(α)) with Nᵢ = ⌈n pᵢ Lᵢ/L_AM⌉ clones"
    source = "derived here, from EF21's Theorem 1 for the clones"
    return StepSize(1 / (constants.L + B), formula, source, "derived")


def cloning_published(constants: Constants, options: Options) -> StepSize:
    """1/(L + √2 L_AM ξ(α)) (published: Reloaded, arXiv 2402.10774)."""
    B = sqrt(2) * constants.arithmetic_mean * xi(min(options.alphas(constants)))
    source = "Error Feedback Reloaded, arXiv 2402.10774, client cloning"
    return StepSize(1 / (constants.L + B), "1/(L + √2 L_AM ξ(α))", source, "published")
