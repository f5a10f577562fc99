"""Gradient descent and the methods for unbiased compressors: DIANA, MARINA, DASHA."""

from math import fsum, sqrt

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.step_sizes.value import Options, StepSize, needed

ADVICE = "compressor.omega(size) of an unbiased compressor"


def gradient_descent(constants: Constants, options: Options) -> StepSize:
    """1/L (published; textbook)."""
    del options
    return StepSize(1 / constants.L, "1/L", "textbook", "published")


def diana(constants: Constants, options: Options) -> StepSize:
    """1/(L_max(1 + 6ω/n)), convex (recalled: DIANA, arXiv 1901.09269, not confirmed)."""
    omega = needed(options.omega, "omega", ADVICE)
    largest = max(constants.equal_weight_smoothness)
    value = 1 / (largest * (1 + 6 * omega / constants.n))
    return StepSize(value, "1/(L_max(1 + 6ω/n))", "DIANA, convex case", "recalled")


def marina(constants: Constants, options: Options) -> StepSize:
    """1/(L_QM(1 + √((1 − p)ω/(pn)))) (recalled: MARINA, arXiv 2102.07845, not confirmed).

    p is the probability of a full gradient, 1/(1 + ω) by default.
    """
    omega = needed(options.omega, "omega", ADVICE)
    p = 1 / (1 + omega) if options.probability is None else options.probability
    value = 1 / (_quadratic_mean(constants) * (1 + sqrt((1 - p) * omega / (p * constants.n))))
    formula = "1/(L_QM(1 + √((1 − p)ω/(pn))))"
    return StepSize(value, formula, "MARINA, arXiv 2102.07845", "recalled")


def dasha(constants: Constants, options: Options) -> StepSize:
    """1/(L + √(16ω(2ω + 1)/n) L_QM) (recalled: DASHA, arXiv 2202.01268, not confirmed)."""
    omega = needed(options.omega, "omega", ADVICE)
    factor = sqrt(16 * omega * (2 * omega + 1) / constants.n)
    value = 1 / (constants.L + factor * _quadratic_mean(constants))
    formula = "1/(L + √(16ω(2ω + 1)/n) L_QM)"
    return StepSize(value, formula, "DASHA, arXiv 2202.01268", "recalled")


def _quadratic_mean(constants: Constants) -> float:
    """Return L_QM of the functions n pᵢ fᵢ, whose plain mean is f."""
    return sqrt(fsum(L**2 for L in constants.equal_weight_smoothness) / constants.n)
