"""A step size that nobody tunes where losses are noisy: minibatches, local training.

Empirical, like `fl_ef21.theory.automatic`. F is the mean loss, a client that has not replied with
its last one, e the error of a round's change, from the spread of the clients' changes, and P the
decrease Σ γ‖ḡ‖² that the steps promise. A minibatch's noise is in ‖ḡ‖² too: less than P is kept.

    search   N and P of the last rounds: γ × 2 while N − e > 0.6 P, or P < e/5; × 1.2 while
             N + e > 0.4 P. Otherwise, once P > 5 e, γ × ½ and blocks begin; or at once, with
             γ × ¼ and a rest, where N + e < 0.2 P
    blocks   of an eighth of the rounds so far, at least 8. From one to the next mean F has fallen
             by N ± e, e less than P:  γ × 2 if N − e > 0.3 P, or if N > e and noise has fallen
             by a twentieth;  × 1.4 if N − e > 0.12 P, or N > 4 e;  × ½ if N < e < P/4 and noise has
             not fallen.  Where P < e, noise hides what so short steps can do:  γ × 1.4, or × ½
             if N < −2 e
             3 e above the best block: back to the model at its end, γ × 0.7, a rest

In a rest no step is taken, so that ḡ catches up: along that of a bad model one would lead away from
the best one again. Its losses are those of one model, and the block to compare with. Noise is e² of
a round, mean over a block. On separable data it falls with the loss, no γ that descends is too
long, and N may be a small share of P. Where noise stays, N goes to 0 and γ falls. Only the end of a
block with P > e is trusted.

Tried, and its numbers chosen, on 16 cases, seeds from 100; docs/benchmarks.md has held-out ones.
Worse: steps in a rest, or 12 rounds of it; at the most × 1.4 where noise falls, or after the rule
has gone back; × ½ although noise falls; × ¼ where P is far above N; N < 1.5 e for × ½. With four
seeds: N and P of all rounds, or of a fixed number; blocks of a quarter of the rounds; no way back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, fsum, inf, sqrt
from typing import ClassVar

from fl_ef21.theory.automatic import LARGEST, Verdict
from fl_ef21.theory.automatic_noisy_state import Block, NoisyState
from fl_ef21.theory.automatic_sampled import Reply


@dataclass(frozen=True)
class NoisyStepSize:
    """The rule for losses that differ from round to round at one model.

    Parameters
    ----------
    initial : float
        γ > 0 of the first step.
    participation : float
        Share in (0, 1] of the clients in a round.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    Two clients whose losses fall as promised:

    >>> rule = NoisyStepSize(initial=1.0)
    >>> state, _ = rule.observe(rule.start(), {"a": (1.0, 8.0), "b": (1.0, 9.0)}, 2.0)
    >>> state, verdict = rule.observe(state, {"a": (1.0, 6.0), "b": (1.0, 7.1)}, 2.0)
    >>> verdict.step_size
    2.0
    """

    label: ClassVar[str] = "empirical"
    memory: ClassVar[float] = 0.8
    shortest: ClassVar[int] = 8
    """Rounds of a block, and of a rest, with all clients."""
    share: ClassVar[float] = 0.125
    initial: float
    participation: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.initial < inf:
            raise ValueError(
                f"initial={self.initial!r} is not a positive number; the theory step or 1/L will "
                f"do, and so does any small number"
            )
        if not 0 < self.participation <= 1:
            raise ValueError(f"participation={self.participation!r} is outside (0, 1]")

    def start(self) -> NoisyState:
        """Return the state before the first round."""
        return NoisyState(self.initial)

    def observe(
        self, state: NoisyState, losses: Mapping[str, Reply], norm_squared: float
    ) -> tuple[NoisyState, Verdict]:
        """Judge a round and choose the next step.

        Parameters
        ----------
        state : NoisyState
        losses : mapping of (float, float) by client
            Weight pᵢ > 0 and loss at this round's model of every client that has replied.
        norm_squared : float
            ‖ḡ‖² of the estimate with this round's messages.

        Returns
        -------
        tuple of NoisyState and Verdict
        """
        # A NaN compares as false.
        if not all(
            abs(number) < LARGEST
            for number in (norm_squared, *(loss for _, loss in losses.values()))
        ):
            return self._cut(state, 0.1), Verdict(accepted=False, step_size=0.0)
        known = {c: pair for c, pair in losses.items() if c in state.losses}
        judged, verdict = state, Verdict(accepted=True, step_size=0.0, trusted=False)
        if known:
            judged, verdict = self._judged(self._measured(state, known))
        step_size = min(judged.step_size, LARGEST)
        taken = 0.0 if judged.rest else step_size
        moved = replace(
            judged,
            step_size=step_size,
            round=state.round + 1,
            path=state.path + taken * norm_squared,
            losses={**state.losses, **{client: loss for client, (_, loss) in losses.items()}},
            paths={**state.paths, **dict.fromkeys(losses, state.path)},
        )
        return moved, verdict._replace(step_size=taken)

    def _measured(self, state: NoisyState, known: Mapping[str, Reply]) -> NoisyState:
        total = fsum(p for p, _ in known.values())
        drops = [(p, state.losses[c] - loss) for c, (p, loss) in known.items()]
        drop = fsum(p * D for p, D in drops) / total
        spread = fsum((p * (D - drop)) ** 2 for p, D in drops) / total**2
        spread *= len(known) / max(len(known) - 1, 1)
        # In a rest that of the model which was left would last.
        if state.variance and not state.rest:
            spread = state.variance + 0.2 * (spread - state.variance)
        promised = fsum(p * (state.path - state.paths[c]) for c, (p, _) in known.items()) / total
        return replace(
            state,
            # Only some of the clients have moved it.
            level=state.level - self.participation * drop,
            variance=spread,
            decrease=self.memory * state.decrease + drop,
            promised=self.memory * state.promised + promised,
        )

    def _judged(self, state: NoisyState) -> tuple[NoisyState, Verdict]:
        decided = Verdict(accepted=True, step_size=0.0)
        if state.searching:
            return self._searched(state), decided
        waiting = decided._replace(trusted=False, kept=False)
        sums = state.sums.plus(state.level, state.path, state.variance)
        state, block = replace(state, sums=sums), sums.mean()
        if state.rest > 1:
            return replace(state, rest=state.rest - 1), waiting
        best = state.best
        if state.rest:
            # The noise of the first round was that of the way here.
            here = replace(block, variance=best.variance or state.variance)
            rested = replace(state, rest=0, sums=Block(), last=here, best=here)
            return rested, decided._replace(trusted=False)
        # Not the noise of now: it rises with the losses.
        if best.rounds and block.loss - best.loss > 3 * self._error(best.variance, block, best):
            return self._cut(state, 0.7), decided._replace(accepted=False)
        if sums.rounds < max(self.shortest / self.participation, self.share * state.round):
            return state, waiting
        factor, seen = self._factor(state, block) if state.last.rounds else (1.0, False)
        is_best = not best.rounds or block.loss < best.loss
        ended = replace(
            state,
            step_size=factor * state.step_size,
            sums=Block(),
            last=block,
            best=block if is_best else best,
        )
        return ended, decided._replace(trusted=seen, kept=is_best)

    def _searched(self, state: NoisyState) -> NoisyState:
        N, P, error = state.decrease, state.promised, sqrt(state.variance)
        if 0.2 * error > P:
            # Six errors: there are many such rounds, and the first errors are rough.
            return self._longer(state, 2.0) if -6 * error < N else self._cut(state, 0.25)
        if N - error > 0.6 * P:
            return self._longer(state, 2.0)
        if N + error < 0.2 * P:
            return self._cut(state, 0.25)
        if N + error > 0.4 * P:
            return self._longer(state, 1.2)
        if 5 * error > P:
            return state
        return replace(self._longer(state, 0.5), searching=False)

    def _factor(self, state: NoisyState, block: Block) -> tuple[float, bool]:
        """Return by what γ changes, and whether noise did not hide the decrease."""
        N, P = state.last.loss - block.loss, block.path - state.last.path
        error = self._error(state.variance, block, state.last)
        if error > P:
            return (1.4 if -2 * error < N else 0.5), False
        is_calmer = block.variance < 0.95 * state.last.variance
        if N - error > 0.3 * P or (is_calmer and N - error > 0):
            return 2.0, True
        if N - error > 0.12 * P or N - 4 * error > 0:
            return 1.4, True
        return (1.0 if is_calmer or N - error > 0 or 4 * error > P else 0.5), True

    @staticmethod
    def _error(variance: float, one: Block, other: Block) -> float:
        # A client's change has twice the variance of its loss.
        return sqrt(variance / 2 * (1 / one.rounds + 1 / other.rounds))

    @staticmethod
    def _longer(state: NoisyState, factor: float) -> NoisyState:
        return replace(state, step_size=factor * state.step_size)

    def _cut(self, state: NoisyState, factor: float) -> NoisyState:
        return replace(
            state,
            step_size=factor * state.step_size,
            searching=False,
            rest=ceil(self.shortest / self.participation),
            sums=Block(),
        )
