"""Hostile replies: nothing that breaks the protocol is accepted, and nothing ends a run."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest

from fl_ef21.engine import InProcessGrid
from fl_ef21.engine.faults.cases import AUTOMATIC, CASES, Quadratics
from fl_ef21.engine.faults.hostile import mutants
from fl_ef21.engine.faults.mutations import MUTATIONS
from fl_ef21.engine.faults.siege import besiege
from fl_ef21.engine.faults.target import Target
from fl_ef21.flower.protocol import origin, reply_of
from fl_ef21.flower.server.ledger import Ledger

# Losses and norms that are finite and huge overflow in the columns of the history.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

FOLLOWING = {
    "bits flipped",
    "odd norms",
    "signed: bits flipped",
    "signed: huge lengths",
    "signed: random bytes",
    "signed: other kind",
    "odd loss",
    "config too many",
    "untrue shape",
}
"""Mutations that may leave a reply which follows the protocol and keeps all limits."""


@pytest.mark.parametrize("case", [*CASES.values(), AUTOMATIC], ids=lambda case: case.name)
def test_a_siege_is_held(case, caplog):
    caplog.set_level("CRITICAL", logger="flwr")
    siege = besiege(case, seed=1)
    assert siege.held, [*siege.breaches, *siege.crashes, *siege.moves][:5]
    assert siege.offered.keys() == MUTATIONS.keys()
    assert set(+siege.accepted) <= FOLLOWING


def test_what_follows_the_protocol_is_accepted():
    siege = sum((besiege(CASES["ef21"], seed).accepted for seed in range(3)), Counter())
    assert siege["config too many"] == siege["untrue shape"] == siege["odd loss"] > 0
    assert siege["signed: bits flipped"] > 0


def test_lengths_that_are_not_true_cost_no_memory():
    case = CASES["ef21"]
    besiege(case, seed=0)  # what is imported and cached on the way
    tracemalloc.start()
    try:
        besiege(case, seed=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4e6


def test_one_hostile_client_costs_its_own_messages_only():
    """While it lasts nothing of that client counts; the others go on, and in the end all do."""
    problem, rng = Quadratics(steady=True), np.random.default_rng(0)
    hostile_rounds, kinds = 40, sorted(set(MUTATIONS) - FOLLOWING)

    class HostileGrid(InProcessGrid):
        replies = ()
        number = 0

        def deliver(self, message):
            reply = super().deliver(message)
            if message.metadata.dst_node_id != min(self.contexts):
                self.replies = [*self.replies[-9:], reply]
                return reply
            self.number += 1
            if not 1 < self.number <= hostile_rounds:
                return reply
            told = message.content["fl_ef21"]
            about, _ = reply_of(reply.content["arrays"])
            first = origin(told["epoch"], about.client, told["round"])
            last = told.get("digest") or first
            target = Target(
                reply,
                last,
                told["epoch"],
                told["round"],
                10,
                np.dtype(float),
                self.replies,
                8,
            )
            wanted = kinds[self.number % len(kinds)]
            return next(m.reply for m in mutants(target, rng) if m.kind == wanted)

    grid = HostileGrid(problem.app(lambda: False), problem.configs())
    strategy = CASES["ef21"].strategy(seed=0)
    models = []
    strategy.start(
        grid,
        problem.arrays(np.zeros(10)),
        num_rounds=hostile_rounds + 40,
        callbacks=[lambda _, arrays: models.append(problem.vector(arrays))],
    )
    assert [row.clients for row in strategy.history] == [
        4,
        *[3] * (hostile_rounds - 1),
        *[4] * 40,
    ]
    assert problem.gap(problem.arrays(models[-1])) < 1e-24
    assert np.abs(models).max() < 10


def test_a_siege_finds_a_server_that_believes_everything(monkeypatch):
    monkeypatch.setattr(Ledger, "require_next", lambda *_: False)
    siege = besiege(CASES["ef21"], seed=1)
    assert {text.split(": ", 1)[1] for text in siege.breaches} >= {
        "forged digest",
        "forged number",
        "another's payload",
    }
