"""DCGD: distributed compressed gradient descent without feedback, the cautionary baseline.

A round: client i sends C(sᵢ), the server steps x ← x − γ Σ pᵢ C(sᵢ). With Identity it is
distributed gradient descent. With a biased compressor such as Top-k and more than one client it
may diverge (Beznosikov, Horváth, Richtárik and Safaryan 2020, arXiv 2002.12410).
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Compressor, Message, Vector
from fl_ef21.methods.arguments import WithoutArguments
from fl_ef21.methods.estimate import RoundEstimate
from fl_ef21.methods.method import NOTHING, State, Turn
from fl_ef21.methods.mirrors import Mirrors


class DCGD(WithoutArguments):
    """Compress the signal itself; nothing is remembered on either side."""

    name = "dcgd"

    def check(self, compressor: Compressor) -> None:
        """Accept every compressor."""

    def start(self, size: int, dtype: np.dtype[Any]) -> State:  # noqa: ARG002
        """Return the empty state."""
        return NOTHING

    def client_step(
        self,
        state: State,  # noqa: ARG002
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,  # noqa: ARG002
    ) -> Message:
        """Return C(sᵢ)."""
        return compressor.compress(signal, rng)

    def terms(self, state: State, message: Message, turn: Turn) -> tuple[None, Message]:  # noqa: ARG002
        """Return C(sᵢ)."""
        return None, message

    def estimate(
        self,
        size: int,
        dtype: np.dtype[Any],
        mirrors: Mirrors | None = None,  # noqa: ARG002
    ) -> RoundEstimate:
        """Return an empty mean over one round's messages."""
        return RoundEstimate(size, dtype)
