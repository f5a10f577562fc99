"""Mirrors in a memory-mapped file: as many clients as the disk holds."""

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fl_ef21.compressors import Vector
from fl_ef21.compressors.message import Place
from fl_ef21.methods.mirrors.mirrors import Mirrors, NoMirrorError
from fl_ef21.methods.snapshot import Snapshot

FIRST_ROWS: Final = 16

_HEADER: Final = 64  # bytes before the rows; the first eight say how often they were written


class _Change(NamedTuple):
    row: int
    place: Place
    values: Vector


class DiskMirrors(Mirrors):
    """One row of a file for each client.

    The file is always that of the last snapshot that is known to be safe. Changes since then are
    in memory, in the pages of a private mapping and as a list; a snapshot carries the list, so that
    it is made again from an older file and the list, whenever the process stops. After
    :meth:`settle` the changes are in the file, and the memory is free again.

    Parameters
    ----------
    size : int
        Dimension d.
    dtype : numpy.dtype
        float32 or float64.
    path : pathlib.Path
        The file. It is made if it is not there; what is in it counts for nothing until
        :meth:`restore` says whose rows they are.
    durable : bool
        Whether snapshots are kept that the file has to fit even after a power cut: what is written
        is then brought to the disk, in order.
    """

    def __init__(
        self, size: int, dtype: np.dtype[Any], path: Path, *, durable: bool = True
    ) -> None:
        self._durable = durable
        self._shape = (0, size)
        self._dtype = dtype
        self._path = path
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._changes: list[_Change] = []
        self._settled = 0
        path.touch()
        self._grow(FIRST_ROWS)

    def add(self, client: str) -> None:
        """Give a client a row; the file grows when it is full."""
        if not self._free:
            self._grow(2 * self._shape[0])
        self._rows[client] = row = self._free.pop()
        if self._map[row].any():  # left by a client that was removed, or by another run
            self._write(row, slice(None), np.zeros(self._shape[1], self._dtype))

    def read(self, client: str, place: Place) -> Vector:
        """Return a client's coordinates."""
        vector: Vector = np.asarray(self._map[self._rows[client], place])
        return vector

    def write(self, client: str, place: Place, values: Vector) -> None:
        """Replace a client's coordinates, in memory so far."""
        self._write(self._rows[client], place, values)

    def remove(self, client: str) -> None:
        """Make a client's row free for another."""
        self._free.append(self._rows.pop(client))

    def snapshot(self) -> Snapshot:
        """Return whose the rows are, and what has changed since the file was written."""
        arrays: dict[str, NDArray[Any]] = {}
        for number, change in enumerate(self._changes):
            arrays[f"{number}.values"] = np.asarray(change.values)
            if not isinstance(change.place, slice):
                arrays[f"{number}.places"] = change.place
        places = [_bounds(c.place) if isinstance(c.place, slice) else [] for c in self._changes]
        return Snapshot(
            arrays,
            {
                "rows": self._rows,
                "free": self._free,
                "capacity": self._shape[0],
                "settled": self._settled + 1,
                "changed": [change.row for change in self._changes],
                "slices": places,
            },
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Bring the file to the state of a snapshot, and open it.

        Raises
        ------
        NoMirrorError
            If the file is not the one that the snapshot speaks of: it was lost, or written again
            after a later snapshot.
        """
        values, arrays = snapshot.values, snapshot.arrays
        self._shape, self._changes = (0, self._shape[1]), []
        self._grow(values["capacity"])
        written = int(self._header()[0])
        if values["settled"] - written not in (0, 1):
            raise NoMirrorError(
                f"{self._path} was written {written} times, and the snapshot needs it as after "
                f"{values['settled'] - 1} or {values['settled']}"
            )
        self._settled = values["settled"] - 1
        self._rows, self._free = dict(values["rows"]), list(values["free"])
        self._changes = []
        for number, (row, bounds) in enumerate(
            zip(values["changed"], values["slices"], strict=True)
        ):
            place = slice(*bounds) if bounds else arrays[f"{number}.places"]
            self._changes.append(_Change(row, place, arrays[f"{number}.values"]))
        self.settle()

    def settle(self) -> None:
        """Write the changes into the file."""
        self._settled += 1
        header = self._header()
        header[0] = self._settled  # first: rows that are half written belong to this count
        if self._durable:
            header.flush()
        if self._changes:
            file = self._rows_of("r+")
            for row, place, values in self._changes:
                file[row, place] = values
            if self._durable:
                file.flush()
        self._changes = []
        self._open()

    def _write(self, row: int, place: Place, values: Vector) -> None:
        self._map[row, place] = values
        self._changes.append(_Change(row, place, np.array(values)))

    def _grow(self, rows: int) -> None:
        # What a file gains is zeros, and takes no room on the disk before it is written.
        size = _HEADER + rows * self._shape[1] * self._dtype.itemsize
        if self._path.stat().st_size < size:
            with self._path.open("r+b") as file:
                file.truncate(size)
        self._free = [*reversed(range(self._shape[0], rows)), *self._free]
        self._shape = (rows, self._shape[1])
        self._open()
        for row, place, values in self._changes:
            self._map[row, place] = values

    def _open(self) -> None:
        self._map = self._rows_of("c")

    def _rows_of(self, mode: Literal["c", "r+"]) -> "np.memmap[Any, np.dtype[Any]]":
        return np.memmap(self._path, self._dtype, mode, _HEADER, self._shape)

    def _header(self) -> "np.memmap[Any, np.dtype[np.int64]]":
        return np.memmap(self._path, np.int64, "r+", shape=(1,))


def _bounds(place: slice) -> list[int | None]:
    return [place.start, place.stop]
