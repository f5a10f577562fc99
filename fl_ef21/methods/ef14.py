"""EF14: classic error feedback, which sends what it could not send before.

Seide, Fu, Droppo, Li and Yu 2014; for Top-k, Stich, Cordonnier and Jaggi 2018 (arXiv 1809.07599).
A round, from eᵢ = 0:

    client i  uᵢ = eᵢ + γ sᵢ,  wᵢ = C(uᵢ),  eᵢ ← uᵢ − wᵢ
    server    x ← x − Σ pᵢ wᵢ
"""

from typing import Any

import numpy as np

from fl_ef21.compressors import Compressor, Message, Vector
from fl_ef21.methods.arguments import WithoutArguments, require_contractive
from fl_ef21.methods.estimate import RoundEstimate
from fl_ef21.methods.method import State, Turn
from fl_ef21.methods.mirrors import Mirrors

ERROR = "error"


class EF14(WithoutArguments):
    """Compress the step and the error that earlier steps have left."""

    name = "ef14"
    clients_use_step_size = True

    def check(self, compressor: Compressor) -> None:
        """Refuse compressors without a contraction α."""
        require_contractive(self.name, compressor)

    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return eᵢ = 0."""
        return {ERROR: np.zeros(size, dtype)}

    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
    ) -> Message:
        """Return C(eᵢ + γ sᵢ)."""
        return compressor.compress(self._step(state, signal, turn), rng)

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:
        """Return the part of the step that was not sent."""
        return {ERROR: self._step(state, signal, turn) - message.to_dense()}

    def terms(self, state: State, message: Message, turn: Turn) -> tuple[None, Message]:  # noqa: ARG002
        """Return wᵢ / γ: what the server takes for the signal."""
        return None, message.scaled(1 / turn.step_size)

    def estimate(
        self,
        size: int,
        dtype: np.dtype[Any],
        mirrors: Mirrors | None = None,  # noqa: ARG002
    ) -> RoundEstimate:
        """Return an empty mean over one round's steps."""
        return RoundEstimate(size, dtype)

    def server_step_size(self, step_size: float) -> float:  # noqa: ARG002
        """Return 1: the clients have multiplied by γ."""
        return 1.0

    def _step(self, state: State, signal: Vector, turn: Turn) -> Vector:
        return state[ERROR] + signal.dtype.type(turn.step_size) * signal
