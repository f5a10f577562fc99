"""A compressed model downlink on the wire: messages that lead from one version to a later one."""

import struct
from hashlib import blake2b
from typing import Final

from fl_ef21.compressors import Message, Vector
from fl_ef21.flower.protocol.ack import DIGEST_BYTES, ProtocolError
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.methods import State
from fl_ef21.methods.downlink import Downlink
from fl_ef21.methods.downlink.downlink import MODEL
from fl_ef21.wire import WireError, decode

WHOLE: Final = -1
"""In place of the version from which an update starts: from none."""

_PIECE: Final = struct.Struct("<dI")


def piece(step_size: float, encoded: bytes) -> bytes:
    """Return the bytes of one server step: γ and the encoded message."""
    return _PIECE.pack(step_size, len(encoded)) + encoded


def model_digest(model: Vector) -> bytes:
    """Return eight bytes that differ for models that differ."""
    return blake2b(model.tobytes(), digest_size=DIGEST_BYTES, person=b"fl-ef21").digest()


def advanced(
    downlink: Downlink, layout: Layout, state: State, message: Message, step_size: float
) -> State:
    """Return the state after one message, as the server and every client make it.

    The model is one that its arrays can hold: who is sent the whole of it holds the same bits as
    who was sent the messages.
    """
    moved = downlink.advance(state, message, step_size)
    return {**moved, MODEL: layout.rounded(moved[MODEL])}


def read_pieces(
    blob: bytes, downlink: Downlink, layout: Layout, state: State
) -> tuple[State, bytes]:
    """Return the state after all messages of an update, and the bytes of the exact arrays.

    Raises
    ------
    ProtocolError
        If the bytes are no such update.
    """
    end, position = len(blob) - layout.exact_nbytes, 0
    try:
        while position < end:
            step_size, length = _PIECE.unpack_from(blob, position)
            position += _PIECE.size
            message = decode(blob[position : position + length], size=layout.size)
            state = advanced(downlink, layout, state, message, step_size)
            position += length
    except (struct.error, WireError) as error:
        raise ProtocolError(f"the model's update is damaged: {error}") from error
    if position != end:
        raise ProtocolError("the model's update is cut short")
    return state, blob[end:]
