"""Offers hostile replies to a strategy in the middle of a run, and sees what it makes of them."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message

from fl_ef21.engine.faults.hostile import Mutant, mutants
from fl_ef21.engine.faults.simulator import Case
from fl_ef21.engine.faults.target import Target
from fl_ef21.engine.in_process import InProcessGrid
from fl_ef21.flower.protocol import origin, reply_of
from fl_ef21.flower.server.patience import Patience
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy
from fl_ef21.methods import Snapshot
from fl_ef21.methods.snapshot import join

ROUNDS: Final = 3
"""Rounds of one siege; hostile replies come in all but the first."""


@dataclass
class Siege:
    """What came of hostile replies.

    Attributes
    ----------
    offered, accepted : Counter
        Replies by kind of mutation, and those of them that were accepted.
    breaches : list of str
        Replies that were accepted although they do not follow the protocol.
    crashes : list of str
        Replies that ended the round by an exception.
    moves : list of str
        Replies that changed something although they were refused, or made the model not finite.
    """

    offered: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether nothing got through."""
        return not (self.breaches or self.crashes or self.moves)


def besiege(case: Case, seed: int, each: int = 1) -> Siege:
    """Run a case for some rounds and offer mutants of every reply, one at a time.

    Parameters
    ----------
    case : Case
        What runs, without faults.
    seed : int
        Decides all mutants.
    each : int
        Mutants of every kind for each reply.
    """
    with TemporaryDirectory(prefix="fl-ef21-siege-") as folder:
        return _Besieged(case, seed, Path(folder)).run(each)


class _Besieged:
    """One run; mutable."""

    def __init__(self, case: Case, seed: int, folder: Path) -> None:
        self.rng, self.seed, self.case = np.random.default_rng(seed), seed, case
        self.strategy: ErrorFeedbackStrategy = case.strategy(seed=seed)
        self.grid = InProcessGrid(case.app(lambda: True), case.node_configs(folder))
        self.arrays, self.siege, self.honest_rounds = case.arrays(), Siege(), 0
        self.earlier: list[Message] = []
        self.digests: dict[str, bytes] = {}

    def run(self, each: int) -> Siege:
        """Alternate honest rounds with hostile replies."""
        for number in range(1, ROUNDS + 1):
            instructions = list(
                self.strategy.configure_train(number, self.arrays, ConfigRecord(), self.grid)
            )
            replies = self.grid.send_and_receive(instructions)
            if number > 1:
                for reply in replies:
                    for mutant in mutants(self._target(reply, replies, number), self.rng, each):
                        self._offer(number, mutant)
            self._honest(number, replies)
        return self.siege

    def _target(self, reply: Message, replies: list[Message], number: int) -> Target:
        ledger = self.strategy.ledger
        assert ledger is not None
        about, _ = reply_of(reply.content.array_records["arrays"])
        last = self.digests.get(about.client, b"")
        if about.seq == 1:
            last = origin(ledger.epoch, about.client, number)
        return Target(
            reply,
            last,
            ledger.epoch,
            number,
            ledger.layout.size,
            ledger.layout.dtype,
            [*self.earlier, *(other for other in replies if other is not reply)],
            ledger.layout.exact_nbytes,
            self.strategy.uses_supports,
        )

    def _offer(self, number: int, mutant: Mutant) -> None:
        """Let the strategy aggregate one hostile reply, and put it back where it was."""
        siege, before = self.siege, self._state()
        name = f"seed {self.seed}, {self.case.name}, round {number}: {mutant.kind}"
        siege.offered[mutant.kind] += 1
        try:
            arrays, _ = self.strategy.aggregate_train(number, [mutant.reply])
            accepted = self.strategy.history[-1].clients
        # Whatever it raises would have ended the run.
        except Exception as error:
            siege.crashes.append(f"{name}: {type(error).__name__}: {error}")
            self._restore(before)
            return
        siege.accepted[mutant.kind] += accepted
        if accepted and not mutant.follows_protocol:
            siege.breaches.append(name)
        if arrays is not None and not _finite(arrays):
            siege.moves.append(f"{name}: the model is not finite")
        if not accepted and (arrays is not None or not _same(self._state(), before)):
            siege.moves.append(f"{name}: it was refused, and something has changed")
        self._restore(before)

    def _state(self) -> Snapshot:
        """Copy what a reply may change."""
        strategy = self.strategy
        assert strategy.ledger is not None
        parts = {
            "ledger": strategy.ledger.snapshot(),
            "estimate": strategy.ledger.estimate.snapshot(),
            "server": strategy.model.snapshot(),
            "steps": strategy.steps.snapshot(),
        }
        return deepcopy(join(parts))

    def _restore(self, before: Snapshot) -> None:
        strategy = self.strategy
        assert strategy.ledger is not None
        strategy.ledger.restore(before.within("ledger"))
        strategy.ledger.estimate.restore(before.within("estimate"))
        strategy.model.restore(before.within("server"), strategy.ledger.layout, self.arrays)
        strategy.steps.restore(before.within("steps"))
        strategy.patience = Patience()
        del strategy.history[self.honest_rounds :]

    def _honest(self, number: int, replies: list[Message]) -> None:
        new, _ = self.strategy.aggregate_train(number, replies)
        assert new is not None
        self.arrays, self.honest_rounds = new, number
        for reply in replies:
            about, _ = reply_of(reply.content.array_records["arrays"])
            self.digests[about.client] = about.digest
        self.earlier += replies


def _same(one: Snapshot, other: Snapshot) -> bool:
    """Compare what was folded and which messages count: not what else a round has noted."""
    parts = [(one.within(name), other.within(name)) for name in ("ledger", "estimate")]
    return all(
        repr(mine.values) == repr(its.values)
        and mine.arrays.keys() == its.arrays.keys()
        and all(mine.arrays[key].tobytes() == its.arrays[key].tobytes() for key in mine.arrays)
        for mine, its in parts
    )


def _finite(arrays: ArrayRecord) -> bool:
    return all(np.isfinite(array.numpy()).all() for array in arrays.values())
