"""Which rules a method has, and the two functions that look them up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Unpack

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.step_sizes import (
    baselines,
    bidirectional,
    ef21,
    extensions,
    polyak_lojasiewicz,
    rare_features,
    stochastic,
)
from fl_ef21.theory.step_sizes.value import Options, StepOptions, StepSize

Function = Callable[[Constants, Options], StepSize]


@dataclass(frozen=True)
class Rule:
    """A formula, and whether it knows clients that do not always take part."""

    function: Function
    partial: bool = False


Forms = Mapping[str, Rule]

EF21_FORMS: Final[Forms] = MappingProxyType(
    {
        "theory": Rule(ef21.best_for_participation, partial=True),
        "published": Rule(ef21.reloaded),
        "2021": Rule(ef21.first_paper),
        "root": Rule(ef21.root, partial=True),
        "curvature": Rule(ef21.curvature_root, partial=True),
        "pl": Rule(polyak_lojasiewicz.pl_dense, partial=True),
        "pl-2021": Rule(polyak_lojasiewicz.pl_first_paper),
    }
)
GRADIENT_DESCENT: Final = Rule(baselines.gradient_descent, partial=True)

RULES: Final[Mapping[str, Forms]] = MappingProxyType(
    {
        "gd": {
            "theory": GRADIENT_DESCENT,
            "published": Rule(baselines.gradient_descent),
            "2021": Rule(baselines.gradient_descent),
        },
        "dcgd": {"theory": Rule(extensions.borrowed)},
        "ef14": {"theory": Rule(extensions.borrowed)},
        "ef21": EF21_FORMS,
        "ef21+": EF21_FORMS,
        "ef21-w": EF21_FORMS,
        "ef21-pp": EF21_FORMS,
        "cloning": {
            "theory": Rule(ef21.cloning),
            "published": Rule(ef21.cloning_published),
        },
        "ef21-rf": {
            "theory": Rule(rare_features.best, partial=True),
            "published": Rule(rare_features.published),
            "published-quadratic": Rule(rare_features.published_quadratic),
            "support": Rule(rare_features.support_root, partial=True),
            "curvature": Rule(rare_features.curvature_root, partial=True),
            "quadratic": Rule(rare_features.quadratic_root, partial=True),
            "pl": Rule(polyak_lojasiewicz.pl_support, partial=True),
        },
        "ef21-sgd": {"theory": Rule(stochastic.sgd)},
        "ef21-sgdm": {
            "theory": Rule(stochastic.sgdm_root),
            "simple": Rule(stochastic.sgdm_simple),
        },
        "ef21-page": {"theory": Rule(stochastic.page)},
        "ef21-bc": {"theory": Rule(bidirectional.both_ways)},
        "ef21-p": {"theory": Rule(bidirectional.primal)},
        "ef21-prox": {"theory": Rule(extensions.prox)},
        "ef21-hb": {"theory": Rule(extensions.heavy_ball)},
        "econtrol": {"theory": Rule(extensions.econtrol)},
        "diana": {"theory": Rule(baselines.diana)},
        "marina": {"theory": Rule(baselines.marina)},
        "dasha": {"theory": Rule(baselines.dasha)},
    }
)


def explain(method: str, constants: Constants, **options: Unpack[StepOptions]) -> StepSize:
    """Return a method's step size with its formula and source.

    Parameters and errors are those of `step_size`.

    Examples
    --------
    >>> found = explain("ef21", Constants(L=1.0, L_i=[1.0, 1.0]), alpha=0.75, form="published")
    >>> found.value, found.formula, found.kind
    (0.5, '1/(L + L_AM ξ(α))', 'published')
    """
    if method not in RULES:
        raise ValueError(
            f"method={method!r} has no step size here; choose one of {', '.join(RULES)}"
        )
    given, forms = Options(**options), RULES[method]
    if given.form not in forms:
        raise ValueError(
            f"form={given.form!r} is unknown for {method}; choose one of {', '.join(forms)}"
        )
    # Before any rule, so that bad numbers are refused for every method.
    given.alphas(constants)
    full = all(share == 1 for share in given.participations(constants))
    rule = forms[given.form]
    if not full and not rule.partial:
        raise ValueError(
            f"form={given.form!r} of {method} is for full participation, got "
            f"participation={given.participation!r}"
        )
    return rule.function(constants, given)


def step_size(method: str, constants: Constants, **options: Unpack[StepOptions]) -> float:
    """Return the step size γ of a method.

    Parameters
    ----------
    method : str
        gd, dcgd, ef14, ef21, ef21+, ef21-w, cloning, ef21-rf, ef21-sgd, ef21-sgdm, ef21-pp,
        ef21-bc, ef21-p, ef21-hb, ef21-prox, ef21-page, econtrol, diana, marina or dasha.
    constants : Constants
        Smoothness of the problem.
    form : str, default "theory"
        Which formula: ``theory`` is what is best proved here for what the constants know. EF21 also
        has ``published`` (Reloaded's theorem), ``2021`` (the first paper's), ``root``,
        ``curvature``, and ``pl`` and ``pl-2021`` for μ > 0. ``theory`` is the exact root with full
        participation, and EF21-PP's 1/(L + B) with less. EF21-RF has ``support``, ``curvature``,
        ``quadratic``, ``pl``, ``published`` and ``published-quadratic``; EF21-SGDM ``simple``.
    alpha : float or sequence of float, default 1
        Contraction in (0, 1] of the clients' compressors: `compressor.alpha(size)`, and for EF21-RF
        that on the client's own coordinates. One number means the same for all.
    participation : float or sequence of float, default 1
        Probability in (0, 1] with which a client takes part in a round.
    alpha_down : float
        Contraction in (0, 1] of the server's compressor, for EF21-BC and EF21-P.
    nonexpansive : bool, default False
        Whether ‖C(v)‖ ≤ ‖v‖ for the clients' compressors, as for Top-k: a larger step for EF21-BC.
    omega : float
        Variance ω ≥ 0 of the unbiased compressors of DIANA, MARINA and DASHA.
    eta : float
        Weight of the new gradient of EF21-SGDM, in (0, 1], or η of EControl.
    slack : float, default αᵢ/4
        s' > 0 of EF21-SGD.
    probability : float
        That of a full gradient for EF21-PAGE and MARINA, in (0, 1].
    batch_size : int
        Minibatch size of EF21-PAGE.
    sample_smoothness : float or sequence of float
        𝓛ᵢ of EF21-PAGE: the root of the mean square of the smoothness of a client's rows.

    Raises
    ------
    ValueError
        If a word is unknown, a number out of range, or something missing that the rule needs.

    Examples
    --------
    >>> constants = Constants(L=1.0, L_i=[1.0, 1.0])
    >>> step_size("gd", constants), round(step_size("ef21", constants, alpha=0.25), 4)
    (1.0, 0.1432)
    """
    return explain(method, constants, **options).value
