"""Vectors block by block, where a second vector of a large model's size would be in the way."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from fl_ef21.compressors import Message, Vector
from fl_ef21.compressors.message import Place

_BLOCK: Final = 2**16

_FEW: Final = 2**12
"""So many numbers OpenBLAS gives to one thread; to another only from about 10,000 on."""


def norm_squared(vector: Vector) -> float:
    """Return ‖v‖².

    In float64; the sum has the same bits whatever the number of threads. A few float64 numbers go
    through BLAS, whose last bits are those of the processor's kind: norms are for people to read,
    and no step depends on them.
    """
    if vector.size <= _FEW and vector.dtype == np.float64:
        return float(vector.dot(vector))
    if vector.size <= _BLOCK:
        return float(np.add.reduce(np.square(vector, dtype=np.float64)))
    blocks = (vector[start : start + _BLOCK] for start in range(0, vector.size, _BLOCK))
    return float(sum(np.add.reduce(np.square(block, dtype=np.float64)) for block in blocks))


def error_squared(signal: Vector, estimate: Vector | None, message: Message) -> float:
    """Return ‖s − ĝ‖², where ĝ is what an estimate becomes with a message folded in.

    Parameters
    ----------
    signal : ndarray, shape (d,)
        The vector s.
    estimate : ndarray, shape (d,), or None
        It is not changed; ``None`` stands for 0.
    message : Message
        Of the same size.
    """
    if message.size <= _BLOCK:
        if estimate is None or message.fresh:
            held = np.zeros(message.size, message.dtype)
        else:
            held = estimate.copy()
        message.add_to(held)
        return norm_squared(np.subtract(signal, held, out=held))
    error = 0.0
    for start, held in _folded_blocks(estimate, message):
        error += norm_squared(np.subtract(signal[start : start + held.size], held, out=held))
    return error


def _folded_blocks(estimate: Vector | None, message: Message) -> Iterator[tuple[int, Vector]]:
    """Yield the folded estimate in blocks that may be overwritten, each with its first place.

    They have the same bits as those of ``fold_into``.
    """
    kept = None if message.fresh else estimate
    pieces = list(message.pieces())
    for start in range(0, message.size, _BLOCK):
        stop = min(start + _BLOCK, message.size)
        block = np.zeros(stop - start, message.dtype) if kept is None else kept[start:stop].copy()
        for place, values in pieces:
            _add_part(block, start, place, values)
        yield start, block


def _add_part(block: Vector, start: int, place: Place, values: Vector) -> None:
    """Add what of a piece lies in the block that begins at ``start``."""
    stop = start + block.size
    if isinstance(place, slice):
        low, high = max(place.start, start), min(place.stop, stop)
        if low < high:
            block[low - start : high - start] += values[low - place.start : high - place.start]
    else:
        first, last = np.searchsorted(place, (start, stop))
        block[place[first:last] - start] += values[first:last]
