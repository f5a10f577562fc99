"""The step size of a run: a number, a schedule, a theorem's, or found along the way."""

from logging import WARNING
from math import nan

import numpy as np
from flwr.app import ArrayRecord
from flwr.common import log

from fl_ef21.flower.server.automatic import WITHOUT_CONSTANTS, AutomaticSteps, Round
from fl_ef21.flower.server.recipe import (
    Recipe,
    StepSizeRule,
    checked_rule,
    describe,
    require_reversible,
)
from fl_ef21.methods import Method, Snapshot
from fl_ef21.methods.downlink import Downlink
from fl_ef21.methods.server import Schedule
from fl_ef21.methods.snapshot import join
from fl_ef21.theory import Constants, StepSize


class Steps:
    """Knows γ.

    Mutable: a theorem's step is known once the dimension is, a schedule's and an automatic one
    change.

    Parameters
    ----------
    rule : float or str
        As in :class:`~fl_ef21.flower.server.strategy.ErrorFeedbackStrategy`.
    constants : Constants or None
        Smoothness of the problem.
    method, downlink
        Of the strategy.
    noisy : bool
        Whether the clients' losses and signals are stochastic.

    Attributes
    ----------
    value : float
        γ of the round; NaN before a word is settled, 0 in a round that an automatic step rejects.
    source : StepSize or None
        Of a theorem's step.

    Raises
    ------
    ValueError
        If the rule is none, or lacks what it needs.
    """

    def __init__(
        self,
        rule: StepSizeRule,
        constants: Constants | None,
        method: Method,
        downlink: Downlink | None,
        *,
        noisy: bool = False,
    ) -> None:
        self.noisy = noisy
        self.rule = checked_rule(rule, constants)
        self.constants = constants
        self.value = self.rule if isinstance(self.rule, float) else nan
        self.begin(1)
        self.source: StepSize | None = None
        self.automatic: AutomaticSteps | None = None
        if self.rule == "auto":
            require_reversible(method, downlink)

    def begin(self, server_round: int) -> None:
        """Set what a schedule has for a round, counted from 1."""
        if isinstance(self.rule, Schedule):
            self.value = self.rule.at(server_round)

    def settle(self, recipe: Recipe) -> None:
        """Compute the step size that a word means for what the run is made of.

        Raises
        ------
        ValueError
            If the method has no such formula, or a number is missing; the text says which.
        """
        if isinstance(self.rule, float | Schedule):
            return
        if self.rule == "auto":
            recipe.require_descent(self.rule)
            known = self.constants
            self.value = WITHOUT_CONSTANTS if known is None else float(1 / known.L)
            share = float(np.mean(recipe.participation))
            self.automatic = AutomaticSteps(self.value, share, noisy=self.noisy)
            return
        assert self.constants is not None
        self.source = recipe.step_size(self.rule, self.constants)
        self.value = self.source.value
        if recipe.uncovered:
            log(
                WARNING,
                "no theorem covers %s; the step size is that of %s alone (empirical)",
                recipe.uncovered,
                recipe.theorem,
            )

    def lines(self, signal: str) -> list[str]:
        """Return what a person wants to see of it, a line each."""
        if self.automatic is not None:
            rule = "of whole losses" if self.automatic.is_whole else "of sampled or noisy losses"
            return [f"Step size: automatic, from {self.value:g}, by the rule {rule} (empirical)"]
        if isinstance(self.rule, Schedule):
            return [f"Step size: {self.rule} on the clients' {signal}s"]
        lines = [f"Step size: {self.value:g} on the clients' {signal}s"]
        if self.source is not None:
            found = self.source
            lines += [f"Step size by: {found.formula} ({found.kind}; {found.source})"]
        if self.constants is not None:
            named = describe(self.constants).items()
            lines += ["Constants: " + ", ".join(f"{name} = {value:g}" for name, value in named)]
        return lines

    @property
    def uses_constants(self) -> bool:
        """Whether γ follows from the constants, if there are any."""
        return not isinstance(self.rule, float | Schedule)

    def snapshot(self) -> Snapshot:
        """Return γ, and what an automatic step remembers."""
        parts = {"own": Snapshot({}, {"value": self.value})}
        if self.automatic is not None:
            parts["automatic"] = self.automatic.snapshot()
        return join(parts)

    def restore(self, snapshot: Snapshot) -> None:
        """Take the state of a snapshot."""
        self.value = snapshot.values["own"]["value"]
        if self.automatic is not None:
            self.automatic.restore(snapshot.within("automatic"))

    def judge(self, this: Round) -> ArrayRecord:
        """Choose an automatic step by the clients' losses; return the model to step from.

        Raises
        ------
        ValueError
            If no client reports a loss.
        """
        if self.automatic is None:
            return this.arrays
        kept, self.value = self.automatic.judge(this)
        return kept
