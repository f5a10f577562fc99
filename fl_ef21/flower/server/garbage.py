"""How often Python looks for cyclic garbage in the course of a run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM: Final = 50_000
"""New objects between two searches, in place of Python's 700. A round of 2,000 clients makes and
drops more; a search through them finds nothing, as records and messages hold no cycles."""

SMALL: Final = 2**14
"""Coordinates of the largest model for which it is worth it. A client's own mathematics takes
longer with a larger one, and cycles that an app leaves behind may hold the model."""


@contextmanager
def seldom_searched(size: int) -> Iterator[None]:
    """Let Python look for garbage more seldom while a small model is trained.

    Parameters
    ----------
    size : int
        The model's dimension d.
    """
    usual = gc.get_threshold()
    # 0 is a search that somebody has switched off.
    if size <= SMALL and 0 < usual[0] < SELDOM:
        gc.set_threshold(SELDOM, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
