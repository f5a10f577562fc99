"""What a mutable value of the server writes down of itself, to be made again from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Snapshot:
    """Arrays and plain values by name.

    They may be those of the value itself, not copies: a snapshot is to be written down at once.

    Attributes
    ----------
    arrays : mapping of ndarray by name
        Any names, any shapes and plain dtypes.
    values : mapping
        What JSON can say, and bytes.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def within(self, name: str) -> "Snapshot":
        """Return the part of a joined snapshot that was given a name."""
        start = f"{name}/"
        arrays = {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}
        return Snapshot(arrays, self.values[name])


def join(parts: Mapping[str, Snapshot]) -> Snapshot:
    """Return one snapshot of several.

    Examples
    --------
    >>> import numpy as np
    >>> joined = join({"a": Snapshot({"x": np.ones(1)}, {"n": 2})})
    >>> joined.within("a").values
    {'n': 2}
    """
    arrays = {f"{name}/{k}": v for name, part in parts.items() for k, v in part.arrays.items()}
    return Snapshot(arrays, {name: dict(part.values) for name, part in parts.items()})
