"""What every compressed downlink is: a state that server and clients move by the same messages."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor, Contractive, Message, Vector
from fl_ef21.methods.method import State

MODEL: Final = "model"
"""Name of the model at which clients compute, in the state."""

Step: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From a direction, shape (d,), to the next iterate of the server."""


class Downlink(ABC):
    """A method's downlink: the state starts from a whole model, and messages move it.

    Server and clients move their copies with the same function of the same bytes, so they hold
    the same bits.

    Parameters
    ----------
    compressor : Compressor
        Contractive; what the server compresses with.

    Attributes
    ----------
    name : str
        First word of the text.
    shares_iterate : bool
        Whether clients hold the server's own iterate, and not a model that follows it. The server
        then takes it from the state: rounded once, to the same bits.

    Raises
    ------
    ValueError
        If the compressor is not contractive.
    """

    name: ClassVar[str]
    shares_iterate: ClassVar[bool] = False

    def __init__(self, compressor: Compressor) -> None:
        if not isinstance(compressor, Contractive):
            raise ValueError(
                f"{self.name} needs a contractive compressor for the downlink, got {compressor}; "
                f"for example topk:0.1"
            )
        self.compressor = compressor

    @abstractmethod
    def start(self, model: Vector) -> State:
        """Return the state of everybody who has just been given the whole model."""

    @abstractmethod
    def message(
        self,
        state: State,
        iterate: Vector,
        estimate: NDArray[np.float64],
        step: Step,
        rng: np.random.Generator,
    ) -> tuple[Message, NDArray[np.float64]]:
        """Return the next message and the server's next iterate.

        Parameters
        ----------
        state : State
            What clients hold.
        iterate : ndarray, shape (d,)
            The server's x.
        estimate : ndarray of float64, shape (d,)
            The server's estimate of the gradient.
        step : callable
            The server's step from x along a direction.
        rng : numpy.random.Generator
            Of the server and this round.
        """

    @abstractmethod
    def advance(self, state: State, message: Message, step_size: float) -> State:
        """Return the state after a message; the argument is not changed."""

    def __str__(self) -> str:
        return f"{self.name}:{self.compressor}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"
