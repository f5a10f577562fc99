"""What a step-size rule takes and what it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, inf, isfinite
from typing import Literal, TypedDict

from fl_ef21.theory.constants import Constants
from fl_ef21.theory.contraction import theta
from fl_ef21.theory.error_bounds import Alphas, per_client

Kind = Literal["published", "derived", "recalled", "empirical"]


@dataclass(frozen=True)
class StepSize:
    """A step size γ and why it may be believed.

    Parameters
    ----------
    value : float
        γ > 0.
    formula : str
        How it was computed.
    source : str
        Paper and theorem, or where it was derived.
    kind : {"published", "derived", "recalled", "empirical"}
        Published: confirmed in the paper. Derived: proved for this project and checked
        numerically. Recalled: from the paper, not confirmed. Empirical: no theorem is known.

    Raises
    ------
    ValueError
        If the value is no positive number.
    """

    value: float
    formula: str
    source: str
    kind: Kind

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        if not 0 < self.value < inf:
            raise ValueError(
                f"the step size {self.formula} came out as {self.value!r}; the constants or "
                f"options are too extreme for double precision"
            )


class StepOptions(TypedDict, total=False):
    """The keywords of `step_size` and `explain`; `Options` explains them."""

    form: str
    alpha: Alphas
    participation: Alphas
    alpha_down: float
    nonexpansive: bool
    omega: float
    eta: float
    slack: float
    probability: float
    batch_size: int
    sample_smoothness: float | Sequence[float]


@dataclass(frozen=True)
class Options:
    """What a rule may need beside the smoothness constants.

    Parameters
    ----------
    form : str
        Which of a method's formulas.
    alpha : float or sequence of float
        Contraction in (0, 1] of the clients' compressors; one number means the same for all.
    participation : float or sequence of float
        Probability in (0, 1] with which a client takes part in a round.
    alpha_down : float, optional
        Contraction in (0, 1] of the server's compressor.
    nonexpansive : bool
        Whether ‖C(v)‖ ≤ ‖v‖ for the clients' compressors, as for Top-k and Rand-k.
    omega : float, optional
        Variance ω ≥ 0 of unbiased compressors.
    eta : float, optional
        Momentum weight η.
    slack : float, optional
        Share s' > 0 by which EF21-SGD's noise loosens the contraction.
    probability : float, optional
        Probability p in (0, 1] of a full gradient.
    batch_size : int, optional
        Minibatch size τ ≥ 1.
    sample_smoothness : float or sequence of float, optional
        𝓛ᵢ, the quadratic mean of the smoothness of one sample's loss.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    form: str = "theory"
    alpha: Alphas = 1.0
    participation: Alphas = 1.0
    alpha_down: float | None = None
    nonexpansive: bool = False
    omega: float | None = None
    eta: float | None = None
    slack: float | None = None
    probability: float | None = None
    batch_size: int | None = None
    sample_smoothness: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.omega is not None and not 0 <= self.omega < inf:
            raise ValueError(
                f"omega={self.omega!r} is not a number from 0 up; take it from "
                f"compressor.omega(size)"
            )
        for name, share in (("probability", self.probability), ("alpha_down", self.alpha_down)):
            if share is not None and not 0 < share <= 1:
                raise ValueError(f"{name}={share!r} is outside (0, 1]")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise ValueError(f"eta={self.eta!r} is outside [0, 1]")
        if self.slack is not None and not 0 < self.slack < inf:
            raise ValueError(f"slack={self.slack!r} is not a positive number")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size!r} is below 1")

    def alphas(self, constants: Constants) -> tuple[float, ...]:
        """Return αᵢ for each client, checked."""
        found = per_client(self.alpha, constants.n)
        for alpha in found:
            theta(alpha)
        return found

    def participations(self, constants: Constants) -> tuple[float, ...]:
        """Return πᵢ for each client, checked."""
        found = per_client(self.participation, constants.n, "participation")
        for share in found:
            if not 0 < share <= 1:
                raise ValueError(f"participation={share!r} is outside (0, 1]")
        return found

    def sampled_alphas(self, constants: Constants) -> tuple[float, ...]:
        """Return πᵢ αᵢ: a client that is silent compresses to zero, so it contracts by π α."""
        pairs = zip(self.participations(constants), self.alphas(constants), strict=True)
        return tuple(share * alpha for share, alpha in pairs)


def needed(value: float | None, name: str, advice: str) -> float:
    """Return an option that a rule cannot do without.

    Raises
    ------
    ValueError
        If it is missing; the message says where to get it.
    """
    if value is None:
        raise ValueError(f"this step size needs {name}=: {advice}")
    return value


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
    if not 0 < L < inf or not isfinite(B) or B < 0:
        raise ValueError(f"L={L!r} must be a positive number and B={B!r} a number from 0 up")
    return 2 / (L + hypot(L, 2 * B))
