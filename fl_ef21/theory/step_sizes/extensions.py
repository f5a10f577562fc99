"""EF21 with a proximal step or heavy ball, and methods without a confirmed constant."""

from typing import NoReturn

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.error_bounds import dense_bound
from fl_ef21.theory.step_sizes.ef21 import first_paper, root
from fl_ef21.theory.step_sizes.value import Options, StepSize


def prox(constants: Constants, options: Options) -> StepSize:
    """1/(2(L + B)) with B = Σ pᵢ Lᵢ ξ(αᵢ) (derived here)."""
    B = dense_bound(constants, options.alphas(constants))
    formula = "1/(2(L + B)) with B = Σ pᵢ Lᵢ ξ(αᵢ)"
    return StepSize(1 / (2 * (constants.L + B)), formula, "derived here", "derived")


def heavy_ball(constants: Constants, options: Options) -> NoReturn:
    """Refuse: no confirmed constant is known."""
    del constants, options
    raise ValueError(
        "ef21-hb has no confirmed step size; give a number, for example a tenth of EF21's with "
        "momentum 0.9, and try it"
    )


def econtrol(constants: Constants, options: Options) -> StepSize:
    """EF21's root (empirical): EControl, arXiv 2311.05645, proves γ = O(α/L) with η = α/400.

    In practice EF21's step works with η ≤ α/10. η = 0 is EF21, and then it is derived.
    """
    value = root(constants, options).value
    formula = "EF21's 2/(L + √(L² + 4B²)) with B = Σ pᵢ Lᵢ ξ(αᵢ)"
    if options.eta == 0:
        return StepSize(value, formula, "derived here; η = 0 is EF21", "derived")
    source = "EF21's step, works in practice with η ≤ α/10; no constant confirmed in 2311.05645"
    return StepSize(value, formula, source, "empirical")


def borrowed(constants: Constants, options: Options) -> StepSize:
    """EF21's 1/(L + L_QM ξ(α)) (empirical), for comparisons of EF14 and DCGD at the same step.

    No step size makes DCGD converge with every contractive compressor and more than one client.
    """
    value = first_paper(constants, options).value
    source = "EF21's step, for comparison; no theorem for this method, and DCGD may diverge"
    return StepSize(value, "1/(L + L_QM ξ(α))", source, "empirical")
