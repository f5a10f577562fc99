"""The strategy that all methods share: its arguments, and a run from start to end."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from logging import INFO, WARNING
from numbers import Integral
from pathlib import Path
from typing import Final, Unpack

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from fl_ef21.compressors import Compressor
from fl_ef21.flower.protocol import SIGNALS
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.flower.protocol.policy import LayerPolicy, rules_of
from fl_ef21.flower.server.checking import MAX_WEIGHT, Limits
from fl_ef21.flower.server.checkpoints import Checkpoints, round_of
from fl_ef21.flower.server.clients import ByClient
from fl_ef21.flower.server.garbage import seldom_searched
from fl_ef21.flower.server.history import RoundRecord
from fl_ef21.flower.server.instructing import Terms
from fl_ef21.flower.server.ledger import Ledger, Rules
from fl_ef21.flower.server.mirroring import Mirroring
from fl_ef21.flower.server.model import ServerModel
from fl_ef21.flower.server.norms import NormBound
from fl_ef21.flower.server.options import FedAvgArguments
from fl_ef21.flower.server.patience import Patience
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.resuming import (
    HISTORY,
    IDENTITY,
    MODEL,
    identity,
    of_arrays,
    of_history,
    resume,
    told,
    told_constants,
)
from fl_ef21.flower.server.round import OpenRound
from fl_ef21.flower.server.rounds import Rounds
from fl_ef21.flower.server.run_journal import RunJournal
from fl_ef21.flower.server.shares import ClientShares
from fl_ef21.flower.server.steps import Steps
from fl_ef21.methods import Method, Snapshot
from fl_ef21.methods import downlink as downlinks
from fl_ef21.methods.downlink import Downlink
from fl_ef21.methods.mirrors import NoMirrorError
from fl_ef21.methods.server import Descent, ServerStep
from fl_ef21.methods.snapshot import join
from fl_ef21.theory import Constants

Callback = Callable[[RoundRecord, ArrayRecord], None]
EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]

UNUSED: Final = "not used"
"""Of a setting that makes no difference in a run."""

TIMEOUT: Final = 600.0
"""Seconds that a round waits for replies; FedAvg's hour would be paid for every lost client."""


class ErrorFeedbackStrategy(Rounds):
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
    downlink : Downlink or its text, optional
        How a compressed model reaches the clients, which then keep a copy of it, such as
        ``"ef21-p:topk:0.02"``. By default it is sent whole.
    budget : int, optional
        Coordinates that all clients together send in a round, shared out in the way that theory
        finds best, kᵢ ∝ √(Lᵢ rᵢ): see :func:`fl_ef21.theory.allocate`. It needs ``constants`` in
        the order of partition ids, and a compressor that keeps a count, such as ``TopK(1)``.
    probabilities : mapping or sequence of float, optional
        Probability in (0, 1] with which each client takes part in a round, by client key or
        partition id, in place of ``fraction_train``; draws are independent.
    step_size : float, Schedule or {"theory", "published", "2021", "auto"}
        γ > 0 of the server step x ← x − γ·estimate; with ``signal="update"`` 1.0 is FedAvg's. A
        schedule, or its text such as ``"cosine:0.1:200"``, gives each round its own: see
        :mod:`fl_ef21.methods.server.schedule`. A word means a theorem's step, which needs
        ``constants``, or ``"auto"``: found along the way from the losses that clients report, see
        :mod:`fl_ef21.theory.automatic`.
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
        Float arrays with fewer elements are not compressed. Integer arrays and the running
        statistics of batch norm never are.
    layers : mapping of str to Compressor or its text, optional
        Compressors of arrays by patterns of their names, such as
        ``{"embedding.*": "toprows:0.01", "*.bias": "identity"}``; each such array is compressed by
        itself.
    ratio_warmup : int
        Rounds w ≥ 0 until clients keep as little as the compressors' ratio r says: in round t ≤ w
        they keep r^(t/(w+1)), as Deep Gradient Compression does (Lin et al. 2018, arXiv
        1712.01887). Ratios that all clients share only; counts stay.
    seed : int
        In [0, 2^63); decides which clients take part and what random compressors draw.
    min_replies : int
        Accepted replies from 1 up below which a round keeps the model.
    mirror : {"ram", "disk", "off"}
        Where the server's copies of the clients' vectors are; with none, a client that has lost
        its state makes all of them start anew.
    checkpoint_dir : path-like, optional
        Where the run is written down at the end of rounds, so that it can go on from there. What
        another run has left there is moved into a sub-folder first.
    checkpoint_every : int
        Rounds from one checkpoint to the next. With 1 a run that goes on is the same, bit for bit,
        as one that was not interrupted; otherwise clients that are ahead of it join again.
    journal_dir : path-like, optional
        Where it is noted what was sent and accepted, for ``fl-ef21 audit``.
    norm_bound : float, optional
        How many times the largest norm that a client has sent so far its next message may have.
    max_weight : float
        The largest number of examples that is believed.
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

    def __init__(
        self,
        method: Method,
        compressor: Compressor,
        *,
        server: ServerStep | None = None,
        downlink: Downlink | str | None = None,
        budget: int | None = None,
        probabilities: ByClient[float] | None = None,
        step_size: StepSizeRule = 1.0,
        constants: Constants | None = None,
        stochastic: bool | None = None,
        signal: str = "update",
        scope: str = "global",
        exact_below: int = 0,
        layers: Mapping[str, Compressor | str] | None = None,
        ratio_warmup: int = 0,
        seed: int = 0,
        min_replies: int = 1,
        mirror: str = "ram",
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 1,
        journal_dir: str | Path | None = None,
        norm_bound: float | None = None,
        max_weight: float = MAX_WEIGHT,
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
        downlink = downlinks.from_text(downlink) if isinstance(downlink, str) else downlink
        self.steps = Steps(step_size, constants, method, downlink, noisy=stochastic)
        self.budget = budget
        self.signal = signal
        self.seed = _checked_seed(seed)
        self.history: list[RoundRecord] = []
        self.ledger: Ledger | None = None
        self.policy = LayerPolicy(scope, exact_below, rules_of(layers))
        self.ratio_warmup = _checked_warmup(ratio_warmup, compressor)
        self._warmth = 1.0
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
        self.min_replies = _checked_count(min_replies)
        self.checkpoints = Checkpoints(checkpoint_dir, checkpoint_every)
        self.patience = Patience()
        self._rules = Rules(
            self.weighted_by_key,
            self.weight_of,
            self.uses_supports,
            self.method.starts_anew,
            Limits(weight=max_weight),
            NormBound(norm_bound),
        )
        folder = self.checkpoints.folder
        self._mirroring = Mirroring(mirror, folder and folder / "mirrors", method)
        self._journal = RunJournal(journal_dir)
        self._done = 0
        self._timeout: float | None = None
        self._round: OpenRound | None = None
        self._settled: Layout | None = None

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
        timeout: float = TIMEOUT,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
        *,
        callbacks: Sequence[Callback] = (),
        resume_from: str | Path | None = None,
    ) -> Result:
        """Run all rounds, as FedAvg does, or those that are left of an interrupted run.

        Parameters
        ----------
        grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn
            As in FedAvg; ``timeout`` in seconds, of a round's training and of its evaluation.
        callbacks : sequence of callable
            Called after every round with its row of the history and the model, in order.
        resume_from : path-like, optional
            A checkpoint, or a ``checkpoint_dir`` with one, to go on from; ``num_rounds`` counts the
            rounds before it too. Its model takes the place of ``initial_arrays``, which say what
            the model looks like.

        Returns
        -------
        Result
            As FedAvg's; ``arrays`` is the last model, also if no reply was ever accepted. Metrics
            are those of the rounds that were run now.

        Raises
        ------
        CheckpointError
            If ``resume_from`` cannot be read, or was written by a run with other settings.
        """
        layout = self.policy.layout(initial_arrays)
        self._begin(layout, timeout)
        if resume_from is not None:
            initial_arrays = self._resume(resume_from, layout, num_rounds)
        elif num_rounds > 0:
            self._set_aside(after=None, epoch=None)

        # Flower calls this before the first round and after each one, when training and
        # evaluation are done: the only hook that its loop has.
        def after_round(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            if server_round == 0 and self._done:
                return None  # the model that a run goes on from was evaluated before
            number = server_round + self._done
            evaluation = evaluate_fn(number, arrays) if evaluate_fn else None
            if self._round is not None and server_round > 0:
                seconds = time.perf_counter() - self._round.started
                self.history[-1] = replace(
                    self.history[-1], evaluation=dict(evaluation or {}), wall_seconds=seconds
                )
                for callback in callbacks:
                    callback(self.history[-1], arrays)
                # Last: who writes down rows has all of those that the checkpoint has.
                self._keep(number, arrays)
            return evaluation

        left = max(num_rounds - self._done, 0)
        with seldom_searched(layout.size):
            result = super().start(
                grid, initial_arrays, left, timeout, train_config, evaluate_config, after_round
            )
        if not result.arrays:
            result.arrays = initial_arrays
        return _renumbered(result, self._done)

    def own_snapshot(self) -> Snapshot:
        """Return what a strategy of its own remembers, for a checkpoint."""
        return Snapshot()

    def own_settings(self) -> Mapping[str, object]:
        """Return the settings of a strategy of its own with which alone a run may go on."""
        return {}

    def restore_own(self, snapshot: Snapshot) -> None:
        """Take what :meth:`own_snapshot` has returned."""

    def _begin(self, layout: Layout, timeout: float) -> None:
        """Forget an earlier run."""
        self.history, self.ledger, self._timeout, self._done = [], None, timeout, 0
        self.patience = Patience()
        self.model.restart()
        self._rules.norms.restart()
        self._settled = None
        self._settle(layout)

    def _keep(self, server_round: int, arrays: ArrayRecord) -> None:
        """Write a checkpoint if one is due, and let mirrors on disk write down what they hold."""
        ledger = self.ledger
        if ledger is None or not self.checkpoints.due(server_round):
            return
        parts = {
            IDENTITY: self._identity(ledger.layout),
            MODEL: of_arrays(arrays),
            HISTORY: of_history(server_round, self.history),
            "ledger": ledger.snapshot(),
            "estimate": ledger.estimate.snapshot(),
            "server": self.model.snapshot(),
            "steps": self.steps.snapshot(),
            "patience": self.patience.snapshot(),
            "own": self.own_snapshot(),
        }
        self.checkpoints.write(server_round, join(parts))
        self._journal.kept(server_round)
        ledger.estimate.settle()

    def _set_aside(self, after: Path | None, epoch: bytes | None) -> None:
        """Move away what other runs have left in the folder, before the first round of this one.

        Mirrors first: without a checkpoint beside them they would be removed.
        """
        foreign = self.checkpoints.foreign(after)
        if not foreign:
            return
        place = self.checkpoints.place_aside()
        self._mirroring.set_aside(place, epoch)
        for path in foreign:
            path.rename(place / path.name)
        log(
            WARNING,
            "%s had checkpoints that this run does not go on from, the last one after round %d; "
            "they are in %s now, which can be given as checkpoint_dir and resume_from",
            self.checkpoints.folder,
            round_of(foreign[-1]),
            place,
        )

    def _resume(self, place: str | Path, layout: Layout, num_rounds: int) -> ArrayRecord:
        """Take the state of a checkpoint and return its model."""
        found = resume(place, self._identity(layout))
        if num_rounds > found.round:
            self._set_aside(found.path, found.epoch)
        part = found.snapshot.within
        self.ledger = ledger = self._new_ledger(found.epoch, layout)
        ledger.restore(part("ledger"))
        try:
            ledger.estimate.restore(part("estimate"))
        except NoMirrorError as error:
            log(WARNING, "the log starts anew: %s", error)
            ledger.broken = True
        self.model.restore(part("server"), layout, found.arrays)
        self.steps.restore(part("steps"))
        self.patience.restore(part("patience"))
        self.restore_own(part("own"))
        self.history, self._done = list(found.history), found.round
        self._journal.resumed(ledger, found.round)
        log(INFO, "Going on after round %d, from %s", found.round, found.path)
        return found.arrays

    def _identity(self, layout: Layout) -> Snapshot:
        steps, probabilities = self.steps, self.shares.probabilities
        known = steps.constants if steps.uses_constants or self.budget is not None else None
        settings = {
            "strategy": type(self).__name__,
            "method": self.method,
            "compressor": self.compressor,
            "server": self.model.server,
            "downlink": self.model.downlink,
            "step_size": steps.rule,
            # What does not count in this run may change.
            "stochastic": steps.noisy if steps.rule == "auto" else UNUSED,
            "constants": UNUSED if known is None else told_constants(known),
            "budget": self.budget,
            "fraction_train": self.fraction_train,
            "probabilities": UNUSED if probabilities is None else told(probabilities),
            "scope": self.policy.scope,
            "exact_below": self.policy.exact_below,
            "layers": self.policy.text,
            "ratio_warmup": self.ratio_warmup,
            "signal": self.signal,
            "seed": self.seed,
            "mirror": self._mirroring.kind,
        }
        return identity(layout, {**settings, **self.own_settings()})


def _checked_warmup(rounds: object, compressor: Compressor) -> int:
    if not isinstance(rounds, Integral) or isinstance(rounds, bool) or not 0 <= int(rounds) < 2**31:
        raise ValueError(f"ratio_warmup={rounds!r} is not a whole number of rounds from 0 up")
    if rounds and compressor.widened(0.5) == compressor:
        raise ValueError(
            f"ratio_warmup={rounds} needs a compressor with a ratio, such as topk:0.01, "
            f"and {compressor} has none"
        )
    return int(rounds)


def _checked_seed(seed: object) -> int:
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63:
        raise ValueError(f"seed={seed!r} is not a whole number in [0, 2^63)")
    return int(seed)


def _checked_count(min_replies: object) -> int:
    if not isinstance(min_replies, Integral) or int(min_replies) < 1:
        raise ValueError(f"min_replies={min_replies!r} is not a number of replies from 1 up")
    return int(min_replies)


def _renumbered(result: Result, done: int) -> Result:
    """Return a result whose metrics stand under the rounds' own numbers."""
    for metrics in (
        result.train_metrics_clientapp,
        result.evaluate_metrics_clientapp,
        result.evaluate_metrics_serverapp,
    ):
        shifted = {number + done: record for number, record in metrics.items()}
        metrics.clear()
        metrics.update(shifted)
    return result
