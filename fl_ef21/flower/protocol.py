"""What server and clients say to each other beside the model: instructions, replies, digests.

An instruction travels as a ConfigRecord named ``fl_ef21`` beside the model, a reply as one Array
in place of the app's arrays.
"""

import struct
from dataclasses import MISSING, dataclass, fields
from hashlib import blake2b
from math import isfinite
from typing import Any, Final, Literal, Self, TypeAlias

from flwr.app import Array, ArrayRecord, ConfigRecord

RECORD: Final = "fl_ef21"
"""Name of the instruction's record in messages, and of the log's in ``context.state``."""

REPLY_STYPE: Final = "fl_ef21.v1"
"""Serialisation type of the Array that holds a reply."""

DIGEST_BYTES: Final = 8
MAX_KEY_BYTES: Final = 200
_REPLY: Final = struct.Struct(f"<I{DIGEST_BYTES}sddB")

NO_MOD: Final = "the client's app runs without ef21_mod; add it: ClientApp(mods=[ef21_mod])"

Signal: TypeAlias = Literal["update", "gradient"]
SIGNALS: Final[tuple[Signal, ...]] = ("update", "gradient")


class ProtocolError(ValueError):
    """A record that is not of this protocol, or not of this version of it."""


@dataclass(frozen=True)
class Ack:
    """The last message of a client that the server has applied: its number and digest.

    ``Ack()`` says that none is.
    """

    seq: int = 0
    digest: bytes = b""


def chain(previous: bytes, payload: bytes) -> bytes:
    """Return the digest of a payload that follows the message with digest ``previous``.

    Examples
    --------
    >>> chain(b"", b"payload").hex()
    '744bb14a5d2e47a3'
    """
    return blake2b(payload, digest_size=DIGEST_BYTES, salt=previous, person=b"fl-ef21").digest()


def origin(epoch: bytes, client: str) -> bytes:
    """Return the digest that a client's first message of an epoch follows."""
    return blake2b(client.encode(), digest_size=DIGEST_BYTES, salt=epoch).digest()


@dataclass(frozen=True)
class Instruction:
    """What the server tells one client in one round.

    Attributes
    ----------
    epoch : bytes
        Eight bytes that are unique to the run: state of another run is not used.
    round : int
        Server round, from 1.
    method, compressor : str
        Texts of what the client has to use.
    scope, exact_below : str, int
        Which arrays are compressed together, and which not at all; see ``LayerPolicy``.
    signal : str
        ``update`` if the app returns updated arrays, ``gradient`` if it returns gradients.
    seed : int
        Seed of the run.
    step_size : float
        γ of the round, for the methods whose clients use it.
    scale : float
        What the client multiplies its signal by (EF21-W: 1/(n wᵢ)); 1 for most.
    coin : bool
        The round's coin, the same for all clients (MARINA, PAGE).
    seq, digest : int, bytes
        The ack: the last message of this client that was applied, 0 and ``b""`` for none.
    supports : bool
        Whether messages lie on the coordinates that a client owns (EF21-RF).
    downlink : str
        Text of the downlink; empty if the model is sent whole and not kept.
    base, version : int
        Which version of the model the messages start from, and which they lead to; base is −1 if
        the model is whole.
    model_digest, direction : bytes
        Of the model at ``version``, and with a whole model the other vector that goes with it.
    roll_call : bool
        Whether only the client's key is asked for: no training.
    """

    epoch: bytes
    round: int
    method: str
    compressor: str
    seed: int
    seq: int
    digest: bytes
    signal: str = "update"
    scope: str = "global"
    exact_below: int = 0
    step_size: float = 1.0
    scale: float = 1.0
    coin: bool = False
    supports: bool = False
    downlink: str = ""
    base: int = -1
    version: int = 0
    model_digest: bytes = b""
    direction: bytes = b""
    roll_call: bool = False

    @property
    def ack(self) -> Ack:
        """The last message that was applied."""
        return Ack(self.seq, self.digest)

    def to_record(self) -> ConfigRecord:
        """Return the values as a ConfigRecord, underscores in names as hyphens.

        What has its usual value is left out: every field costs bytes in every message.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        usual = {field.name: field.default for field in fields(self)}
        return ConfigRecord(
            {
                name.replace("_", "-"): value
                for name, value in values.items()
                if usual[name] is MISSING or value != usual[name]
            }
        )

    @classmethod
    def from_record(cls, record: ConfigRecord) -> Self:
        """Read the values back.

        Raises
        ------
        ProtocolError
            If a value is missing or of another type; the text names it.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = field.name.replace("_", "-")
            if name not in record and field.default is not MISSING:
                continue
            value = record.get(name)
            if type(value) is not field.type:
                expected = getattr(field.type, "__name__", field.type)
                raise ProtocolError(
                    f"{field.name} is {value!r} instead of a value of type {expected}; "
                    f"server and clients need the same version of fl-ef21"
                )
            values[field.name] = value
        return cls(**values)


@dataclass(frozen=True)
class Reply:
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
        key = self.client.encode()
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise ProtocolError(
                f"client key {self.client!r} takes {len(key)} bytes; "
                f"give a client-id of 1 to {MAX_KEY_BYTES}"
            )
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
        if not all(isfinite(v) and v >= 0 for v in (norm_squared, error_squared)):
            raise ProtocolError("squared norms are not finite numbers from 0 up")
        return cls(client, seq, digest, norm_squared, error_squared), data[start:]


def reply_record(blob: bytes) -> ArrayRecord:
    """Return an ArrayRecord that holds one reply's bytes."""
    return ArrayRecord({"": Array("uint8", (len(blob),), REPLY_STYPE, blob)})


def reply_of(record: ArrayRecord) -> tuple[Reply, bytes]:
    """Return the reply in an ArrayRecord, and its payload.

    Raises
    ------
    ProtocolError
        If the record holds anything but one reply.
    """
    arrays = list(record.values())
    if len(arrays) != 1 or arrays[0].stype != REPLY_STYPE:
        raise ProtocolError(NO_MOD)
    return Reply.unpack(arrays[0].data)
