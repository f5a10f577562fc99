"""The strategy that all methods share: instructions out, checked replies in, one server step."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from logging import ERROR, INFO
from numbers import Integral
from secrets import token_bytes
from typing import ClassVar, Final, Unpack

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result
from numpy.typing import NDArray

from fl_ef21.compressors import Compressor
from fl_ef21.flower.protocol import SIGNALS, Ack, ProtocolError
from fl_ef21.flower.protocol.layout import Layout, LayoutError
from fl_ef21.flower.protocol.policy import LayerPolicy
from fl_ef21.flower.protocol.seeding import coin_generator, sampling_generator
from fl_ef21.flower.server.automatic import Round
from fl_ef21.flower.server.clients import ByClient
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.instructing import NO_ROLL_CALL, Share, Terms, call_roll
from fl_ef21.flower.server.ledger import CheckedReply, Ledger
from fl_ef21.flower.server.meter import measure
from fl_ef21.flower.server.model import ServerModel
from fl_ef21.flower.server.options import FedAvgArguments
from fl_ef21.flower.server.receiving import Received, receive
from fl_ef21.flower.server.recipe import Recipe, StepSizeRule
from fl_ef21.flower.server.round import OpenRound, aggregate_metrics, history_row
from fl_ef21.flower.server.sampling import connected_nodes, draw, draw_independently
from fl_ef21.flower.server.shares import ClientShares
from fl_ef21.flower.server.steps import Steps
from fl_ef21.methods import Method
from fl_ef21.methods.downlink import Downlink
from fl_ef21.methods.server import Descent, ServerStep
from fl_ef21.theory import Constants

Callback = Callable[[RoundRecord, ArrayRecord], None]
EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]

EPOCH_BYTES: Final = 8
MOD_IS_MISSING: Final = (
    "no client runs ef21_mod, so none can read the instructions; add it to "
    "the client app: ClientApp(mods=[ef21_mod])"
)


class ErrorFeedbackStrategy(FedAvg):
    """FedAvg whose replies are compressed messages of one method.

    Every client gets an instruction of its own: the model, what to use, and which of its messages
    was applied last. A reply that is not the next message of its client's log is quarantined and
    counted, and the run goes on. Clients need :func:`~fl_ef21.ef21_mod`.

    Parameters
    ----------
    method : Method
        What clients and server compute.
    compressor : Compressor
        What clients compress with, of the kind that the method needs.
    server : ServerStep
        What the server does with the estimate; plain descent by default.
    downlink : Downlink, optional
        How a compressed model reaches the clients, which then keep a copy of it. By default it is
        sent whole.
    budget : int, optional
        Coordinates that all clients together send in a round, shared out in the way that theory
        finds best, kᵢ ∝ √(Lᵢ rᵢ): see :func:`fl_ef21.theory.allocate`. It needs ``constants`` in
        the order of partition ids, and a compressor that keeps a count, such as ``TopK(1)``.
    probabilities : mapping or sequence of float, optional
        Probability in (0, 1] with which each client takes part in a round, by client key or
        partition id, in place of ``fraction_train``; draws are independent.
    step_size : float or {"theory", "published", "2021", "auto"}
        γ > 0 of the server step x ← x − γ·estimate; with ``signal="update"`` 1.0 is FedAvg's. A
        word means a theorem's step, which needs ``constants``, or ``"auto"``: found along the
        way from the losses that clients report, see :mod:`fl_ef21.theory.automatic`.
    constants : Constants, optional
        Smoothness of the problem.
    stochastic : bool, optional
        Whether clients compute on minibatches, so that an automatic step has to see through noise.
        By default yes for model updates, EF21-SGDM and EF21-PAGE.
    signal : {"update", "gradient"}
        Whether the client app returns updated arrays or gradients.
    scope : {"global", "layer"}
        Whether all arrays are compressed as one vector, or each by itself.
    exact_below : int
        Float arrays with fewer elements are not compressed. Integer arrays never are.
    seed : int
        In [0, 2^63); decides which clients take part and what random compressors draw.
    **fedavg
        FedAvg's arguments. With ``fraction_train`` < 1 the clients of a round are drawn by client
        key; nodes that have not given theirs yet are asked for it first, by one small message.

    Attributes
    ----------
    history : list of RoundRecord
        One row a round.
    ledger : Ledger or None
        The server's side of the log, once a run has begun.

    Raises
    ------
    ValueError
        If an argument is out of range, or the method cannot work with the compressor.
    """

    uses_supports: ClassVar[bool] = False
    """Whether clients compress only the coordinates that they own."""

    variant: ClassVar[str] = ""
    """Name of the strategy in :mod:`fl_ef21.theory`, where it is not its method's."""

    def __init__(
        self,
        method: Method,
        compressor: Compressor,
        *,
        server: ServerStep | None = None,
        downlink: Downlink | None = None,
        budget: int | None = None,
        probabilities: ByClient[float] | None = None,
        step_size: StepSizeRule = 1.0,
        constants: Constants | None = None,
        stochastic: bool | None = None,
        signal: str = "update",
        scope: str = "global",
        exact_below: int = 0,
        seed: int = 0,
        **fedavg: Unpack[FedAvgArguments],
    ) -> None:
        super().__init__(**fedavg)
        if not isinstance(compressor, Compressor):
            raise ValueError(
                f"compressor={compressor!r} is not a compressor; give for example TopK(0.01), "
                f"or fl_ef21.compressors.from_text('topk:0.01')"
            )
        method.check(compressor)
        if signal not in SIGNALS:
            raise ValueError(f"signal={signal!r} is unknown; choose one of {', '.join(SIGNALS)}")
        self.method = method
        self.compressor = compressor
        if stochastic is None:
            stochastic = signal == "update" or method.expects_noise
        self.steps = Steps(step_size, constants, method, downlink, noisy=stochastic)
        self.signal = signal
        self.seed = _checked_seed(seed)
        self.history: list[RoundRecord] = []
        self.ledger: Ledger | None = None
        self.policy = LayerPolicy(scope, exact_below)
        self._terms = Terms(
            str(method),
            self.policy,
            signal,
            self.seed,
            supports=self.uses_supports,
            downlink=str(downlink or ""),
        )
        self.shares = ClientShares(compressor, budget, probabilities, constants)
        self.model = ServerModel(server or Descent(), downlink, self.seed)
        self._timeout: float | None = None
        self._round: OpenRound | None = None
        self._settled: Layout | None = None

    @property
    def step_size(self) -> float:
        """The step size γ of the round; NaN before the word for it is settled."""
        return self.steps.value

    def summary(self) -> None:
        """Log the method, compressor and step size, then FedAvg's settings."""
        log(INFO, "\t├──> Error feedback:")
        log(INFO, "\t│\t├── Method: %s", self.method)
        log(INFO, "\t│\t├── Compressor: %s, scope %s", self.compressor, self.policy.scope)
        log(INFO, "\t│\t├── Server step: %s", self.model.server)
        log(INFO, "\t│\t├── Downlink: %s", self.model.downlink or "the whole model")
        for line in self.steps.lines(self.signal):
            log(INFO, "\t│\t├── %s", line)
        log(INFO, "\t│\t└── Seed: %d", self.seed)
        super().summary()

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
        """Run all rounds, as FedAvg does.

        Parameters
        ----------
        grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn
            As in FedAvg; ``timeout`` in seconds.
        callbacks : sequence of callable
            Called after every round with its row of the history and the model, in order.

        Returns
        -------
        Result
            As FedAvg's; ``arrays`` is the last model, also if no reply was ever accepted.
        """
        self.history, self.ledger, self._timeout = [], None, timeout
        self.model.restart()
        self._settled = None
        self._settle(Layout.of(initial_arrays, self.policy.exact_below))

        # Flower calls this before the first round and after each one, when training and
        # evaluation are done: the only hook that its loop has.
        def after_round(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            evaluation = evaluate_fn(server_round, arrays) if evaluate_fn else None
            if self._round is not None and server_round > 0:
                seconds = time.perf_counter() - self._round.started
                self.history[-1] = replace(
                    self.history[-1], evaluation=dict(evaluation or {}), wall_seconds=seconds
                )
                for callback in callbacks:
                    callback(self.history[-1], arrays)
            return evaluation

        result = super().start(
            grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, after_round
        )
        if not result.arrays:
            result.arrays = initial_arrays
        return result

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
        self._round = None
        if self.fraction_train == 0.0:
            return []
        started = time.perf_counter()
        ledger = self._open_ledger(arrays)
        nodes = connected_nodes(grid, max(self.min_available_nodes, self.min_train_nodes))
        count = max(int(len(nodes) * self.fraction_train), self.min_train_nodes)
        ledger.drop_unnamed(nodes)
        roll = NO_ROLL_CALL
        if count < len(nodes) or self.needs_names or self.shares.are_individual:
            roll = call_roll(self._terms, ledger, server_round, nodes, grid, self._timeout)
        drawn = self.choose(server_round, nodes, count, ledger)
        log(INFO, "configure_train: Sampled %s nodes (out of %s)", len(drawn), len(nodes))

        config["server-round"] = server_round
        # Updates of a compressed downlink take the place of the arrays.
        model = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        terms = self._terms_of(server_round, ledger)
        instructions = []
        for place, node in enumerate(drawn):
            share = self._share(ledger, drawn, place, arrays)
            instructions.append(terms.instruct(ledger, server_round, node, model, share))
        self._round = OpenRound(
            number=server_round,
            arrays=arrays,
            instructions=instructions,
            nodes=nodes,
            errors=roll.errors,
            downlink=roll.sent + measure(instructions),
            uplink=roll.received,
            started=started,
        )
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
        received = receive(replies, this.instructions, ledger, self.weighted_by_key, this.nodes)
        self._note_models(this, ledger, received)
        if not received.applied and not ledger.joined() and received.without_mod:
            raise ProtocolError(MOD_IS_MISSING)
        self.history.append(history_row(this, received, self.step_size))
        metrics = aggregate_metrics(received, self.train_metrics_aggr_fn, self.weighted_by_key)
        # A round that drew nobody steps along what is remembered, as EF21-PP does. A round whose
        # replies were all lost or bad is no such round: something is wrong, and the model waits.
        if this.instructions and not received.applied:
            log(ERROR, "aggregate_train: no reply was accepted; the model stays as it is")
            return None, metrics
        return self._next_model(this, ledger, received), metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return FedAvg's messages; with a compressed downlink, with what moves the clients' model.

        Clients then evaluate the model that they hold: EF21-P's follows the server's.
        """
        messages = list(super().configure_evaluate(server_round, arrays, config, grid))
        if self.model.downlink is None or self.ledger is None:
            return messages
        model = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        instructions = []
        for node in [message.metadata.dst_node_id for message in messages]:
            share = self._share(self.ledger, [node], 0, arrays)
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
        """Return what a client multiplies its signal by; override it together with the weight."""
        return 1.0

    def weight_of(self, reply: CheckedReply) -> float:
        """Return the weight mᵢ > 0 of the client that has sent a reply: its number of examples."""
        return reply.weight

    def _share(
        self, ledger: Ledger, drawn: Sequence[int], place: int, arrays: ArrayRecord
    ) -> Share:
        client = ledger.client_of(drawn[place]) or ""
        compressor = self.compressor_of(client).for_client(place, len(drawn))
        update = self.model.update_for(client, ledger.layout.exact(arrays))
        return Share(compressor, self.scale_of(client), update)

    def _note_models(self, this: OpenRound, ledger: Ledger, received: Received) -> None:
        """Note which clients hold this round's model; of the others nothing is known any more."""
        for instruction in this.instructions:
            self.model.note(ledger.client_of(instruction.metadata.dst_node_id), answered=False)
        for reply in received.applied:
            self.model.note(reply.about.client, answered=True)

    def _terms_of(self, server_round: int, ledger: Ledger) -> Terms:
        size = ledger.layout.size
        rng = coin_generator(self.seed, server_round)
        return replace(
            self._terms,
            method=str(self.method.fitted(self.compressor, size)),
            step_size=self.step_size if self.method.clients_use_step_size else 1.0,
            coin=self.method.coin(rng, self.compressor, size),
        )

    def _open_ledger(self, arrays: ArrayRecord) -> Ledger:
        """Return the run's ledger; a model of another layout starts a new one."""
        layout = Layout.of(arrays, self.policy.exact_below)
        if self.ledger is None or self.ledger.layout != layout:
            self.method.check(self.policy.compressor(layout, self.compressor))
            self._settle(layout)
            method = self.method.fitted(self.compressor, layout.size)
            estimate = method.estimate(layout.size, layout.dtype)
            epoch = token_bytes(EPOCH_BYTES)
            self.ledger = Ledger(
                epoch, layout, estimate, self.weight_of, supports=self.uses_supports
            )
            self.model.open(layout, arrays)
        return self.ledger

    def _next_model(self, this: OpenRound, ledger: Ledger, received: Received) -> ArrayRecord:
        """Take the server step from the model that the round was sent."""
        silent = 0
        if self.method.counts_silent_clients:
            silent = sum(ledger.ack(node) == Ack() for node in this.nodes)
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
                replies=received.applied,
                direction=self.model.server.direction(vector, estimate),
                penalty=self.model.server.penalty(vector),
                complete=len(received.applied) == len(ledger.joined()),
            )
        )
        self.history[-1] = replace(self.history[-1], step_size=self.step_size)
        if arrays is not this.arrays:
            self.model.forget_motion()
        return arrays


def _checked_seed(seed: object) -> int:
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63:
        raise ValueError(f"seed={seed!r} is not a whole number in [0, 2^63)")
    return int(seed)
