"""What server and clients say to each other beside the model: instructions, replies, digests.

Both travel as one ConfigRecord named ``fl_ef21``; the compressed message travels as one Array.
"""

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Final, Literal, Self, TypeAlias, cast

from flwr.app import Array, ArrayRecord, ConfigRecord

RECORD: Final = "fl_ef21"
"""Name of the protocol's record in messages and in ``context.state``."""

PAYLOAD_STYPE: Final = "fl_ef21.v1"
"""Serialisation type of the Array that holds a payload."""

DIGEST_BYTES: Final = 8

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
    '6e62d6cac98d34c8'
    """
    return blake2b(payload, digest_size=DIGEST_BYTES, salt=previous, person=b"fl-ef21").digest()


def origin(epoch: bytes, client: str) -> bytes:
    """Return the digest that a client's first message of an epoch follows."""
    return blake2b(client.encode(), digest_size=DIGEST_BYTES, salt=epoch).digest()


class _Recorded:
    """A frozen dataclass that is written to a ConfigRecord field by field."""

    def to_record(self) -> ConfigRecord:
        """Return the values as a ConfigRecord, underscores in names as hyphens."""
        names = [field.name for field in fields(cast(Any, self))]
        return ConfigRecord({name.replace("_", "-"): getattr(self, name) for name in names})

    @classmethod
    def from_record(cls, record: ConfigRecord) -> Self:
        """Read the values back.

        Raises
        ------
        ProtocolError
            If a value is missing or of another type; the text names it.
        """
        values: dict[str, Any] = {}
        for field in fields(cast(Any, cls)):
            value = record.get(field.name.replace("_", "-"))
            if type(value) is not field.type:
                expected = getattr(field.type, "__name__", field.type)
                raise ProtocolError(
                    f"{field.name} is {value!r} instead of a value of type {expected}; "
                    f"server and clients need the same version of fl-ef21"
                )
            values[field.name] = value
        return cls(**values)


@dataclass(frozen=True)
class Instruction(_Recorded):
    """What the server tells one client in one round.

    Attributes
    ----------
    epoch : bytes
        Eight bytes that are unique to the run: state of another run is not used.
    round : int
        Server round, from 1.
    method, compressor : str
        Texts of what the client has to use.
    signal : str
        ``update`` if the app returns updated arrays, ``gradient`` if it returns gradients.
    seed : int
        Seed of the run.
    seq, digest : int, bytes
        The ack: the last message of this client that was applied, 0 and ``b""`` for none.
    roll_call : bool
        Whether only the client's key is asked for: no training.
    """

    epoch: bytes
    round: int
    method: str
    compressor: str
    signal: str
    seed: int
    seq: int
    digest: bytes
    roll_call: bool

    @property
    def ack(self) -> Ack:
        """The last message that was applied."""
        return Ack(self.seq, self.digest)


@dataclass(frozen=True)
class Reply(_Recorded):
    """What a client says about the payload that it sends.

    Attributes
    ----------
    epoch : bytes
        That of the instruction.
    client : str
        The client's key: the same after a restart, if the node config names one.
    seq : int
        Number of this message in the client's log: the ack's plus one, or 1 when the client
        joins, or joins again because it has lost its state. 0 in a roll call.
    digest : bytes
        Digest of the payload, chained to that of the message before.
    signal_norm_squared, error_squared : float
        ‖s‖² of the client's signal and ‖s − ĝ‖² after this message.
    """

    epoch: bytes
    client: str
    seq: int
    digest: bytes
    signal_norm_squared: float
    error_squared: float

    @property
    def position(self) -> Ack:
        """Number and digest of this message."""
        return Ack(self.seq, self.digest)


def payload_record(payload: bytes) -> ArrayRecord:
    """Return an ArrayRecord that holds one payload."""
    return ArrayRecord({"payload": Array("uint8", (len(payload),), PAYLOAD_STYPE, payload)})


def payload_of(record: ArrayRecord) -> bytes:
    """Return the payload in an ArrayRecord.

    Raises
    ------
    ProtocolError
        If the record holds anything but one payload.
    """
    arrays = list(record.values())
    if len(arrays) != 1 or arrays[0].stype != PAYLOAD_STYPE:
        raise ProtocolError(
            f"reply holds {len(arrays)} arrays of type {sorted({a.stype for a in arrays})} "
            f"instead of one payload of type {PAYLOAD_STYPE}"
        )
    return arrays[0].data
