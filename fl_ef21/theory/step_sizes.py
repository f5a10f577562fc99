"""Step sizes γ and the theorems that they come from."""

from collections.abc import Callable, Mapping
from math import fsum, hypot, inf
from types import MappingProxyType
from typing import Final

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import xi


def exact_root(L: float, B: float) -> float:
    """Return the positive root of γL + γ²B² = 1 (derived here): 2 / (L + √(L² + 4B²)).

    EF21 decreases Ψ = f − f* + Σ wᵢ‖gᵢ − ∇fᵢ‖² by (γ/2)‖∇f‖² a round for every γ up to it. The
    published form 1/(L + B) is never larger, and at most 1.25 times smaller.

    Raises
    ------
    ValueError
        If ``L`` is not a positive number, or ``B`` not a number from 0 up.

    Examples
    --------
    >>> exact_root(1.0, 0.0), exact_root(1.0, 1.0) > 1 / 2
    (1.0, True)
    """
    if not 0 < L < inf or not 0 <= B < inf:
        raise ValueError(f"L={L!r} must be a positive number and B={B!r} a number from 0 up")
    return 2 / (L + hypot(L, 2 * B))


def gradient_descent(constants: Constants) -> float:
    """Return 1/L (published; textbook)."""
    return 1 / constants.L


def ef21_2021(constants: Constants, alpha: float) -> float:
    """Return 1/(L + L_QM ξ(α)) (published: EF21, arXiv 2106.05203)."""
    return 1 / (constants.L + constants.quadratic_mean * xi(alpha))


def ef21_reloaded(constants: Constants, alpha: float) -> float:
    """Return 1/(L + L_AM ξ(α)) (published: Reloaded, arXiv 2402.10774, for EF21-W)."""
    return 1 / (constants.L + constants.arithmetic_mean * xi(alpha))


def ef21_exact(constants: Constants, alpha: float) -> float:
    """Return the exact root with B = L_AM ξ(α) (derived here)."""
    return exact_root(constants.L, constants.arithmetic_mean * xi(alpha))


def ef21_partial(constants: Constants, alpha: float, participation: float) -> float:
    """Return 1/(L + Σ pᵢ Lᵢ ξ(πα)) for clients sampled with probability π (derived here)."""
    if not 0 < participation <= 1:
        raise ValueError(f"participation={participation!r} is outside (0, 1]")
    xi_sampled = xi(participation * alpha)
    products = zip(constants.p, constants.L_i, strict=True)
    return 1 / (constants.L + fsum(p * L * xi_sampled for p, L in products))


EF21_FORMS: Final[Mapping[str, Callable[[Constants, float], float]]] = MappingProxyType(
    {"theory": ef21_exact, "published": ef21_reloaded, "2021": ef21_2021}
)


def step_size(
    method: str,
    constants: Constants,
    *,
    alpha: float = 1.0,
    form: str = "theory",
    participation: float = 1.0,
) -> float:
    """Return the step size of a method.

    Parameters
    ----------
    method : {"gd", "ef21"}
        Gradient descent, or EF21.
    constants : Constants
        Smoothness of the problem.
    alpha : float
        Contraction in (0, 1] of the compressor.
    form : {"theory", "published", "2021"}
        For EF21: what is best proved here, Reloaded's theorem, or the first paper's. ``theory``
        is the exact root with full participation, and EF21-PP's 1/(L + B) with less; the others
        are for full participation.
    participation : float
        Probability in (0, 1] with which a client takes part in a round.

    Raises
    ------
    ValueError
        If a word is unknown or a number out of range.

    Examples
    --------
    >>> constants = Constants(L=1.0, L_i=[1.0, 1.0])
    >>> step_size("gd", constants), round(step_size("ef21", constants, alpha=0.25), 4)
    (1.0, 0.1432)
    """
    if method not in ("gd", "ef21"):
        raise ValueError(f"method={method!r} has no step size here; choose gd or ef21")
    if form not in EF21_FORMS:
        raise ValueError(f"form={form!r} is unknown; choose one of {', '.join(EF21_FORMS)}")
    if participation != 1 and form != "theory":
        raise ValueError(
            f"form={form!r} is for full participation, got participation={participation!r}"
        )
    # Before any return, so that bad numbers are refused for every method.
    partial = ef21_partial(constants, alpha, participation)
    if method == "gd":
        return gradient_descent(constants)
    if participation != 1:
        return partial
    return EF21_FORMS[form](constants, alpha)
