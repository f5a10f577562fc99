"""What server and clients say to each other beside the model: instructions, replies, digests.

An instruction travels as a ConfigRecord named ``fl_ef21`` beside the model, a reply as one Array
in place of the app's arrays.
"""

from fl_ef21.flower.protocol.ack import DIGEST_BYTES, Ack, ProtocolError, chain, origin
from fl_ef21.flower.protocol.instruction import RECORD, SIGNALS, Instruction, Signal
from fl_ef21.flower.protocol.reply import (
    IN_FRONT,
    MAX_KEY_BYTES,
    NO_MOD,
    REPLY_STYPE,
    Reply,
    reply_of,
    reply_record,
    said_record,
    with_advice,
)

__all__ = [
    "DIGEST_BYTES",
    "IN_FRONT",
    "MAX_KEY_BYTES",
    "NO_MOD",
    "RECORD",
    "REPLY_STYPE",
    "SIGNALS",
    "Ack",
    "Instruction",
    "ProtocolError",
    "Reply",
    "Signal",
    "chain",
    "origin",
    "reply_of",
    "reply_record",
    "said_record",
    "with_advice",
]
