"""Where a run keeps the server's copies of the clients' vectors."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np

from fl_ef21.methods import Method
from fl_ef21.methods.mirrors import DiskMirrors, MemoryMirrors, Mirrors, NoMirrors

KINDS: Final = ("ram", "disk", "off")


class Mirroring:
    """Makes the mirrors of a run.

    Parameters
    ----------
    kind : {"ram", "disk", "off"}
        In memory; in a memory-mapped file; or none, and who leaves or has lost its state makes
        all clients start anew.
    folder : pathlib.Path, optional
        Where the file goes; a temporary folder by default, which ends with the process.
    method : Method
        Of the run.

    Raises
    ------
    ValueError
        If the kind is unknown, or the method's messages need mirrors.
    """

    def __init__(self, kind: str, folder: Path | None, method: Method) -> None:
        if kind not in KINDS:
            raise ValueError(f"mirror={kind!r} is unknown; choose one of {', '.join(KINDS)}")
        if kind == "off" and method.starts_anew:
            raise ValueError(
                f"messages of {method} take the place of what was folded before, which needs the "
                f"server's copies; give mirror='ram' or mirror='disk'"
            )
        self.kind = kind
        self._folder = folder
        self._temporary: Path | None = None

    def make(self, epoch: bytes, size: int, dtype: np.dtype[Any]) -> Mirrors:
        """Return the empty mirrors of an epoch."""
        if self.kind == "off":
            return NoMirrors()
        if self.kind == "ram":
            return MemoryMirrors(size, dtype)
        folder = self._place()
        for old in folder.glob("*.mirrors"):
            if old.stem != epoch.hex():
                old.unlink()
        durable = self._folder is not None
        return DiskMirrors(size, dtype, folder / f"{epoch.hex()}.mirrors", durable=durable)

    def set_aside(self, place: Path, kept: bytes | None) -> None:
        """Move the files of other runs into the mirrors' sub-folder of a folder.

        Parameters
        ----------
        place : pathlib.Path
            The folder.
        kept : bytes or None
            Epoch whose file the run goes on with; checkpoints that are set aside may need it as
            it is now, so it is copied.
        """
        if self._folder is None or not self._folder.exists():
            return
        target = place / self._folder.name
        target.mkdir()
        for file in self._folder.glob("*.mirrors"):
            if kept is not None and file.stem == kept.hex():
                shutil.copy2(file, target)
            else:
                file.rename(target / file.name)

    def _place(self) -> Path:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            return self._folder
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="fl-ef21-mirrors-"))
            weakref.finalize(self, shutil.rmtree, self._temporary, ignore_errors=True)
        return self._temporary
