"""The automatic step size in a run: which model is kept, and what is compared with what."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from flwr.app import ArrayRecord
from numpy.typing import NDArray

from fl_ef21.flower.ledger import CheckedReply
from fl_ef21.flower.server_round import train_loss
from fl_ef21.theory.automatic import AutomaticStepSize

WITHOUT_CONSTANTS: Final = 1e-6
"""First γ where nothing is known: it grows tenfold a round until it is felt."""


class AutomaticSteps:
    """Judges every round by the clients' losses.

    Mutable: it remembers the model that is kept, and the estimate that the last step went along.

    Parameters
    ----------
    initial : float
        γ of the first step.
    """

    def __init__(self, initial: float) -> None:
        self.rule = AutomaticStepSize(initial)
        self.state = self.rule.start()
        self._kept: ArrayRecord | None = None
        self._along: NDArray[np.float64] | None = None

    def judge(
        self,
        arrays: ArrayRecord,
        replies: Sequence[CheckedReply],
        estimate: NDArray[np.float64],
        *,
        penalty: float,
        complete: bool,
    ) -> tuple[ArrayRecord, float]:
        """Return the model to step from, and γ.

        Parameters
        ----------
        arrays : ArrayRecord
            The model that clients were sent, and whose losses they report.
        replies : sequence of CheckedReply
            Of the round.
        estimate : ndarray of float64, shape (d,)
            With the round's messages, and the gradient of what the server adds.
        penalty : float
            What the server adds to the clients' losses.
        complete : bool
            Whether all clients are among them: only then are losses of two rounds comparable.

        Raises
        ------
        ValueError
            If a client reports no loss.
        """
        loss = train_loss(replies)
        if loss is None:
            raise ValueError(
                "step_size='auto' needs the clients' losses: let the app return the metric 'loss', "
                "its mean loss at the model that it was sent; or give a number"
            )
        if not complete:
            # Other clients, other losses: the step goes on as it is, from where the round was.
            self._kept, self._along = arrays, estimate
            return arrays, self.state.step_size
        product = 0.0 if self._along is None else float(np.sum(self._along * estimate))
        norm_squared = float(np.sum(estimate * estimate))
        value = loss + penalty
        self.state, verdict = self.rule.observe(self.state, value, norm_squared, product)
        if verdict.accepted or self._kept is None:
            self._kept = arrays
        if verdict.step_size > 0:
            self._along = estimate
        return self._kept, verdict.step_size
