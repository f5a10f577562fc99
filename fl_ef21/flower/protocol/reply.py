"""What a client says: one Array in place of the app's arrays."""

import struct
from functools import lru_cache
from math import inf
from typing import Any, Final, NamedTuple, Self

from flwr.app import Array, ArrayRecord

from fl_ef21.flower.protocol.ack import DIGEST_BYTES, Ack, ProtocolError
from fl_ef21.flower.protocol.meant import meant_by, standing_for
from fl_ef21.flower.protocol.records import entries, filled

REPLY_STYPE: Final = "fl_ef21.v1"
"""Serialisation type of the Array that holds a reply."""

MAX_KEY_BYTES: Final = 200
_REPLY: Final = struct.Struct(f"<I{DIGEST_BYTES}sddB")

NO_MOD: Final = "the client's app runs without ef21_mod; add it: ClientApp(mods=[ef21_mod])"


class Reply(NamedTuple):
    """What a client says about the payload that it sends, in front of it in the same bytes.

    A record of its own would cost 300 bytes of Flower's framing for these 40.

    Attributes
    ----------
    client : str
        The client's key: the same after a restart, if the node config names one.
    seq : int
        Number of this message in the client's log: the ack's plus one, or 1 when the client
        joins, or joins again because it has lost its state. 0 in a roll call.
    digest : bytes
        Eight bytes: digest of the payload, chained to that of the message before and so to the
        run's epoch.
    signal_norm_squared, error_squared : float
        ‖s‖² of the client's signal and ‖s − ĝ‖² after this message.
    """

    client: str
    seq: int
    digest: bytes
    signal_norm_squared: float = 0.0
    error_squared: float = 0.0

    @property
    def position(self) -> Ack:
        """Number and digest of this message."""
        return Ack(self.seq, self.digest)

    def pack(self, payload: bytes) -> bytes:
        """Return these values and the payload behind them."""
        key = _key(self.client)
        norms = self.signal_norm_squared, self.error_squared
        return _REPLY.pack(self.seq, self.digest, *norms, len(key)) + key + payload

    @classmethod
    def unpack(cls, data: bytes) -> tuple[Self, bytes]:
        """Return the values and the payload behind them.

        Raises
        ------
        ProtocolError
            If the bytes are cut short or a value is out of range.
        """
        try:
            seq, digest, norm_squared, error_squared, key_bytes = _REPLY.unpack_from(data)
            start = _REPLY.size + key_bytes
            client = data[_REPLY.size : start].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"reply is cut short or damaged: {error}") from error
        if not client or len(data) < start:
            raise ProtocolError(f"reply has no whole client key of {key_bytes} bytes")
        about = cls(client, seq, digest, norm_squared, error_squared)
        about.require_norms()
        return about, data[start:]

    def require_norms(self) -> None:
        """Check what the bytes could hold and no reply means.

        Raises
        ------
        ProtocolError
            If a squared norm is negative, infinite or NaN.
        """
        # NaN is not at least 0 either.
        if not (0 <= self.signal_norm_squared < inf and 0 <= self.error_squared < inf):
            raise ProtocolError("squared norms are not finite numbers from 0 up")


@lru_cache(maxsize=2**12)
def _key(client: str) -> bytes:
    """Return a client's key as it travels."""
    key = client.encode()
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise ProtocolError(
            f"client key {client!r} takes {len(key)} bytes; "
            f"give a client-id of 1 to {MAX_KEY_BYTES}"
        )
    return key


IN_FRONT: Final = (
    "in front of ef21_mod a mod meets compressed bytes and no arrays; "
    "put it behind: ClientApp(mods=[ef21_mod, other_mod])"
)
_ARRAY_MODS: Final = ("fixedclipping_mod", "adaptiveclipping_mod", "LocalDpMod")


class Said(NamedTuple):
    """A reply and its payload: its record stands for this."""

    about: Reply
    payload: bytes

    def entries(self) -> dict[str, Any]:
        """Return the entries of the record: one Array."""
        return _entries(self.about.pack(self.payload))


def said_record(about: Reply, payload: bytes) -> ArrayRecord:
    """Return an ArrayRecord that holds a reply and its payload.

    Raises
    ------
    ProtocolError
        If the client's key is too long to travel.
    """
    _key(about.client)
    return standing_for(ArrayRecord, Said(about, payload), Said.entries)


def packed_length(client: str, payload: int) -> int:
    """Return the bytes of a client's reply with a payload of so many."""
    return _REPLY.size + len(_key(client)) + payload


def reply_record(blob: bytes) -> ArrayRecord:
    """Return an ArrayRecord that holds one reply's bytes, whatever they are."""
    return filled(ArrayRecord, _entries(blob))


def _entries(blob: bytes) -> dict[str, Any]:
    array = Array.__new__(Array)
    array.__dict__.update(dtype="uint8", shape=(len(blob),), stype=REPLY_STYPE, data=blob)
    return {"": array}


def with_advice(reason: str) -> str:
    """Return an error's reason, with what to do if a mod stands in the wrong place.

    Examples
    --------
    >>> with_advice("LocalDpMod expects exactly one ArrayRecord, but found 2.").endswith(IN_FRONT)
    True
    >>> with_advice("node is gone")
    'node is gone'
    """
    if REPLY_STYPE in reason or any(f"{mod} expects" in reason for mod in _ARRAY_MODS):
        return f"{reason} {IN_FRONT}"
    return reason


def reply_of(record: ArrayRecord) -> tuple[Reply, bytes]:
    """Return the reply in an ArrayRecord, and its payload.

    Raises
    ------
    ProtocolError
        If the record holds anything but one reply.
    """
    said = meant_by(record, Said)
    if said is not None:
        said.about.require_norms()
        return said
    arrays = entries(record).values()
    if len(arrays) != 1:
        raise ProtocolError(NO_MOD)
    (array,) = arrays
    if array.stype != REPLY_STYPE:
        raise ProtocolError(NO_MOD)
    return Reply.unpack(array.data)
