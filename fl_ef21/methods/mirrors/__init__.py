"""The server's copies of the clients' vectors ĝᵢ: in memory, on disk, or not at all."""

from fl_ef21.methods.mirrors.disk import DiskMirrors
from fl_ef21.methods.mirrors.memory import MemoryMirrors
from fl_ef21.methods.mirrors.mirrors import Mirrors, NoMirrorError
from fl_ef21.methods.mirrors.none import NoMirrors

__all__ = ["DiskMirrors", "MemoryMirrors", "Mirrors", "NoMirrorError", "NoMirrors"]
