"""A step size that nobody tunes, from the losses that clients report beside their messages.

Empirical: no theorem is known. For EF21 any sequence of models is allowed, so the server may go
back; the clients' gᵢ are never rolled back. A round, with ḡ the estimate after its messages:

    accept   when F ≤ F_acc (1 + tolerance), x_acc ← x;  otherwise reject, and γ·0.35
    server   x ← x_acc − γ ḡ, with γ = 0 in a round that is rejected: clients are asked again
             at x_acc, so that ḡ forgets the bad model before the next step
    γ        times the secant step ⟨s, y⟩/⟨y, y⟩ / γ within [0.6, 2], s = −γ ḡ_old, y = ḡ − ḡ_old
             at least 1.2 where the loss fell by more than 0.7 γ‖ḡ_old‖²
             10 where it fell by more than half of that, until the first rejection

Tried, and its numbers chosen, on thinned mushrooms, phishing, a9a and w8a; each comparison is one
run on up to 40 of their cases, as rounds over those of the best constant step, geometric mean: 0.57
with the secant, 0.70 with thresholds on the decrease alone, 0.62 with steps from x_acc along the ḡ
of the bad model. Worse as well: the long secant ⟨s, s⟩/⟨s, y⟩, going on from the bad model, windows
of the last losses, factors from a quadratic model; periodic long steps made no difference.
"""

from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from typing import Any, ClassVar, Final, NamedTuple, Self

LARGEST: Final = 1e100
"""Of a step size that the estimate never contradicts, as at ḡ = 0."""


class Verdict(NamedTuple):
    """What the server does with a round: x_acc ← x if it is kept, then x ← x − γ ḡ."""

    accepted: bool
    """Whether the step is from the round's model; otherwise it is from x_acc, the last one kept."""
    step_size: float
    """γ ≥ 0 of the step; 0 asks again."""
    trusted: bool = True
    """Whether the losses could say anything of γ in this round."""
    kept: bool = True
    """Whether a model that is accepted becomes the one to go back to."""


@dataclass(frozen=True)
class AutomaticState:
    """What the rule remembers between rounds: numbers only.

    Attributes
    ----------
    step_size : float
        γ of the last step, or of the next one while clients are asked again.
    loss : float
        F at the model that is kept; infinite before the first round.
    norm_squared : float
        ‖ḡ_old‖² of the estimate that the last step went along.
    searching : bool
        Whether no round was rejected yet.
    asked : bool
        Whether the round to come is at a model that is kept already.
    """

    step_size: float
    loss: float = inf
    norm_squared: float = 0.0
    searching: bool = True
    asked: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the state that `as_dict` has written."""
        return cls(**values)


@dataclass(frozen=True)
class AutomaticStepSize:
    """The rule for full participation with full gradients.

    Parameters
    ----------
    initial : float
        γ > 0 of the first step; 10⁻⁶/L and 1/L end up in the same place.
    tolerance : float
        Relative resolution of the losses: 10⁻⁹ for float64, 10⁻⁶ for losses in float32. Steps
        that promise less than it are judged by the secant alone.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    On f(x) = x²/2 without compression, where ḡ is the gradient x:

    >>> rule = AutomaticStepSize(initial=1e-3)
    >>> state, kept, last = rule.start(), 8.0, 0.0
    >>> x, seen = kept, []
    >>> for _ in range(6):
    ...     state, verdict = rule.observe(state, x**2 / 2, x**2, x * last)
    ...     kept, last = (x if verdict.accepted else kept), (x if verdict.step_size else last)
    ...     x = kept - verdict.step_size * x
    ...     seen.append(round(verdict.step_size, 3))
    >>> seen, abs(x) < 1e-2
    ([0.001, 0.01, 0.1, 1.0, 1.0, 1.0], True)
    """

    label: ClassVar[str] = "empirical"
    initial: float
    tolerance: float = 1e-9
    growth: ClassVar[float] = 10.0
    cut: ClassVar[float] = 0.35
    shortest: ClassVar[float] = 0.6
    longest: ClassVar[float] = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.initial < inf:
            raise ValueError(
                f"initial={self.initial!r} is not a positive number; the theory step or 1/L will "
                f"do, and so does any small number"
            )
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance={self.tolerance!r} is outside [0, 1); 1e-9 is usual")

    def start(self) -> AutomaticState:
        """Return the state before the first round."""
        return AutomaticState(self.initial)

    def observe(
        self, state: AutomaticState, loss: float, norm_squared: float, product: float
    ) -> tuple[AutomaticState, Verdict]:
        """Judge a round and choose the next step.

        Parameters
        ----------
        state : AutomaticState
            What the last round has returned.
        loss : float
            F = Σ pᵢ fᵢ(x) at this round's model, as the clients have reported it.
        norm_squared : float
            ‖ḡ‖² of the estimate with this round's messages.
        product : float
            ⟨ḡ, ḡ_old⟩ with the estimate that the last step went along, that is, of the last
            round whose γ was not 0; anything before the first step.

        Returns
        -------
        tuple of AutomaticState and Verdict
        """
        resolution = self.tolerance * abs(loss)
        if not isfinite(loss) or not isfinite(norm_squared) or loss > state.loss + resolution:
            # Until a model is kept there is nothing to go back to but the initial one.
            shorter = self.cut * state.step_size
            rejected = replace(state, step_size=shorter, searching=False, asked=True)
            return rejected, Verdict(accepted=False, step_size=0.0)
        factor = 1.0
        if not state.asked and state.loss < inf:
            factor = self._factor(state, loss, norm_squared, product)
        moved = AutomaticState(
            min(factor * state.step_size, LARGEST), loss, norm_squared, state.searching
        )
        return moved, Verdict(accepted=True, step_size=moved.step_size)

    def _factor(
        self, state: AutomaticState, loss: float, norm_squared: float, product: float
    ) -> float:
        promised = state.step_size * state.norm_squared
        # Where the losses cannot show the promised decrease, they say nothing of γ.
        visible = promised > self.tolerance * abs(loss)
        share = (state.loss - loss) / promised if visible else 0.0
        if state.searching and share > 0.5:
            return self.growth
        along = state.norm_squared - product
        change = along - product + norm_squared
        if not state.norm_squared > 0:
            return 1.0
        # No change of the estimate, or one that points along the step: no curvature is seen.
        secant = self.longest
        if along > 0 and change > 0:
            secant = min(max(along / change, self.shortest), self.longest)
        return max(secant, 1.2) if share > 0.7 else secant
