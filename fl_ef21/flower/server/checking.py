"""Is a reply well-formed and within its limits? Asked before anything is changed for it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from numpy.typing import NDArray

from fl_ef21.compressors import Message as CompressedMessage
from fl_ef21.compressors import Support
from fl_ef21.compressors.arguments import is_number
from fl_ef21.compressors.form import Form
from fl_ef21.flower.protocol import ProtocolError, Reply, reply_of
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.records import content_of, entries, held

MAX_WEIGHT: Final = 2.0**40
MAX_VALUE: Final = 1e30
"""No honest number of examples or entry of an update is larger; sums stay finite below."""

INTEGER_BITS: Final = 64
"""Of Flower's messages. A longer one, which only an engine without messages lets through, may be
above all floats."""

DENSE_OVERHEAD: Final = 2**16
"""Bytes that the longest form of a message may take beside eight for each coordinate."""

Decoder: TypeAlias = Callable[[Reply, bytes], tuple[CompressedMessage, Support | None]]


class RejectedError(ValueError):
    """Why a reply is quarantined."""


@dataclass(frozen=True)
class Limits:
    """What no honest reply exceeds.

    Attributes
    ----------
    value : float
        Magnitude of a coordinate.
    weight : float
        A client's weight: its number of examples.

    Raises
    ------
    ValueError
        If one is not a positive number.
    """

    value: float = MAX_VALUE
    weight: float = MAX_WEIGHT

    def __post_init__(self) -> None:
        for name, most in (("value", MAX_VALUE), ("weight", MAX_WEIGHT)):
            given = getattr(self, name)
            if not is_number(given) or not 0 < given <= most:
                raise ValueError(f"limit {name}={given!r} is outside (0, {most:g}]")

    def payload_bytes(self, layout: Layout) -> int:
        """Return the most bytes that a payload can honestly take."""
        # A message and a support, neither ever longer than its plain form.
        return 2 * 8 * layout.size + layout.exact_nbytes + DENSE_OVERHEAD


class Expected(NamedTuple):
    """What the answer to one instruction can hold, and means; see :func:`expected.expected_of`.

    Attributes
    ----------
    form : Form
        What its message may be beside dense or sparse.
    first, later : int
        The most bytes of a message: of a client that joins, and of one that has.
    scale : float
        What the client was told to multiply its signal by.
    """

    form: Form
    first: int
    later: int
    scale: float = 1.0

    def message_bytes(self, seq: int) -> int:
        """Return the most bytes of a client's message of this number."""
        return self.first if seq == 1 else self.later


class CheckedReply(NamedTuple):
    """A reply that is well-formed; whether it fits the log is decided when it is applied."""

    node_id: int
    about: Reply
    payload: bytes
    message: CompressedMessage
    exact: list[NDArray[Any]]
    weight: float
    metrics: MetricRecord
    support: Support | None = None
    scale: float = 1.0
    """What the client was told to multiply its signal by when it made this message."""


def checked(
    node_id: int,
    reply: Message,
    layout: Layout,
    decoder: Decoder,
    limits: Limits,
    weighted_by_key: str,
) -> CheckedReply:
    """Read a reply without changing anything.

    Raises
    ------
    RejectedError
        If a part is missing, malformed, or out of range.
    """
    try:
        about, payload = read_reply(reply)
        if len(payload) > limits.payload_bytes(layout):
            raise RejectedError(
                f"a payload of {len(payload)} bytes is longer than any for {layout.size} "
                f"coordinates"
            )
        # Most models have no exact arrays.
        split = len(payload) - layout.exact_nbytes
        exact = layout.unpack_exact(payload[max(split, 0) :]) if layout.exact_specs else []
        message, support = decoder(about, payload[:split])
    except ValueError as error:
        raise RejectedError(str(error)) from error
    if message.dtype != layout.dtype:
        raise RejectedError(f"values are {message.dtype} instead of {layout.dtype}")
    if not message.bound() <= limits.value:  # a NaN compares as false
        raise RejectedError(f"a value is above {limits.value:g} in magnitude, or not a number")
    metrics = _metrics(reply)
    weight = _weight(metrics, weighted_by_key, limits.weight)
    _require_small(exact, limits.value)
    return CheckedReply(node_id, about, payload, message, exact, weight, metrics, support)


def _require_small(exact: list[NDArray[Any]], most: float) -> None:
    for array in exact:
        if array.dtype.kind == "f" and array.size and np.abs(array).max() > most:
            raise RejectedError(f"a value beside the vector is above {most:g} in magnitude")


def read_reply(reply: Message) -> tuple[Reply, bytes]:
    """Return what a client says about itself and its payload, and the payload.

    Raises
    ------
    ProtocolError
        If the reply is malformed.
    """
    records = held(content_of(reply), ArrayRecord)
    if len(records) != 1:
        raise ProtocolError(f"reply holds {len(records)} ArrayRecords instead of one")
    return reply_of(records[0][1])


def _metrics(reply: Message) -> MetricRecord:
    records = held(content_of(reply), MetricRecord)
    if len(records) != 1:
        raise RejectedError(
            f"reply holds {len(records)} MetricRecords instead of one; let the app return one"
        )
    metrics = records[0][1]
    for name, value in entries(metrics).items():
        if type(value) is float:
            continue
        for number in value if isinstance(value, list) else (value,):
            if isinstance(number, int) and number.bit_length() > INTEGER_BITS:
                raise RejectedError(
                    f"metric {name!r} is an integer of {number.bit_length()} bits, and no message "
                    f"holds more than {INTEGER_BITS}"
                )
    return metrics


def _weight(metrics: MetricRecord, weighted_by_key: str, most: float) -> float:
    weight = entries(metrics).get(weighted_by_key)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise RejectedError(
            f"metric {weighted_by_key!r} is {weight!r} instead of a number; let the app return it"
        )
    if not isfinite(weight) or not 0 < weight <= most:
        raise RejectedError(
            f"metric {weighted_by_key!r} is {weight}, which is outside (0, {most:g}]"
        )
    return float(weight)
