"""Message to bytes and back, lossless, checked, and safe against hostile bytes."""

from fl_ef21.wire.codec import FRAMING_BYTES, decode, encode
from fl_ef21.wire.error import WireError

__all__ = ["FRAMING_BYTES", "WireError", "decode", "encode"]
