"""Hostile replies: nothing that breaks the protocol is accepted, and nothing ends a run."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from echo import echo_app
from flwr.app import Array, ArrayRecord
from tampering import with_blob

from fl_ef21 import EF21
from fl_ef21.compressors import Dense, LowRankMessage, Parts, from_text
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.engine.faults.cases import AUTOMATIC, CASES, Quadratics
from fl_ef21.engine.faults.hostile import mutants
from fl_ef21.engine.faults.mutations import MUTATIONS
from fl_ef21.engine.faults.siege import besiege
from fl_ef21.engine.faults.target import Target
from fl_ef21.flower.protocol import Reply, chain, origin, reply_of
from fl_ef21.flower.server.ledger import Ledger
from fl_ef21.wire import encode

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


class Sending(InProcessGrid):
    """One node follows the protocol and sends a message of another kind."""

    def __init__(self, app, message):
        super().__init__(app, partition_configs(3))
        self.data = encode(message)

    def deliver(self, message):
        reply = super().deliver(message)
        if message.metadata.dst_node_id != min(self.contexts):
            return reply
        told = message.content["fl_ef21"]
        about, _ = reply_of(reply.content["arrays"])
        last = told["digest"] or origin(told["epoch"], about.client, told["round"])
        claim = Reply(about.client, told["seq"] + 1, chain(last, self.data))
        return with_blob(reply, claim.pack(self.data))


WIDTH = 60
WHOLE = Dense(np.random.default_rng(0).normal(size=WIDTH**2).astype(np.float32))
MANY = Parts(tuple(Dense(np.ones(1, np.float32)) for _ in range(WIDTH**2)))


def of_rank(rank):
    side = np.ones((WIDTH, rank), np.float32)
    return LowRankMessage(WIDTH**2, side, side)


@pytest.mark.parametrize(
    ("compressor", "initialisation", "message", "accepted", "reason"),
    [
        ("topk:5", "compressed", of_rank(60), [2, 2, 2], "is longer than any that was asked for"),
        ("topk:5", "compressed", of_rank(1), [2, 2, 2], "rank 1 is above 0"),
        ("topk:5", "compressed", WHOLE, [2, 2, 2], "is longer than any that was asked for"),
        # A whole vector is due where a client joins, and not after that.
        ("topk:5", "full", WHOLE, [3, 2, 2], "is longer than any that was asked for"),
        ("topk:5", "full", of_rank(60), [2, 2, 2], "rank 60 is above 0"),
        ("identity", "compressed", of_rank(60), [2, 2, 2], "rank 60 is above 0"),
        ("identity", "compressed", MANY, [2, 2, 2], "3600 parts are more than 0"),
        ("lowrank:2", "compressed", of_rank(3), [2, 2, 2], "rank 3 is above 2"),
        ("lowrank:2", "compressed", of_rank(2), [3, 3, 3], ""),
    ],
)
def test_messages_that_the_compressor_cannot_make_are_refused(
    compressor, initialisation, message, accepted, reason
):
    strategy = EF21(
        from_text(compressor),
        0.1,
        signal="gradient",
        initialisation=initialisation,
        fraction_evaluate=0.0,
    )
    arrays = ArrayRecord({"x": Array(np.zeros((WIDTH, WIDTH), np.float32))})
    strategy.start(Sending(echo_app(), message), arrays, num_rounds=3)
    assert [row.clients for row in strategy.history] == accepted
    reasons = [text for row in strategy.history for text in row.reasons]
    assert len(reasons) == 9 - sum(accepted)
    assert all(reason in text for text in reasons)


def test_a_siege_finds_a_server_that_believes_everything(monkeypatch):
    monkeypatch.setattr(Ledger, "require_next", lambda *_: False)
    siege = besiege(CASES["ef21"], seed=1)
    assert {text.split(": ", 1)[1] for text in siege.breaches} >= {
        "forged digest",
        "forged number",
        "another's payload",
    }
