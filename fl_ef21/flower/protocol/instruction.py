"""What the server tells one client in one round; it travels beside the model."""

from dataclasses import MISSING, dataclass, fields
from functools import cached_property, lru_cache
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, cast

from flwr.app import ConfigRecord

from fl_ef21.flower.protocol.ack import Ack, ProtocolError
from fl_ef21.flower.protocol.meant import meant_by, standing_for
from fl_ef21.flower.protocol.policy import LayerPolicy, policy_of
from fl_ef21.flower.protocol.records import OURS, entries, filled

RECORD: Final = OURS
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
    scope, exact_below, layers : str, int, str
        Which arrays are compressed together, which not at all, and which in their own way; see
        ``LayerPolicy``.
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
    layers: str = ""
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
    def policy(self) -> LayerPolicy:
        """How the compressor meets the arrays."""
        return policy_of(self.scope, self.exact_below, self.layers)

    @property
    def ack(self) -> Ack:
        """The last message that was applied."""
        return Ack(self.seq, self.digest)

    def acknowledging(self, ack: Ack) -> Self:
        """Return the instruction with another ack."""
        return self._of({**self.__dict__, "seq": ack.seq, "digest": ack.digest})

    def to_record(self) -> ConfigRecord:
        """Return the values as a ConfigRecord, underscores in names as hyphens.

        What has its usual value is left out: every field costs bytes in every message.
        """
        return filled(ConfigRecord, Common(self).entries)

    @classmethod
    def from_record(cls, record: ConfigRecord) -> Self:
        """Read the values back.

        Raises
        ------
        ProtocolError
            If a value is missing or of another type; the text names it.
        """
        addressed = meant_by(record, Addressed)
        if addressed is not None:
            return cast(Self, addressed.instruction)
        known, values = _fields(), _usual_values().copy()
        for key, value in entries(record).items():
            if key in known:
                name, kind, _ = known[key]
                if type(value) is not kind:
                    raise _unlike(name, value, kind)
                values[name] = value
        if len(values) != len(known):
            name, kind = next((n, k) for n, k, _ in known.values() if n not in values)
            raise _unlike(name, None, kind)
        return cls._of(values)

    @classmethod
    def _of(cls, values: dict[str, Any]) -> Self:
        # As the constructor would, which takes a call for every field.
        instruction = cls.__new__(cls)
        object.__setattr__(instruction, "__dict__", values)
        return instruction


@dataclass(frozen=True, eq=False)
class Common:
    """What several clients are told in one round, whose acks alone differ.

    Two are equal if they are one and the same, so that what follows from one can be looked up by
    it in little time.

    Parameters
    ----------
    instruction : Instruction
        With any ack.
    """

    instruction: Instruction

    @cached_property
    def entries(self) -> dict[str, Any]:
        """The entries of a record, among them any ack; not to be changed."""
        values = self.instruction.__dict__
        return {
            key: values[name]
            for key, (name, _, usual) in _fields().items()
            if usual is MISSING or values[name] != usual
        }

    def record(self, ack: Ack) -> ConfigRecord:
        """Return the record for a client with this ack."""
        return standing_for(ConfigRecord, Addressed(self, ack), Addressed.entries)


class Addressed(NamedTuple):
    """What one client is told: its record stands for this."""

    common: Common
    ack: Ack

    @property
    def instruction(self) -> Instruction:
        """The instruction with the client's ack."""
        return self.common.instruction.acknowledging(self.ack)

    def entries(self) -> dict[str, Any]:
        """Return the entries of the record."""
        return {**self.common.entries, "seq": self.ack.seq, "digest": self.ack.digest}


def _unlike(name: str, value: object, kind: type) -> ProtocolError:
    return ProtocolError(
        f"{name} is {value!r} instead of a value of type {kind.__name__}; "
        f"server and clients need the same version of fl-ef21"
    )


@lru_cache(maxsize=1)
def _fields() -> dict[str, tuple[str, type, Any]]:
    """Return each field's name, its type and its usual value, by its key in the record."""
    return {
        field.name.replace("_", "-"): (field.name, cast(type, field.type), field.default)
        for field in fields(Instruction)
    }


@lru_cache(maxsize=1)
def _usual_values() -> dict[str, Any]:
    """Return the values that are left out, not to be changed."""
    return {name: usual for name, _, usual in _fields().values() if usual is not MISSING}
