"""Flower's own strategies beside ours: the same clients, and a history with the same bytes."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result, Strategy

from fl_ef21.flower.protocol.seeding import sampling_generator
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.meter import MessageSize, measure
from fl_ef21.flower.server.sampling import connected_nodes, draw
from fl_ef21.flower.server.strategy import Callback, EvaluateFn


class Metered(Strategy):
    """One of Flower's strategies, as it is, with a history.

    It reaches an app's train function of the name ``action``, which has no ``ef21_mod``. Clients
    are drawn as ours are: on the in-process Grid, whose nodes are in the order of partition ids,
    both draw the same ones in every round.

    Parameters
    ----------
    strategy : FedAvg
        Flower's, or one that is made of it, such as FedAdam, with ``fraction_train=1.0``: it is
        shown only the nodes that were drawn.
    participation : float
        Share in (0, 1] of the clients in a round.
    action : str
        Name of the train function, as in ``@app.train("plain")``; empty for the usual one.
    seed : int
        Of the draws.

    Attributes
    ----------
    history : list of RoundRecord
        One row a round. Its payload is the raw elements of the arrays, without Flower's headers.
    """

    def __init__(
        self, strategy: FedAvg, *, participation: float = 1.0, action: str = "", seed: int = 0
    ) -> None:
        self.strategy = strategy
        self.participation = participation
        self.action = action
        self.seed = seed
        self.history: list[RoundRecord] = []
        self._sent: tuple[float, int, MessageSize] = (0.0, 0, MessageSize())

    def summary(self) -> None:
        """Log the settings of Flower's strategy."""
        self.strategy.summary()

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
        *,
        callbacks: Sequence[Callback] = (),
    ) -> Result:
        """Run all rounds; arguments are those of ``ErrorFeedbackStrategy.start``."""
        self.history = []

        def after_round(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            evaluation = evaluate_fn(server_round, arrays) if evaluate_fn else None
            if server_round > 0:
                seconds = time.perf_counter() - self._sent[0]
                self.history[-1] = replace(
                    self.history[-1], evaluation=dict(evaluation or {}), wall_seconds=seconds
                )
                for callback in callbacks:
                    callback(self.history[-1], arrays)
            return evaluation

        return super().start(
            grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, after_round
        )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return Flower's messages to the clients that were drawn."""
        started = time.perf_counter()
        nodes = connected_nodes(grid, self.strategy.min_available_nodes)
        keys = {node: f"partition-id={place}" for place, node in enumerate(nodes)}
        count = max(1, int(len(nodes) * self.participation))
        drawn = draw(nodes, count, keys.get, sampling_generator(self.seed, server_round))
        shown = cast(Grid, _Nodes(drawn))
        messages = list(self.strategy.configure_train(server_round, arrays, config, shown))
        if self.action:
            messages = [
                Message(m.content, m.metadata.dst_node_id, f"train.{self.action}") for m in messages
            ]
        self._sent = started, len(messages), measure(messages)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate as Flower does, and note what was sent."""
        replies = list(replies)
        _, instructed, down = self._sent
        answers = [reply for reply in replies if not reply.has_error()]
        up = measure(replies)
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        self.history.append(
            RoundRecord(
                round=server_round,
                instructed=instructed,
                clients=len(answers),
                failures=instructed - len(answers),
                rejections=0,
                reasons=tuple(str(r.error.reason) for r in replies if r.has_error()),
                uplink_payload_bytes=sum(map(_elements, answers)),
                uplink_bytes=up.content,
                uplink_envelope_bytes=up.envelope,
                downlink_bytes=down.content,
                downlink_envelope_bytes=down.envelope,
                step_size=float(getattr(self.strategy, "eta", 1.0)),
                train_loss=None,
                estimate_error=None,
            )
        )
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return Flower's messages."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Aggregate as Flower does."""
        return self.strategy.aggregate_evaluate(server_round, replies)


class _Nodes:
    """All that Flower's strategies ask a Grid while they choose."""

    def __init__(self, nodes: Sequence[int]) -> None:
        self._nodes = nodes

    def get_node_ids(self) -> Sequence[int]:
        return self._nodes


def _elements(reply: Message) -> int:
    """Return the bytes of the elements of all arrays."""
    return sum(
        int(np.prod(array.shape, dtype=np.int64)) * np.dtype(array.dtype).itemsize
        for record in reply.content.array_records.values()
        for array in record.values()
    )
