"""What a round did, in numbers: one frozen row a round."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class RoundRecord:
    """One row of ``strategy.history``.

    Bytes are ``len()`` of what was sent, over all clients of the round. *Payload* is the
    compressed message alone; *uplink* and *downlink* are all objects of the Flower messages
    without their envelopes, and with them they are the Message objects, exactly. Envelopes stand
    apart because Flower's random ids make their length differ from run to run. All of a round's
    training counts, roll calls included; federated evaluation does not.

    Attributes
    ----------
    round : int
        Server round, from 1.
    instructed : int
        Clients that an instruction was sent to.
    clients : int
        Clients whose message was applied.
    failures : int
        Instructions that were answered by an error or not at all.
    rejections : int
        Replies that were quarantined.
    reasons : tuple of str
        Why, one text for each failure that was reported and each rejection.
    uplink_payload_bytes, uplink_bytes, uplink_envelope_bytes : int
        From clients to the server.
    downlink_bytes, downlink_envelope_bytes : int
        From the server to the clients.
    step_size : float
        γ of the round's server step.
    train_loss : float or None
        Weighted mean of the ``loss`` that clients report, at the model they were sent.
    estimate_error : float or None
        Σ pᵢ‖sᵢ − ĝᵢ‖² / Σ pᵢ‖sᵢ‖² over the clients that answered: what compression leaves out.
    evaluation : mapping
        What ``evaluate_fn`` returned for the model after the round.
    wall_seconds : float
        Duration of the round.
    """

    round: int
    instructed: int
    clients: int
    failures: int
    rejections: int
    reasons: tuple[str, ...]
    uplink_payload_bytes: int
    uplink_bytes: int
    uplink_envelope_bytes: int
    downlink_bytes: int
    downlink_envelope_bytes: int
    step_size: float
    train_loss: float | None
    estimate_error: float | None
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    wall_seconds: float = 0.0

    @classmethod
    def before_the_first(cls, step_size: float) -> Self:
        """Return a row for the starting point, round 0, at which nothing was sent."""
        return cls(0, 0, 0, 0, 0, (), 0, 0, 0, 0, 0, step_size, None, None)

    @property
    def uplink_message_bytes(self) -> int:
        """All bytes of the replies' Message objects."""
        return self.uplink_bytes + self.uplink_envelope_bytes

    @property
    def downlink_message_bytes(self) -> int:
        """All bytes of the instructions' Message objects."""
        return self.downlink_bytes + self.downlink_envelope_bytes

    def as_row(self) -> dict[str, Any]:
        """Return what is the same in every engine, and the wall time, as a flat mapping."""
        row = asdict(self)
        for run_dependent in ("uplink_envelope_bytes", "downlink_envelope_bytes", "reasons"):
            del row[run_dependent]
        evaluation = row.pop("evaluation")
        return {**evaluation, **row}
