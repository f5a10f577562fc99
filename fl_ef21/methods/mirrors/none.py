"""No mirrors: a server that keeps nothing but the sums."""

from typing import NoReturn

from fl_ef21.compressors import Vector
from fl_ef21.compressors.message import Place
from fl_ef21.methods.mirrors.mirrors import Mirrors, NoMirrorError
from fl_ef21.methods.snapshot import Snapshot


class NoMirrors(Mirrors):
    """Nothing: who leaves or joins again makes everybody start anew."""

    kept = False

    def add(self, client: str) -> None:
        """Do nothing."""

    def read(self, client: str, place: Place) -> NoReturn:  # noqa: ARG002
        """Raise :class:`NoMirrorError`."""
        raise NoMirrorError(f"the server keeps no copy of client {client}'s vector (mirror='off')")

    def write(self, client: str, place: Place, values: Vector) -> None:
        """Do nothing."""

    def remove(self, client: str) -> NoReturn:
        """Raise :class:`NoMirrorError`."""
        self.read(client, slice(None))

    def snapshot(self) -> Snapshot:
        """Return an empty snapshot."""
        return Snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Do nothing."""
