"""EF21 with minibatch gradients: EF21-SGD, EF21-SGDM, EF21-PAGE."""

from math import fsum, sqrt

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import xi
from fl_ef21.theory.error_bounds import dense_bound, per_client
from fl_ef21.theory.step_sizes.value import Options, StepSize, exact_root, needed


def sgd(constants: Constants, options: Options) -> StepSize:
    """Root with B = Σ pᵢ Lᵢ ξ(1 − (1 − αᵢ)(1 + s')) (derived here), s' = αᵢ/4 by default.

    The noise of the minibatches enters through s'; the default costs a factor 4/3 in ξ.
    """
    alphas = options.alphas(constants)
    loosened = [_loosened(alpha, options.slack) for alpha in alphas]
    formula = "2/(L + √(L² + 4B²)) with B = Σ pᵢ Lᵢ ξ(1 − (1 − αᵢ)(1 + s'))"
    value = exact_root(constants.L, dense_bound(constants, loosened))
    return StepSize(value, formula, "derived here", "derived")


def _loosened(alpha: float, slack: float | None) -> float:
    loosened = 1 - (1 - alpha) * (1 + (alpha / 4 if slack is None else slack))
    if loosened <= 0:
        raise ValueError(
            f"slack={slack!r} leaves no contraction at alpha={alpha!r}; stay below "
            f"alpha/(1 - alpha), or leave it out for alpha/4"
        )
    return loosened


def sgdm_root(constants: Constants, options: Options) -> StepSize:
    """Root of γL + γ²(B + (1 − η)L/η)² = 1 with B = Σ pᵢ Lᵢ ξ(αᵢ) (derived here); η = 1 is EF21."""
    eta = _momentum(options)
    B = dense_bound(constants, options.alphas(constants)) + (1 - eta) / eta * constants.L
    formula = "root of γL + γ²(B + (1 − η)L/η)² = 1 with B = Σ pᵢ Lᵢ ξ(αᵢ)"
    return StepSize(exact_root(constants.L, B), formula, "derived here", "derived")


def sgdm_simple(constants: Constants, options: Options) -> StepSize:
    """1/(L/η + B) with B = Σ pᵢ Lᵢ ξ(αᵢ) (derived here), never above `sgdm_root`."""
    B = dense_bound(constants, options.alphas(constants))
    value = 1 / (constants.L / _momentum(options) + B)
    return StepSize(value, "1/(L/η + B) with B = Σ pᵢ Lᵢ ξ(αᵢ)", "derived here", "derived")


def _momentum(options: Options) -> float:
    eta = needed(options.eta, "eta", "the weight of the new gradient in (0, 1], as the method has")
    if eta == 0:
        raise ValueError("eta=0 never takes in a new gradient; give a number in (0, 1]")
    return eta


def page(constants: Constants, options: Options) -> StepSize:
    """1/(L + √2 Σ pᵢ √(ξᵢ²(1 + p)Lᵢ² + (1 − p)(𝓛ᵢ²/τ)(3ξᵢ² + 1/p))) (derived here, not simulated).

    τ is the minibatch size and p the probability of a full gradient.
    """
    p = needed(options.probability, "probability", "that of a full gradient, in (0, 1]")
    batch = needed(options.batch_size, "batch_size", "the number of rows in a minibatch")
    if options.sample_smoothness is None:
        raise ValueError(
            "this step size needs sample_smoothness=: the root of the mean square of the "
            "smoothness constants of a client's rows, one for each client"
        )
    samples = per_client(options.sample_smoothness, constants.n, "sample_smoothness")
    for client, value in enumerate(samples):
        if not 0 < value < float("inf"):
            raise ValueError(f"sample_smoothness[{client}]={value!r} is not a positive number")
    clients = zip(constants.p, constants.L_i, options.alphas(constants), samples, strict=True)
    B = sqrt(2) * fsum(
        weight
        * sqrt(
            xi(alpha) ** 2 * (1 + p) * L**2
            + (1 - p) * sample**2 / batch * (3 * xi(alpha) ** 2 + 1 / p)
        )
        for weight, L, alpha, sample in clients
    )
    formula = "1/(L + √2 Σ pᵢ √(ξᵢ²(1 + p)Lᵢ² + (1 − p)(𝓛ᵢ²/τ)(3ξᵢ² + 1/p)))"
    return StepSize(1 / (constants.L + B), formula, "derived here, not simulated", "derived")
