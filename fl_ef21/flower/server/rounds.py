"""What happens in a round: instructions out, checked replies in, one server step."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from logging import ERROR, INFO, WARNING
from secrets import token_bytes
from typing import ClassVar, Final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor
from fl_ef21.flower.protocol import ProtocolError
from fl_ef21.flower.protocol.layout import Layout, LayoutError
from fl_ef21.flower.protocol.policy import LayerPolicy
from fl_ef21.flower.protocol.records import filled, metadata
from fl_ef21.flower.protocol.seeding import UNUSED, coin_generator, sampling_generator
from fl_ef21.flower.server.automatic import Round
from fl_ef21.flower.server.broadcast import Update
from fl_ef21.flower.server.checking import CheckedReply
from fl_ef21.flower.server.checkpoints import Checkpoints
from fl_ef21.flower.server.clients import UnknownClientError
from fl_ef21.flower.server.expected import expected_of
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.instructing import NO_ROLL_CALL, Share, Terms, call_roll
from fl_ef21.flower.server.ledger import Ledger, Rules
from fl_ef21.flower.server.meter import measure
from fl_ef21.flower.server.mirroring import Mirroring
from fl_ef21.flower.server.model import ServerModel
from fl_ef21.flower.server.patience import Patience
from fl_ef21.flower.server.receiving import Received, receive
from fl_ef21.flower.server.recipe import Recipe
from fl_ef21.flower.server.round import OpenRound, aggregate_metrics, history_row
from fl_ef21.flower.server.run_journal import RunJournal
from fl_ef21.flower.server.sampling import connected_nodes, draw, draw_independently
from fl_ef21.flower.server.shares import ClientShares
from fl_ef21.flower.server.steps import Steps
from fl_ef21.methods import Method

EPOCH_BYTES: Final = 8
MOD_IS_MISSING: Final = (
    "no client runs ef21_mod, so none can read the instructions; add it to "
    "the client app: ClientApp(mods=[ef21_mod])"
)


class Rounds(FedAvg):
    """The rounds of :class:`~fl_ef21.flower.server.strategy.ErrorFeedbackStrategy`.

    Flower's loop calls the four methods with which a round is configured and aggregated. All
    others that have no underscore are there to be overridden by a strategy.
    """

    uses_supports: ClassVar[bool] = False
    """Whether clients compress only the coordinates that they own."""

    variant: ClassVar[str] = ""
    """Name of the strategy in :mod:`fl_ef21.theory`, where it is not its method's."""

    method: Method
    compressor: Compressor
    policy: LayerPolicy
    steps: Steps
    shares: ClientShares
    model: ServerModel
    ratio_warmup: int
    signal: str
    seed: int
    min_replies: int
    checkpoints: Checkpoints
    history: list[RoundRecord]
    ledger: Ledger | None
    patience: Patience
    _terms: Terms
    _rules: Rules
    _mirroring: Mirroring
    _journal: RunJournal
    _warmth: float
    _done: int
    _timeout: float | None
    _round: OpenRound | None
    _settled: Layout | None

    @property
    def step_size(self) -> float:
        """The step size γ of the round; NaN before the word for it is settled."""
        return self.steps.value

    def recipe(self, layout: Layout) -> Recipe:
        """Return what the run is made of, as far as theory asks."""
        return Recipe(
            method=self.method.fitted(self.compressor, layout.size),
            compressor=self.policy.compressor(layout, self.compressor),
            server=self.model.server,
            downlink=self.model.downlink,
            variant=self.variant,
            participation=self.shares.participation(self.fraction_train or 1.0),
            counts=self.shares.counts,
            size=layout.size,
        )

    def _settle(self, layout: Layout) -> None:
        """Compute what follows from the model's dimension: budgets, and a theorem's step size.

        Before the first round, so that the summary can say it; and when a round meets another
        model, or a loop other than Flower's has begun without ``start``.
        """
        if self._settled != layout:
            self._settled = layout
            self.shares.settle(layout.size)
            self.steps.settle(self.recipe(layout))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return one instruction for each client that takes part.

        Raises
        ------
        ValueError
            If the model has no floating-point array, or the compressor does not fit its size.
        """
        server_round += self._done
        self._round = None
        if self.fraction_train == 0.0:
            return []
        started = time.perf_counter()
        self.steps.begin(server_round)
        self._warmth = min(1.0, server_round / (self.ratio_warmup + 1))
        nodes = connected_nodes(grid, max(self.min_available_nodes, self.min_train_nodes))
        ledger = self._open_ledger(server_round, arrays, nodes)
        if self.checkpoints.folder is None:
            ledger.estimate.settle()
        count = max(int(len(nodes) * self.fraction_train), self.min_train_nodes)
        asked = self.patience.asked(server_round, nodes)
        roll, by_name = NO_ROLL_CALL, self.needs_names or self.shares.are_individual
        if count < len(asked) or by_name:
            roll = call_roll(self._terms, ledger, server_round, asked, grid, self._timeout)
            self.patience.note(server_round, roll.asked, roll.answered)
        strangers: tuple[str, ...] = ()
        if by_name:
            asked, strangers = self._known(ledger, asked)
        drawn = self.choose(server_round, asked, count, ledger)
        log(INFO, "configure_train: Sampled %s nodes (out of %s)", len(drawn), len(nodes))

        config["server-round"] = server_round
        # Updates of a compressed downlink take the place of the arrays.
        model = filled(RecordDict, {self.arrayrecord_key: arrays, self.configrecord_key: config})
        terms = self._terms_of(server_round, ledger)
        instructions = []
        for place, node in enumerate(drawn):
            share = self._share(ledger, drawn, place, arrays)
            instructions.append(terms.instruct(ledger, server_round, node, model, share))
        self._round = OpenRound(
            number=server_round,
            arrays=arrays,
            instructions=instructions,
            expected={
                n: expected_of(i, ledger.layout) for n, i in zip(drawn, instructions, strict=True)
            },
            nodes=nodes,
            nobody_drawn=not drawn and any(map(ledger.client_of, asked)),
            errors=roll.errors + strangers,
            downlink=roll.sent + measure(instructions),
            uplink=roll.received,
            started=started,
        )
        self._journal.sent(ledger, server_round, instructions)
        return instructions

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002 - the round that was configured knows its number
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Apply the good replies and take the server step.

        Returns
        -------
        tuple of ArrayRecord or None, MetricRecord or None
            The new model, ``None`` if no reply was accepted, and the clients' metrics with the
            counts ``rejected-replies`` and ``failed-replies``.

        Raises
        ------
        ProtocolError
            If all clients answer without ``ef21_mod`` and none ever did otherwise.
        FloatingPointError
            If the model would not be finite any more.
        """
        this, ledger = self._round, self.ledger
        if this is None or ledger is None:
            return None, None
        replies = list(replies)
        ledger.begin_round(this.number)
        received = receive(
            replies, this.instructions, this.expected, ledger, this.nodes, self.min_replies
        )
        self._note_answers(this, ledger, received)
        if not received.applied and not len(ledger) and received.without_mod:
            raise ProtocolError(MOD_IS_MISSING)
        self._journal.received(ledger, this.number, received)
        self.history.append(history_row(this, received, self.step_size))
        metrics = aggregate_metrics(received, self.train_metrics_aggr_fn, self.weighted_by_key)
        # A round that drew nobody steps along what is remembered, as EF21-PP does. A round that
        # could ask nobody, or whose replies were lost or bad, is no such round: the model waits.
        if not this.nobody_drawn and len(received.applied) < self.min_replies:
            log(
                ERROR,
                "aggregate_train: %d replies were accepted, and %d are needed; the model stays as "
                "it is",
                len(received.applied),
                self.min_replies,
            )
            return None, metrics
        return self._next_model(this, ledger, received), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return FedAvg's messages; with a compressed downlink, with what moves the clients' model.

        Clients then evaluate the model that they hold: EF21-P's follows the server's.
        """
        server_round += self._done
        messages = list(super().configure_evaluate(server_round, arrays, config, grid))
        if self.model.downlink is None or self.ledger is None:
            return messages
        model = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        instructions = []
        for node in [message.metadata.dst_node_id for message in messages]:
            # Nothing is compressed for it, so nothing of a client's own has to be known.
            update = self._update_for(self.ledger, self.ledger.client_of(node) or "", arrays)
            share = Share(self.compressor, update=update)
            instructions.append(
                self._terms.instruct(
                    self.ledger, server_round, node, model, share, MessageType.EVALUATE
                )
            )
        return instructions

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Aggregate as FedAvg does, and note which clients hold the newest model."""
        server_round += self._done
        replies = list(replies)
        for reply in replies:
            if self.ledger is not None and not reply.has_error():
                self.model.note(self.ledger.client_of(reply.metadata.src_node_id), answered=True)
        return super().aggregate_evaluate(server_round, replies)

    def choose(
        self, server_round: int, nodes: Sequence[int], count: int, ledger: Ledger
    ) -> list[int]:
        """Return the nodes that take part; override it to choose them in another way.

        Parameters
        ----------
        server_round : int
            From 1.
        nodes : sequence of int
            All connected nodes.
        count : int
            How many FedAvg's arguments ask for.
        ledger : Ledger
            ``ledger.client_of(node)`` is a node's client key, ``None`` if not known yet.
        """
        if self.shares.probabilities is None and count >= len(nodes):
            return draw(nodes, count, ledger.client_of, UNUSED)
        rng = sampling_generator(self.seed, server_round)
        if self.shares.probabilities is not None:
            return draw_independently(nodes, self.shares.probability_of, ledger.client_of, rng)
        return draw(nodes, count, ledger.client_of, rng)

    @property
    def needs_names(self) -> bool:
        """Whether client keys must be known before the first instruction."""
        # Shared randomness gives every client a place, which has to be the same in every run.
        return self.compressor.shared_randomness

    def compressor_of(self, client: str) -> Compressor:
        """Return what a client compresses with; override it to give each its own."""
        return self.shares.compressor_of(client)

    def scale_of(self, client: str) -> float:  # noqa: ARG002
        """Return what a client multiplies its signal by; the server divides by what it was told."""
        return 1.0

    def weight_of(self, reply: CheckedReply) -> float:
        """Return the weight mᵢ > 0 of the client that has sent a reply: its number of examples."""
        return reply.weight

    def _known(self, ledger: Ledger, nodes: Sequence[int]) -> tuple[list[int], tuple[str, ...]]:
        """Return the nodes that can be told what is their own, and a text for each other.

        A node that has not given a key cannot, nor one with a key for which nothing was given.

        Raises
        ------
        UnknownClientError
            If nothing was given for any of the keys.
        """
        named = {n: client for n in nodes if (client := ledger.client_of(n)) is not None}
        strangers: dict[int, UnknownClientError] = {}
        for node, client in named.items():
            try:
                self.compressor_of(client)
                self.scale_of(client)
                if self.shares.probabilities is not None:
                    self.shares.probability_of(client)
            except UnknownClientError as error:
                strangers[node] = error
                log(WARNING, "configure_train: node %s is left out: %s", node, error)
        if strangers and len(strangers) == len(named):
            raise next(iter(strangers.values()))
        texts = tuple(f"node {node}: {error}" for node, error in strangers.items())
        return [node for node in named if node not in strangers], texts

    def _share(
        self, ledger: Ledger, drawn: Sequence[int], place: int, arrays: ArrayRecord
    ) -> Share:
        client = ledger.client_of(drawn[place]) or ""
        compressor = self.compressor_of(client).for_client(place, len(drawn))
        if self._warmth < 1:
            compressor = compressor.widened(self._warmth)
        return Share(compressor, self.scale_of(client), self._update_for(ledger, client, arrays))

    def _update_for(self, ledger: Ledger, client: str, arrays: ArrayRecord) -> Update | None:
        if self.model.downlink is None:
            return None
        return self.model.update_for(client, ledger.layout.exact(arrays))

    def _note_answers(self, this: OpenRound, ledger: Ledger, received: Received) -> None:
        """Note who is silent, and who holds this round's model; of others nothing is known."""
        asked = [metadata(instruction)["_dst_node_id"] for instruction in this.instructions]
        self.patience.note(this.number, asked, received.answered)
        if self.model.downlink is None:
            return
        for node in asked:
            self.model.note(ledger.client_of(node), answered=False)
        for reply in received.applied:
            self.model.note(reply.about.client, answered=True)

    def _terms_of(self, server_round: int, ledger: Ledger) -> Terms:
        size = ledger.layout.size
        rng = UNUSED
        if self.method.tosses_coin:
            rng = coin_generator(self.seed, server_round)
        return replace(
            self._terms,
            policy=self.policy.widened(self._warmth),
            method=str(self.method.fitted(self.compressor, size)),
            step_size=self.step_size if self.method.clients_use_step_size else 1.0,
            coin=self.method.coin(rng, self.compressor, size),
        )

    def _open_ledger(self, server_round: int, arrays: ArrayRecord, nodes: Sequence[int]) -> Ledger:
        """Return the run's ledger.

        A model of another layout starts a new one, and so does a client that has left or lost its
        state, if the server has no copy of what it has contributed.
        """
        layout = self.policy.layout(arrays)
        if self.ledger is not None and self.ledger.layout == layout:
            self.ledger.drop_unnamed(nodes)
            if not self.ledger.broken:
                return self.ledger
            log(WARNING, "round %d starts the log anew: every client joins again", server_round)
        self.method.check(self.policy.compressor(layout, self.compressor))
        self._settle(layout)
        self.ledger = self._new_ledger(token_bytes(EPOCH_BYTES), layout)
        self.model.open(layout, arrays)
        self._journal.began(self.ledger, server_round)
        return self.ledger

    def _new_ledger(self, epoch: bytes, layout: Layout) -> Ledger:
        method = self.method.fitted(self.compressor, layout.size)
        mirrors = self._mirroring.make(epoch, layout.size, layout.dtype)
        estimate = method.estimate(layout.size, layout.dtype, mirrors)
        names = self.ledger.names if self.ledger is not None else None
        return Ledger(epoch, layout, estimate, self._rules, names)

    def _next_model(self, this: OpenRound, ledger: Ledger, received: Received) -> ArrayRecord:
        """Take the server step from the model that the round was sent."""
        silent = 0
        if self.method.counts_silent_clients:
            silent = ledger.silent(this.nodes)
        mean = ledger.estimate.mean(silent)
        arrays = self._judged(this, ledger, received, mean)
        vector = ledger.layout.vector(arrays)
        step_size = self.method.server_step_size(self.step_size)
        model = self.model.step(this.number, vector, mean, step_size)
        exact = (
            received.mean_exact_arrays() if received.applied else ledger.layout.exact(this.arrays)
        )
        with np.errstate(over="ignore"):
            arrays = ledger.layout.arrays(model, exact)
        try:
            ledger.layout.vector(arrays)
        except LayoutError as error:
            raise FloatingPointError(
                f"after round {this.number} the model is not finite ({error}): step size "
                f"{self.step_size:g} is too large for {self.method} with {self.compressor}; "
                f"choose a smaller one"
            ) from error
        return arrays

    def _judged(
        self,
        this: OpenRound,
        ledger: Ledger,
        received: Received,
        estimate: NDArray[np.float64],
    ) -> ArrayRecord:
        """Return the model to step from; an automatic step size may go back to an earlier one."""
        if self.steps.automatic is None:
            return this.arrays
        vector = ledger.layout.vector(this.arrays).astype(np.float64)
        arrays = self.steps.judge(
            Round(
                arrays=this.arrays,
                replies=[r._replace(weight=self.weight_of(r)) for r in received.applied],
                direction=self.model.server.direction(vector, estimate),
                penalty=self.model.server.penalty(vector),
                complete=len(received.applied) == len(ledger),
            )
        )
        self.history[-1] = replace(self.history[-1], step_size=self.step_size)
        if arrays is not this.arrays:
            self.model.forget_motion()
        return arrays
