"""What every server step is: a function of model, estimate and step size, over explicit state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

ServerState: TypeAlias = Mapping[str, Float64]
"""Vectors by name that the next step needs, most of shape (d,); empty for most steps."""

NO_STATE: Final[ServerState] = {}


class ServerStep(ABC):
    """From the estimate of the gradient to the next model.

    Steps are values: they hold parameters, two with the same text are equal, and what changes from
    round to round is in the state.
    """

    name: ClassVar[str]

    @abstractmethod
    def step(
        self, state: ServerState, model: Float64, estimate: Float64, step_size: float
    ) -> tuple[Float64, ServerState]:
        """Return the next model and state; the arguments are not changed.

        Parameters
        ----------
        state : ServerState
            What the last step has returned; empty at the first.
        model, estimate : ndarray of float64, shape (d,)
            x, and the estimate ḡ of the gradient there.
        step_size : float
            γ > 0.
        """

    def penalty(self, model: Float64) -> float:  # noqa: ARG002
        """Return r(x) of the function that the server adds to the clients' losses; mostly 0."""
        return 0.0

    def direction(self, model: Float64, estimate: Float64) -> Float64:  # noqa: ARG002
        """Return the estimate with the gradient of what the server adds, where it has one."""
        return estimate

    @classmethod
    @abstractmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build from the texts behind the name."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))
