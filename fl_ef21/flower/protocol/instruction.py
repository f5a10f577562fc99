"""What the server tells one client in one round; it travels beside the model."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Literal, Self, TypeAlias

from flwr.app import ConfigRecord

from fl_ef21.flower.protocol.ack import Ack, ProtocolError

RECORD: Final = "fl_ef21"
"""Name of the instruction's record in messages, and of the log's in ``context.state``."""

Signal: TypeAlias = Literal["update", "gradient"]
SIGNALS: Final[tuple[Signal, ...]] = ("update", "gradient")


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
