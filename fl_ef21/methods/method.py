"""What every method is: pure functions over explicit state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor, Message, Vector
from fl_ef21.methods.blocks import error_squared, norm_squared
from fl_ef21.methods.estimate import Estimate, fold_into
from fl_ef21.methods.mirrors import Mirrors

State: TypeAlias = Mapping[str, NDArray[Any]]
"""A client's vectors by name, each of shape (d,); empty for methods without memory.

Some are the fold of the messages that the server has applied, and it can make them too. The others
are the client's own; :meth:`Method.private` names them. A compressor with a memory, such as low
rank, has it there under ``MEMORY``.
"""

ESTIMATE: Final = "estimate"
"""Name of gᵢ, the fold of a client's messages."""

MEMORY: Final = "compressor"
"""Name of the vector that ``Message.memory`` gives, of a shape of its own."""

NOTHING: Final[State] = {}


class Turn(NamedTuple):
    """What a client knows in a round beside its signal.

    Attributes
    ----------
    first : bool
        Whether the server has applied no message of this client yet.
    full : bool
        The round's coin, the same for all clients: whether methods that toss one (MARINA, PAGE)
        use the whole gradient.
    step_size : float
        γ, for the methods whose clients use it.
    previous : ndarray of shape (d,), optional
        The signal at the model of the client's last message, on this round's minibatch (PAGE).
    """

    first: bool = False
    full: bool = False
    step_size: float = 1.0
    previous: Vector | None = None


class Info(NamedTuple):
    """What a client step can tell a person; the next step does not need it."""

    signal_norm_squared: float
    """‖s‖² of the client's signal s: its gradient or its model update."""
    error_squared: float
    """‖s − ĝ‖², where ĝ is what the server will hold for this client after the message."""


class Method(ABC):
    """A published algorithm as a client step, a commit and a server step.

    The client's state does not move in :meth:`client_step`: it moves in :meth:`commit`, once the
    server is known to have applied the message. The server keeps its copy of the fold with the
    same function, so both sides hold the same bits.

    Attributes
    ----------
    name : str
        First word of the text.
    tosses_coin : bool
        Whether rounds have a coin; see :class:`Turn`.
    needs_previous : bool
        Whether clients need the signal at their last model too.
    clients_use_step_size : bool
        Whether clients multiply by γ.
    expects_noise : bool
        Whether the method is made for stochastic signals.
    starts_anew : bool
        Whether messages may take the place of all that was folded before them.
    """

    name: ClassVar[str]
    tosses_coin: ClassVar[bool] = False
    needs_previous: ClassVar[bool] = False
    clients_use_step_size: ClassVar[bool] = False
    expects_noise: ClassVar[bool] = False
    starts_anew: ClassVar[bool] = False

    @property
    def counts_silent_clients(self) -> bool:
        """Whether clients count, with an estimate of zero, before they have sent anything."""
        return False

    def fitted(self, compressor: Compressor, size: int) -> Self:  # noqa: ARG002
        """Return the method with parameters that follow from compressor and dimension set."""
        return self

    def coin(self, rng: np.random.Generator, compressor: Compressor, size: int) -> bool:  # noqa: ARG002
        """Toss the round's coin."""
        return False

    @abstractmethod
    def start(self, size: int, dtype: np.dtype[Any]) -> State:
        """Return the state of a client that has sent nothing, for vectors of shape (size,)."""

    def sends_whole(self, turn: Turn) -> bool:  # noqa: ARG002
        """Return whether the message of a turn is the whole vector and not a compressed one."""
        return False

    @abstractmethod
    def client_step(
        self,
        state: State,
        signal: Vector,
        compressor: Compressor,
        rng: np.random.Generator,
        turn: Turn,
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
        turn : Turn
            What else the client knows.
        """

    def private(self, state: State, signal: Vector, message: Message, turn: Turn) -> State:  # noqa: ARG002
        """Return the client's own vectors after a step; most methods have none.

        Parameters
        ----------
        state, signal, turn
            As they were given to :meth:`client_step`.
        message : Message
            What it returned, as the server will decode it.
        """
        return NOTHING

    def commit(
        self,
        state: State,
        message: Message,
        private: State = NOTHING,
        *,
        in_place: bool = False,
    ) -> State:
        """Return the state after the server has applied ``message``.

        Parameters
        ----------
        state : State
            The state before.
        message : Message
            As the server has decoded it.
        private : State
            What :meth:`private` returned for it.
        in_place : bool
            Whether the vectors of ``state`` may be overwritten, which costs O(k) for a sparse
            message in place of O(d). By default ``state`` is not changed.
        """
        committed = dict(private)
        if ESTIMATE in state:
            committed[ESTIMATE] = self.folded(state[ESTIMATE], message, in_place=in_place)
        memory = message.memory()
        if memory is not None:
            committed[MEMORY] = memory
        return committed

    def folded(self, estimate: Vector, message: Message, *, in_place: bool = False) -> Vector:
        """Return a client's estimate gᵢ with a message folded in."""
        moved = estimate if in_place else estimate.copy()
        fold_into(moved, self.increment(message))
        return moved

    def increment(self, message: Message) -> Message:
        """Return what a message adds to gᵢ: mostly itself."""
        return message

    def terms(self, state: State, message: Message, turn: Turn) -> tuple[Vector | None, Message]:  # noqa: ARG002
        """Return the two terms of ĝ, which the server takes the signal for after ``message``.

        Returns
        -------
        estimate : ndarray, shape (d,), or None
            What the client counted with before; ``None`` for methods without memory.
        increment : Message
            What is folded into it.
        """
        return state[ESTIMATE], self.increment(message)

    @abstractmethod
    def estimate(self, size: int, dtype: np.dtype[Any], mirrors: Mirrors | None = None) -> Estimate:
        """Return the server's empty estimate of Σ pᵢ sᵢ for vectors of shape (size,).

        ``mirrors`` are where its copies of the clients' vectors go, in memory by default; methods
        without memory have no use for them.
        """

    @abstractmethod
    def check(self, compressor: Compressor) -> None:
        """Raise ``ValueError`` if the method cannot work with the compressor."""

    def info(self, state: State, signal: Vector, message: Message, turn: Turn) -> Info:
        """Measure a step in O(d): the signal's squared norm and what the message leaves out."""
        estimate, increment = self.terms(state, message, turn)
        return Info(norm_squared(signal), error_squared(signal, estimate, increment))

    def server_step_size(self, step_size: float) -> float:
        """Return what the server multiplies the estimate with: γ, unless clients have done so."""
        return step_size

    @classmethod
    @abstractmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """Build the method from the texts behind its name, as in ``ef21:full``."""

    @abstractmethod
    def __str__(self) -> str: ...

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"
