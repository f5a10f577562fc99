"""What every method is: pure functions over explicit state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor, Message, Vector
from fl_ef21.methods.estimate import Estimate

State: TypeAlias = Mapping[str, Vector]
"""A client's vectors by name, each of shape (d,); empty for methods without memory."""


class Info(NamedTuple):
    """What a client step can tell a person; the next step does not need it."""

    signal_norm_squared: float
    """‖s‖² of the client's signal s: its gradient or its model update."""
    error_squared: float
    """‖s − ĝ‖², where ĝ is what the server will hold for this client after the message."""


class Method(ABC):
    """A published algorithm as a client step, a commit and a server step.

    The client's state does not move in :meth:`client_step`: it moves in :meth:`commit`, once the
    server is known to have applied the message. The server keeps its copy of the state with the
    same function, so both sides hold the same bits.
    """

    name: ClassVar[str]

    @property
    def counts_silent_clients(self) -> bool:
        """Whether clients count, with an estimate of zero, before they have sent anything."""
        return False

    @abstractmethod
    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return the state of a client that has sent nothing, for vectors of shape (size,)."""

    @abstractmethod
    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        *,
        first: bool,
    ) -> Message:
        """Return the message of one round.

        Parameters
        ----------
        state : State
            The client's committed state; it is not changed.
        signal : ndarray, shape (d,)
            The client's gradient, or its model update x − x_local.
        compressor : Compressor
            Of the kind that the method needs; see :meth:`check`.
        rng : numpy.random.Generator
            Of this client and this round.
        first : bool
            Whether the server has applied no message of this client yet.
        """

    @abstractmethod
    def commit(self, state: State, message: Message) -> State:
        """Return the state after the server has applied ``message``; ``state`` is not changed."""

    @abstractmethod
    def estimate(self, size: int, dtype: np.dtype[Any]) -> Estimate:
        """Return the server's empty estimate of Σ pᵢ sᵢ for vectors of shape (size,)."""

    @abstractmethod
    def check(self, compressor: Compressor) -> None:
        """Raise ``ValueError`` if the method cannot work with the compressor."""

    def info(self, state: State, signal: Vector, message: Message) -> Info:
        """Measure a step in O(d): the signal's squared norm and what the message leaves out."""
        held = self.held(state, message)
        return Info(_norm_squared(signal), _norm_squared(signal - held))

    @abstractmethod
    def held(self, state: State, message: Message) -> Vector:
        """Return what the server holds for the client once it has applied ``message``."""

    def server_step(
        self, model: NDArray[np.float64], estimate: NDArray[np.float64], step_size: float
    ) -> NDArray[np.float64]:
        """Return the next model x − γ·estimate, shape (d,)."""
        return model - step_size * estimate

    @classmethod
    @abstractmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build the method from the texts behind its name, as in ``ef21:full``."""

    @abstractmethod
    def __str__(self) -> str: ...


def _norm_squared(vector: Vector) -> float:
    # In float64 and without BLAS: the sum has the same bits whatever the number of threads.
    return float(np.sum(np.square(vector, dtype=np.float64)))
