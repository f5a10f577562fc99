"""The automatic step size in a run: which rule, which model is kept, what is compared with what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from logging import WARNING
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.common import log
from numpy.typing import NDArray

from fl_ef21.flower.server.checking import CheckedReply
from fl_ef21.flower.server.round import Told, with_losses
from fl_ef21.methods import Snapshot
from fl_ef21.methods.snapshot import join
from fl_ef21.theory.automatic import AutomaticStepSize, Verdict
from fl_ef21.theory.automatic_noisy import NoisyStepSize
from fl_ef21.theory.automatic_sampled import SampledStepSize

WITHOUT_CONSTANTS: Final = 1e-6
"""First γ where nothing is known: it grows tenfold a round until it is felt."""

ENOUGH: Final = 5
"""Rounds in a row with a loss missing, after which the rule does without: a lost reply is no reason
to leave the better rule, a client that is gone is one."""


@dataclass(frozen=True)
class Round:
    """What a round tells of its step.

    Attributes
    ----------
    arrays : ArrayRecord
        The model that clients were sent, and whose losses they report.
    replies : sequence of CheckedReply
        Of the round.
    direction : ndarray of float64, shape (d,)
        The estimate with the round's messages, and the gradient of what the server adds.
    penalty : float
        What the server adds to the clients' losses.
    complete : bool
        Whether all clients are among the replies: only then can losses of two rounds be compared
        as they are.
    """

    arrays: ArrayRecord
    replies: Sequence[CheckedReply]
    direction: NDArray[np.float64]
    penalty: float
    complete: bool


class AutomaticSteps:
    """Judges every round by the clients' losses.

    With noise by :class:`NoisyStepSize`, otherwise with some of the clients by
    :class:`SampledStepSize`, and with all by :class:`AutomaticStepSize`, unless a loss is missing
    round after round. Mutable: it remembers the model that is kept, and the estimate that the last
    step went along.

    Parameters
    ----------
    initial : float
        γ of the first step.
    participation : float
        Share in (0, 1] of the clients in a round.
    noisy : bool
        Whether a client's loss at one model differs from round to round.
    """

    def __init__(self, initial: float, participation: float = 1.0, *, noisy: bool = False) -> None:
        self.whole = AutomaticStepSize(initial)
        self.by_client = (NoisyStepSize if noisy else SampledStepSize)(initial, participation)
        self.is_whole = participation == 1 and not noisy
        self._whole_state = self.whole.start()
        self._by_client_state: Any = self.by_client.start()
        self._missing = 0
        self._kept: ArrayRecord | None = None
        self._along: NDArray[np.float64] | None = None

    def snapshot(self) -> Snapshot:
        """Return the rule's state, the model that is kept, and what the last step went along."""
        kept = {} if self._kept is None else {n: a.numpy() for n, a in self._kept.items()}
        along = {} if self._along is None else {"along": self._along}
        rule = Snapshot(
            along,
            {
                "whole": self._whole_state.as_dict(),
                "by_client": self._by_client_state.as_dict(),
                "is_whole": self.is_whole,
                "missing": self._missing,
            },
        )
        return join({"rule": rule, "kept": Snapshot(kept)})

    def restore(self, snapshot: Snapshot) -> None:
        """Take the state of a snapshot."""
        rule, kept = snapshot.within("rule"), snapshot.within("kept").arrays
        self._whole_state = type(self._whole_state).from_dict(rule.values["whole"])
        self._by_client_state = type(self._by_client_state).from_dict(rule.values["by_client"])
        self.is_whole, self._missing = rule.values["is_whole"], rule.values["missing"]
        self._along = rule.arrays.get("along")
        self._kept = ArrayRecord({n: Array(a) for n, a in kept.items()}) if kept else None

    def judge(self, this: Round) -> tuple[ArrayRecord, float]:
        """Return the model to step from, and γ; 0 asks again there.

        Raises
        ------
        ValueError
            If no client has ever reported a loss.
        """
        if not this.replies:
            return this.arrays, 0.0  # nobody has said anything of this model
        told = with_losses(this.replies)
        if not told and self._kept is None:
            raise ValueError(
                "step_size='auto' needs the clients' losses: let the app return the metric 'loss', "
                "its mean loss at the model that it was sent; or give a number"
            )
        if self.is_whole:
            self._note_missing(this, told)
        if not told or self._missing:
            # Some loss is missing: the step goes on as it is, from where the round was.
            self._kept, self._along = this.arrays, this.direction
            state = self._whole_state if self.is_whole else self._by_client_state
            return this.arrays, state.step_size
        verdict = (self._judge_whole if self.is_whole else self._judge_by_client)(this, told)
        if self._kept is None or (verdict.accepted and verdict.kept):
            self._kept = this.arrays
        if verdict.step_size > 0:
            self._along = this.direction
        return this.arrays if verdict.accepted else self._kept, verdict.step_size

    def _note_missing(self, this: Round, told: Sequence[Told]) -> None:
        """Count the rounds in a row in which some loss is missing; after some, do without."""
        complete = this.complete and len(told) == len(this.replies)
        self._missing = 0 if complete else self._missing + 1
        if self._missing < ENOUGH:
            return
        log(
            WARNING,
            "in %d rounds in a row some client has not reported its loss; from here on the "
            "automatic step size compares each client's losses by themselves",
            self._missing,
        )
        whole = self._whole_state
        self._by_client_state = replace(
            self._by_client_state, step_size=whole.step_size, searching=whole.searching
        )
        self.is_whole, self._missing = False, 0

    def _judge_whole(self, this: Round, told: Sequence[Told]) -> Verdict:
        along = self._along
        product = 0.0 if along is None else float(np.sum(along * this.direction))
        weights = [reply.weight for reply, _ in told]
        losses = np.array([loss for _, loss in told])
        value = float(np.average(losses, weights=weights)) + this.penalty
        norm_squared = float(np.sum(np.square(this.direction)))
        self._whole_state, verdict = self.whole.observe(
            self._whole_state, value, norm_squared, product
        )
        return verdict

    def _judge_by_client(self, this: Round, told: Sequence[Told]) -> Verdict:
        losses = {reply.about.client: (reply.weight, loss + this.penalty) for reply, loss in told}
        norm_squared = float(np.sum(np.square(this.direction)))
        self._by_client_state, verdict = self.by_client.observe(
            self._by_client_state, losses, norm_squared
        )
        return verdict
