"""Message to bytes and back, lossless, checked, and safe against hostile bytes."""

from fl_ef21.wire.codec import decode, encode
from fl_ef21.wire.error import WireError

__all__ = ["WireError", "decode", "encode"]
