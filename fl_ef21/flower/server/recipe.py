"""From what a strategy is made of to the theorem that covers it, and to its step size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final, TypeAlias

from fl_ef21.compressors import Compressor, Contractive, Identity, Selection, Unbiased
from fl_ef21.compressors.arguments import is_number
from fl_ef21.methods import DCGD, DIANA, EF21PAGE, EF21SGDM, MARINA, EControl, Method
from fl_ef21.methods.downlink import EF21BC, EF21P, Downlink
from fl_ef21.methods.server import (
    Adaptive,
    Box,
    Descent,
    HeavyBall,
    Prox,
    Regularised,
    Schedule,
    ServerStep,
    schedule_from_text,
)
from fl_ef21.theory import Constants, StepSize, explain
from fl_ef21.theory.step_sizes.registry import RULES

WORDS: Final = ("theory", "published", "2021", "auto")

StepSizeRule: TypeAlias = float | str | Schedule
"""A number, a schedule or its text, or one of ``WORDS``."""


@dataclass(frozen=True)
class Recipe:
    """What a run is made of, as far as theory asks.

    Attributes
    ----------
    method, compressor, server, downlink
        Of the strategy; the compressor is that of the whole vector.
    variant : str
        Name of the method in :mod:`fl_ef21.theory`, where it differs: ``ef21-w``, ``cloning``.
    participation : float or sequence of float
        Probability in (0, 1] with which a client takes part in a round.
    counts : sequence of int, optional
        Coordinates that each client keeps, where they differ.
    size : int
        Dimension d.
    """

    method: Method
    compressor: Compressor
    server: ServerStep
    downlink: Downlink | None
    variant: str
    participation: float | Sequence[float]
    counts: Sequence[int] | None
    size: int

    @property
    def theorem(self) -> str:
        """Name of the method whose step size covers the run, as far as one does."""
        if isinstance(self._step, HeavyBall):
            return "ef21-hb"
        if isinstance(self._step, Prox | Box):
            return "ef21-prox"
        if self.downlink is not None:
            return self.downlink.name
        if isinstance(self.method, DCGD) and isinstance(self.compressor, Identity):
            return "gd"
        return self.variant or self.method.name

    @property
    def _step(self) -> ServerStep:
        """The server step behind a regulariser, which only changes f."""
        return self.server.then if isinstance(self.server, Regularised) else self.server

    @property
    def uncovered(self) -> str:
        """What the theorem does not cover, in words; empty if it covers all."""
        special = [
            name
            for name, found in (
                (str(self._step), self._step != Descent()),
                (str(self.downlink), self.downlink is not None),
                (self.variant or self.method.name, self.variant or self.method.name != "ef21"),
                (f"participation {self.participation}", self.participation != 1),
            )
            if found
        ]
        plain = isinstance(self.method, DCGD) and isinstance(self.downlink, EF21P)
        return " with ".join(special) if len(special) > 1 and not plain else ""

    def require_descent(self, word: str) -> None:
        """Raise ``ValueError`` for a server step whose γ is no step along the estimate."""
        if isinstance(self._step, Adaptive):
            raise ValueError(
                f"step_size={word!r} is for steps along the estimate, and {self._step} scales each "
                f"coordinate; give a number, such as 0.01, or a schedule"
            )

    def step_size(self, form: str, constants: Constants) -> StepSize:
        """Return γ with its source.

        Raises
        ------
        ValueError
            If the method has no such formula, or a number is missing; the text says which.
        """
        self.require_descent(form)
        # Theory has more forms than a strategy takes: its own error would name those too.
        words = [word for word in WORDS if word in RULES.get(self.theorem, {})]
        if words and form not in words:
            raise ValueError(
                f"step_size={form!r} is unknown for {self.theorem}; choose one of "
                f"{', '.join(words)}, or give a positive number"
            )
        options = self._options(constants)
        return explain(self.theorem, constants, form=form, **options)

    def _options(self, constants: Constants) -> dict[str, Any]:
        options: dict[str, Any] = {"participation": self.participation}
        if isinstance(self.compressor, Contractive):
            options["alpha"] = self._alphas(constants, self.compressor)
        if isinstance(self.compressor, Unbiased):
            options["omega"] = self.compressor.omega(self.size)
        if isinstance(self.downlink, EF21BC | EF21P):
            down = self.downlink.compressor
            assert isinstance(down, Contractive)
            options["alpha_down"] = down.alpha(self.size)
            options["nonexpansive"] = isinstance(self.compressor, Selection)
        if isinstance(self.method, EF21SGDM | EControl):
            options["eta"] = self.method.eta
        if isinstance(self.method, EF21PAGE):
            options["probability"] = self.method.probability
        if isinstance(self.method, MARINA) and self.method.value is not None:
            options["probability"] = self.method.value
        return options

    def _alphas(self, constants: Constants, compressor: Contractive) -> float | list[float]:
        """Return the contraction of all clients, or of each where they differ."""
        on_supports = self.theorem == "ef21-rf" and constants.supports is not None
        if not on_supports and self.counts is None:
            return compressor.alpha(self.size)
        sizes = constants.support_sizes if on_supports else (self.size,) * constants.n
        if self.counts is not None:
            return [min(1.0, k / size) for k, size in zip(self.counts, sizes, strict=True)]
        return [_alpha_within(compressor, size) for size in sizes]


def _alpha_within(compressor: Contractive, size: int) -> float:
    """Return α on a support of ``size`` coordinates; who keeps more than all keeps all."""
    try:
        compressor.check_size(size)
    except ValueError:
        return 1.0
    return compressor.alpha(size)


def checked_rule(step_size: object, constants: object) -> StepSizeRule:
    """Return a step size rule.

    Raises
    ------
    ValueError
        If it is no positive number, no schedule and none of the words, or a word misses the
        constants that it needs.
    """
    if isinstance(step_size, Schedule):
        return step_size
    if isinstance(step_size, str):
        if ":" in step_size:
            return schedule_from_text(step_size)
        if step_size not in WORDS:
            raise ValueError(
                f"step_size={step_size!r} is unknown; give a positive number, a schedule such as "
                f"cosine:0.1:200, or one of {', '.join(WORDS)}"
            )
        if step_size != "auto" and not isinstance(constants, Constants):
            raise ValueError(
                f"step_size={step_size!r} needs the smoothness of the problem: give "
                f"constants=fl_ef21.theory.Constants(L=..., L_i=[...]), from "
                f"fl_ef21.problems for logistic and least squares, or estimated by "
                f"fl_ef21.torch; or use step_size='auto', which needs none"
            )
        return step_size
    if not is_number(step_size) or not 0 < float(step_size) < inf:
        raise ValueError(f"step_size={step_size!r} is not a positive number")
    return float(step_size)


def require_reversible(method: Method, downlink: Downlink | None) -> None:
    """Raise ``ValueError`` unless the server can judge its steps, and take them back on its own."""
    if method.clients_use_step_size or isinstance(downlink, EF21BC):
        raise ValueError(
            f"step_size='auto' has to take steps back, which clients of "
            f"{downlink or method} take part in; give a number, or a theorem's word"
        )
    if isinstance(method, DIANA):
        raise ValueError(
            "step_size='auto' judges steps by the clients' losses, which the chance in diana's "
            "steps moves up and down; give a number, or a theorem's word"
        )


def describe(constants: Constants) -> Mapping[str, float]:
    """Return the constants that a person wants to see."""
    return {
        "L": constants.L,
        "L_AM": constants.arithmetic_mean,
        "L_QM": constants.quadratic_mean,
    }
