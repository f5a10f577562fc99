"""How often Python looks for cyclic garbage in the course of a run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

SELDOM: Final = 50_000
"""New objects between two searches, in place of Python's 700. A round of 2,000 clients makes and
drops more; a search through them finds nothing, as records and messages hold no cycles."""

SMALL: Final = 2**14
"""Coordinates of the largest model for which it is worth it. A client's own mathematics takes
longer with a larger one, and cycles that an app leaves behind may hold the model."""


class _Seldom:
    """The runs of this process that want few searches: the setting is the process's, not a run's.

    The first run notes what was usual and the last one brings it back, in whatever order they end.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs = 0
        self._usual = gc.get_threshold()

    def begin(self) -> None:
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._usual = gc.get_threshold()
                # 0 is a search that somebody has switched off.
                if 0 < self._usual[0] < SELDOM:
                    gc.set_threshold(SELDOM, *self._usual[1:])

    def end(self) -> None:
        with self._lock:
            self._runs -= 1
            if not self._runs:
                gc.set_threshold(*self._usual)


_SELDOM: Final = _Seldom()


@contextmanager
def seldom_searched(size: int) -> Iterator[None]:
    """Let Python look for garbage more seldom while a small model is trained.

    Runs may overlap; after the last one the setting is what it was before the first.

    Parameters
    ----------
    size : int
        The model's dimension d.
    """
    if size > SMALL:
        yield
        return
    _SELDOM.begin()
    try:
        yield
    finally:
        _SELDOM.end()
