"""What every kind of mirrors does."""

from abc import ABC, abstractmethod
from typing import ClassVar

from fl_ef21.compressors import Vector
from fl_ef21.compressors.message import Place
from fl_ef21.methods.snapshot import Snapshot


class NoMirrorError(LookupError):
    """A client's contribution would have to be taken out, and the server has no copy of it."""


class Mirrors(ABC):
    """One vector of shape (d,) for each client that has joined.

    Mutable: it stands for the state of the clients, as far as the server has applied their
    messages.
    """

    kept: ClassVar[bool] = True
    """Whether there are vectors at all."""

    @abstractmethod
    def add(self, client: str) -> None:
        """Give a client that is not there a vector of zeros."""

    @abstractmethod
    def read(self, client: str, place: Place) -> Vector:
        """Return a client's coordinates; not to be changed, and maybe not a copy.

        Raises
        ------
        NoMirrorError
            If no vectors are kept.
        """

    @abstractmethod
    def write(self, client: str, place: Place, values: Vector) -> None:
        """Replace a client's coordinates."""

    @abstractmethod
    def remove(self, client: str) -> None:
        """Forget a client.

        Raises
        ------
        NoMirrorError
            If no vectors are kept.
        """

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Return what :meth:`restore` needs to make the vectors again."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None:
        """Take the vectors of a snapshot in place of those that are there."""

    def settle(self) -> None:  # noqa: B027 - only a file has something to do
        """Note that the last snapshot is safe, or that none will be asked for."""
