"""A round between its instructions and its row in the history."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging import ERROR
from math import inf, isfinite
from typing import Any, Final

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common import log
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from fl_ef21.flower.protocol.records import entries, filled
from fl_ef21.flower.server.checking import CheckedReply, Expected
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.meter import MessageSize
from fl_ef21.flower.server.receiving import Received

Told = tuple[CheckedReply, float]
MetricsAggregator = Callable[[list[RecordDict], str], MetricRecord]

LOSS_KEYS: Final = ("loss", "train_loss", "train-loss")
"""Names under which apps report their training loss, as Flower's own examples do."""


@dataclass(frozen=True)
class OpenRound:
    """What a round remembers until its replies are in.

    Attributes
    ----------
    number : int
        Server round, from 1.
    arrays : ArrayRecord
        The model that was sent.
    instructions : sequence of Message
        The messages as they were handed to the Grid, which writes their ids into them.
    expected : mapping of int to Expected
        What the answer of each node that was asked can hold.
    nodes : sequence of int
        All nodes that were connected, drawn or not.
    nobody_drawn : bool
        Whether chance, and nothing else, has left all clients out.
    errors : tuple of str
        What went wrong before the round's replies.
    downlink, uplink : MessageSize
        What was sent and received before the round's replies.
    started : float
        ``time.perf_counter()`` at the beginning.
    """

    number: int
    arrays: ArrayRecord
    instructions: Sequence[Message]
    expected: Mapping[int, Expected]
    nodes: Sequence[int]
    nobody_drawn: bool
    errors: tuple[str, ...]
    downlink: MessageSize
    uplink: MessageSize
    started: float


def history_row(this: OpenRound, received: Received, step_size: float) -> RoundRecord:
    """Return the round's row, without evaluation and duration."""
    uplink = this.uplink + received.size
    return RoundRecord(
        round=this.number,
        instructed=len(this.instructions),
        clients=len(received.applied),
        failures=received.failures + len(this.errors),
        rejections=len(received.rejections),
        reasons=this.errors + received.errors + received.rejections,
        uplink_payload_bytes=received.payload_bytes,
        uplink_bytes=uplink.content,
        uplink_envelope_bytes=uplink.envelope,
        downlink_bytes=this.downlink.content,
        downlink_envelope_bytes=this.downlink.envelope,
        step_size=step_size,
        train_loss=train_loss(received.applied),
        estimate_error=_estimate_error(received.applied),
    )


def aggregate_metrics(
    received: Received, aggregator: MetricsAggregator, weighted_by_key: str
) -> MetricRecord:
    """Return the clients' metrics, with the counts of rejected and failed replies."""
    metrics = MetricRecord()
    if received.applied:
        records = [reply.metrics for reply in received.applied]
        # A client may report what cannot be averaged with the others: no reason to lose a round.
        try:
            if aggregator is aggregate_metricrecords and all(map(_is_plain, records)):
                metrics = _weighted_means(records, weighted_by_key)
            else:
                wrapped = [filled(RecordDict, {"metrics": record}) for record in records]
                metrics = aggregator(wrapped, weighted_by_key)
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            log(ERROR, "aggregate_train: metrics could not be aggregated: %r", error)
    metrics["rejected-replies"] = len(received.rejections)
    metrics["failed-replies"] = received.failures
    return metrics


def _is_plain(metrics: MetricRecord) -> bool:
    return list not in map(type, entries(metrics).values())


def _weighted_means(records: Sequence[MetricRecord], weighted_by_key: str) -> MetricRecord:
    """Return what Flower's aggregation does of single numbers, in the same order of sums."""
    weights = [entries(record)[weighted_by_key] for record in records]
    total = sum(weights)
    means: dict[str, Any] = {}
    for record, weight in zip(records, weights, strict=True):
        share = weight / total
        for name, value in entries(record).items():
            if name != weighted_by_key:
                means[name] = means[name] + value * share if name in means else value * share
    return filled(MetricRecord, means)


def with_losses(applied: Sequence[CheckedReply]) -> list[Told]:
    """Return the replies that have a loss, each with it.

    A client that reports none, or a number that is none while most others' are, says nothing of
    the model: one client shall not stop a run. Where most are not finite, the model is to blame.
    """
    found = [(reply, loss) for reply in applied if (loss := _loss(reply)) is not None]
    finite = [(reply, loss) for reply, loss in found if isfinite(loss)]
    return finite if 2 * len(finite) > len(found) else found


def _loss(reply: CheckedReply) -> float | None:
    said = entries(reply.metrics)
    for key in LOSS_KEYS:
        loss = said.get(key)
        if isinstance(loss, int | float):
            return float(loss)
    return None


def train_loss(applied: Sequence[CheckedReply]) -> float | None:
    """Return the weighted mean loss if every client reports a finite one."""
    told = with_losses(applied)
    losses = [loss for _, loss in told]
    if not told or len(told) < len(applied) or not all(map(isfinite, losses)):
        return None
    weights = [reply.weight for reply, _ in told]
    with np.errstate(over="ignore"):
        mean = float(np.average(np.array(losses, np.float64), weights=weights))
    return mean if isfinite(mean) else None


def _estimate_error(applied: Sequence[CheckedReply]) -> float | None:
    """Return Σ pᵢ‖sᵢ − ĝᵢ‖² / Σ pᵢ‖sᵢ‖²."""
    error = sum(reply.weight * reply.about.error_squared for reply in applied)
    norm = sum(reply.weight * reply.about.signal_norm_squared for reply in applied)
    return error / norm if isfinite(error) and 0 < norm < inf else None
