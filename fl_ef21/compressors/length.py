"""Bounds on bytes, from which compressors declare the most that a message of theirs can take."""


def stream_bytes(count: int, bits: int) -> int:
    """Return the most bytes of ``count`` numbers of ``bits`` bits on the wire, padding included.

    Examples
    --------
    >>> stream_bytes(100, 9)
    115
    """
    return (count * bits + 7) // 8 + 2


def index_bytes(count: int, size: int) -> int:
    """Return the most bytes of up to ``count`` of ``size`` positions.

    Of more than half of all positions the wire sends the others, and of many a bitmap.
    """
    width = max(1, (size - 1).bit_length())
    return min(stream_bytes(min(count, size // 2), width), stream_bytes(size, 1))
