"""Huffman codes for streams of bytes: DEFLATE without its search for repetitions, from zlib.

RFC 1951. Blocks of 2^15 symbols, each with a code of its own.
"""

import zlib
from typing import Final

from fl_ef21.wire.error import WireError

_RAW: Final = -15
"""zlib's window bits for a bare stream: no header, no checksum of its own."""


def compress(symbols: bytes) -> bytes:
    """Return the symbols in a Huffman code of their own."""
    coder = zlib.compressobj(1, zlib.DEFLATED, _RAW, 9, zlib.Z_HUFFMAN_ONLY)
    return coder.compress(symbols) + coder.flush()


def decompress(data: bytes | memoryview, count: int) -> bytes:
    """Return exactly ``count`` symbols; never makes more than one above that.

    Raises
    ------
    WireError
        If the bytes are anything but one stream of so many symbols.
    """
    decoder = zlib.decompressobj(_RAW)
    try:
        symbols = decoder.decompress(data, count + 1)
    except zlib.error as error:
        raise WireError(f"entropy code is damaged: {error}") from error
    if len(symbols) != count or not decoder.eof or decoder.unused_data:
        raise WireError(f"entropy code does not hold exactly {count} symbols")
    return symbols
