"""Descent: the plain step along the estimate."""

from typing import Self

from fl_ef21.methods.server.step import NO_STATE, Float64, ServerState, ServerStep


class Descent(ServerStep):
    """x ← x − γ ḡ.

    Examples
    --------
    >>> import numpy as np
    >>> Descent().step({}, np.array([1.0]), np.array([2.0]), 0.25)[0]
    array([0.5])
    """

    name = "descent"

    def step(
        self,
        state: ServerState,  # noqa: ARG002
        model: Float64,
        estimate: Float64,
        step_size: float,
    ) -> tuple[Float64, ServerState]:
        """Return x − γ ḡ."""
        return model - step_size * estimate, NO_STATE

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from no arguments."""
        if arguments:
            raise ValueError(f"descent takes no argument, got {':'.join(arguments)!r}")
        return cls()

    def __str__(self) -> str:
        return self.name
