"""What of a history can stand on an axis, under the names of its columns and a few shorter ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

History = Sequence[Mapping[str, Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quantity:
    """One quantity of a history, and how its axis is drawn.

    Parameters
    ----------
    column : str
        Of the history.
    label : str
        Of the axis.
    log : bool
        Whether its axis is logarithmic, unless asked for otherwise.
    percent : bool
        Whether it is a share.
    unit : str
        ``B``, ``s`` or nothing.
    total : bool
        Whether the rows are added up: all that was counted until and with a round.
    """

    column: str
    label: str
    log: bool = False
    percent: bool = False
    unit: str = ""
    total: bool = False

    def values(self, rows: History) -> Floats:
        """Return the numbers, shape (rounds,); NaN, which draws a gap, where there is none."""
        found = np.array([row.get(self.column) for row in rows], dtype=np.float64)
        return np.nancumsum(found) if self.total else found


ROUND: Final = Quantity("round", "Round")
LOSS: Final = Quantity("loss", "Training loss f(x)")
GRADIENT: Final = Quantity("gradient_norm_squared", "Squared gradient norm ‖∇f(x)‖²", log=True)
ACCURACY: Final = Quantity("accuracy", "Accuracy", percent=True)
ERROR: Final = Quantity("estimate_error", "Estimate error, relative", log=True)
STEP: Final = Quantity("step_size", "Step size γ")
BYTES: Final = Quantity(
    "uplink_payload_bytes", "Uplink payload, all clients", log=True, unit="B", total=True
)
BITS: Final = Quantity(
    "uplink_payload_bits_per_client", "Uplink payload, bits per client", log=True, total=True
)
PROGRESS: Final = (LOSS, GRADIENT, ACCURACY)
DIAGNOSTICS: Final = (ERROR, STEP)

SHORT: Final = {
    "bytes": BYTES,
    "bits": BITS,
    "sent": Quantity("uplink_bytes", "Sent up, all clients", log=True, unit="B", total=True),
    "seconds": Quantity("wall_seconds", "Wall time of the rounds", unit="s", total=True),
}
"""Totals with names of their own, on either axis."""

COLUMNS: Final = {q.column: q for q in (ROUND, *PROGRESS, *DIAGNOSTICS)} | {
    "train_loss": Quantity("train_loss", "Loss that the clients report"),
}
COUNTED: Final = ("_bytes", "_seconds", "rejections", "failures")
"""Ends of the columns that count what happened in a round."""


def known_names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names that :func:`quantity` knows: numeric columns, and short names of totals.

    Examples
    --------
    >>> known_names([{"method": "EF21", "round": 0, "loss": None}, {"round": 1, "loss": 0.5}])
    ['loss', 'round']
    """
    columns = {
        key
        for row in rows
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return sorted(columns | {name for name, total in SHORT.items() if total.column in columns})


def quantity(name: str, rows: Iterable[Mapping[str, Any]], *, across: bool = False) -> Quantity:
    """Return what a name on the command line stands for.

    Parameters
    ----------
    name : str
        A numeric column of the history, or ``bytes``, ``bits``, ``sent`` or ``seconds``.
    rows : iterable of mapping
        The history.
    across : bool
        Whether it is to stand on the horizontal axis, where a count is added up over the rounds.

    Raises
    ------
    ValueError
        If the history has no such numeric column; all that it has are named.
    """
    known = known_names(rows)
    if name not in known:
        raise ValueError(f"the history has no number {name!r}; it has {', '.join(known)}")
    if name in SHORT:
        return SHORT[name]
    if name in COLUMNS:
        return COLUMNS[name]
    counted = name.endswith(COUNTED)
    unit = "B" if name.endswith("_bytes") else "s" if name.endswith("_seconds") else ""
    words = name.replace("_", " ").capitalize()
    if not counted:
        return Quantity(name, words)
    if across:
        return Quantity(name, f"{words}, total", log=unit == "B", unit=unit, total=True)
    return Quantity(name, f"{words}, each round", unit=unit)
