"""The log between server and clients: equal on both sides, whatever gets lost on the way."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.message.message import make_message
from quadratic_federation import (
    CLIENTS,
    DIMENSION,
    quadratic_app,
    run,
    squared_gradient_norm,
    strategy,
)

from fl_ef21 import EF21, methods
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.engine.faults import FaultSchedule, FaultyGrid
from fl_ef21.flower.client.log import ClientLog

FAULTS = {
    "lost request": (0.2, ["lose-request"]),
    "lost reply": (0.2, ["lose-reply"]),
    "repeated reply": (0.1, ["repeat-reply"]),
    "damaged reply": (0.2, ["damage-reply"]),
    "lost state": (0.05, ["lose-state"]),
    "all": (0.3, ["lose-request", "lose-reply", "damage-reply", "lose-state"]),
}


def check_invariants(ef21: EF21, grid: InProcessGrid) -> int:
    """I1: the estimate is Σ pᵢ ĝᵢ. I2: every client can still reach just the ĝᵢ of the server.

    Returns how many clients were compared.
    """
    contributions = ef21.ledger.estimate.contributions()
    if not contributions:
        return 0
    compared = 0
    total = sum(weight for weight, _ in contributions.values())
    expected = sum(weight * vector for weight, vector in contributions.values()) / total
    np.testing.assert_allclose(ef21.ledger.estimate.mean(), expected, rtol=1e-12, atol=1e-13)
    for node_id, context in grid.contexts.items():
        log = ClientLog.load(context.state)
        client = ef21.ledger.client_of(node_id)
        if log is None or client is None:
            continue
        agreed = log.acknowledge(ef21.ledger.ack(node_id), methods.EF21("compressed"), DIMENSION)
        if agreed is not None:
            held = contributions[client][1]
            assert agreed.state["estimate"].tobytes() == held.tobytes()
            compared += 1
    return compared


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_faults_leave_both_sides_equal_and_the_floor_in_reach(faults):
    rounds, (rate, kinds) = 440, faults
    schedule = FaultSchedule.from_seed(
        3, clients=CLIENTS, exchanges=rounds // 2, rate=rate, crash_rate=0, kinds=kinds
    )
    grid = FaultyGrid(quadratic_app(), partition_configs(CLIENTS), schedule)
    ef21, compared = strategy(), []
    x = run(grid, rounds, ef21, [lambda *_: compared.append(check_invariants(ef21, grid))])
    assert sum(grid.injected.values()) > 20
    assert sum(compared) > 0.7 * rounds * CLIENTS
    # Only lost state makes a client join again: everything else costs one message, not the log.
    applied = sum(row.clients for row in ef21.history)
    logged = sum(ack.seq for ack in ef21.ledger.joined().values())
    assert logged < applied if "lose-state" in kinds else logged == applied
    assert squared_gradient_norm(x) < 1e-24
    rejections = sum(row.rejections for row in ef21.history)
    # A bit of the two norms that stand beside the payload changes nothing but a column.
    harmless = grid.injected["damage-reply"] // 3
    expected = 2 * grid.injected["repeat-reply"] + grid.injected["damage-reply"]
    assert expected - harmless <= rejections <= expected


def test_without_faults_the_floor_is_reached():
    ef21 = strategy()
    x = run(InProcessGrid(quadratic_app(), partition_configs(CLIENTS)), 300, ef21)
    assert squared_gradient_norm(x) < 1e-24
    assert [row.clients for row in ef21.history] == [CLIENTS] * 300


def test_a_client_that_commits_when_it_sends_is_noticed():
    """The naive protocol, made by acknowledging whatever was sent."""

    class NaiveGrid(FaultyGrid):
        def deliver(self, message):
            context = self.contexts[message.metadata.dst_node_id]
            log = ClientLog.load(context.state)
            if log is not None and log.pending is not None:
                instruction = message.content["fl_ef21"]
                instruction["seq"] = log.pending.position.seq
                instruction["digest"] = log.pending.position.digest
            return super().deliver(message)

    schedule = FaultSchedule.from_seed(
        1, clients=CLIENTS, exchanges=40, rate=0.05, crash_rate=0, kinds=["lose-reply"]
    )
    grid = NaiveGrid(quadratic_app(), partition_configs(CLIENTS), schedule)
    ef21 = strategy()
    run(grid, 300, ef21)
    # The log notices: from the first lost reply on, nothing of that client fits any more.
    assert sum(row.rejections for row in ef21.history) > 100


def test_a_first_message_does_not_pass_for_a_later_one():
    """What a client that joins has sent, sent again in answer to a later instruction."""

    class ReplayingGrid(InProcessGrid):
        first = None

        def deliver(self, message):
            reply = super().deliver(message)
            if message.metadata.dst_node_id != min(self.contexts):
                return reply
            self.first = self.first or reply
            return make_message(reply.metadata, self.first.content)

    ef21 = strategy()
    run(ReplayingGrid(quadratic_app(), partition_configs(CLIENTS)), 5, ef21)
    assert [row.rejections for row in ef21.history] == [0, 1, 1, 1, 1]
    assert "does not follow" in ef21.history[1].reasons[0]


@pytest.mark.parametrize("rollback", [True, False])
def test_exceptions_in_the_app_are_failures_of_the_client_alone(rollback):
    fails = np.random.default_rng(0)

    def raise_when(context):
        context.state["mine"] = MetricRecord({"calls": 1})
        return fails.random() < 0.2

    grid = InProcessGrid(quadratic_app(raise_when), partition_configs(CLIENTS), rollback=rollback)
    ef21 = strategy()
    x = run(grid, 400, ef21, [lambda *_: check_invariants(ef21, grid)])
    assert sum(row.failures for row in ef21.history) > 200
    assert "out of battery" in next(r for row in ef21.history for r in row.reasons)
    assert squared_gradient_norm(x) < 1e-24


def test_an_exception_leaves_the_state_as_it_was():
    calls = []

    def raise_when(context):
        calls.append(context.node_id)
        context.state["mine"] = MetricRecord({"calls": len(calls)})
        return len(calls) > CLIENTS

    grid = InProcessGrid(quadratic_app(raise_when), partition_configs(CLIENTS), rollback=False)
    ef21 = strategy()
    run(grid, 1, ef21)
    before = {node: context.state["mine"]["calls"] for node, context in grid.contexts.items()}
    # The same run goes on: a new start would be a new epoch.
    arrays = ArrayRecord({"x": Array(np.ones(DIMENSION))})
    messages = ef21.configure_train(2, arrays, ConfigRecord(), grid)
    replies = grid.send_and_receive(messages)
    assert all(reply.has_error() for reply in replies)
    assert before == {n: context.state["mine"]["calls"] for n, context in grid.contexts.items()}


def test_replies_may_arrive_in_any_order():
    class ShuffledGrid(InProcessGrid):
        def send_and_receive(self, messages, *, timeout=None):
            return super().send_and_receive(messages, timeout=timeout)[::-1]

    plain = run(InProcessGrid(quadratic_app(), partition_configs(CLIENTS)), 50, strategy())
    shuffled = run(ShuffledGrid(quadratic_app(), partition_configs(CLIENTS)), 50, strategy())
    assert plain.tobytes() == shuffled.tobytes()


def test_a_new_run_starts_a_new_epoch_on_the_same_clients():
    grid = InProcessGrid(quadratic_app(), partition_configs(CLIENTS))
    ef21 = strategy()
    first = run(grid, 30, ef21)
    again = run(grid, 30, ef21)
    assert first.tobytes() == again.tobytes()
    assert len(ef21.history) == 30


def test_sampled_clients_are_those_of_the_seed_and_silent_ones_count():
    def sampled(seed: int) -> tuple[bytes, list[int]]:
        grid = InProcessGrid(quadratic_app(), partition_configs(CLIENTS))
        ef21 = strategy(fraction_train=0.4, seed=seed)
        x = run(grid, 60, ef21, [lambda *_: check_invariants(ef21, grid)])
        return x.tobytes(), [row.clients for row in ef21.history]

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    assert sampled(1)[1] == [2] * 60


def test_partial_participation_reaches_the_floor():
    grid = InProcessGrid(quadratic_app(), partition_configs(CLIENTS))
    x = run(grid, 800, strategy(fraction_train=0.4))
    assert squared_gradient_norm(x) < 1e-20


@pytest.mark.parametrize("keeps_state", [True, False])
def test_a_client_that_comes_back_as_another_node_is_the_same_client(keeps_state):
    grid = InProcessGrid(quadratic_app(), partition_configs(CLIENTS))
    ef21 = strategy()

    def restart(row, _):
        check_invariants(ef21, grid)
        if row.round % 10 == 0 and row.round <= 100:
            node_id = min(grid.contexts)
            context = grid.contexts.pop(node_id)
            context.node_id = max(grid.contexts) + 1
            if not keeps_state:
                context.state = RecordDict()
            grid.contexts[context.node_id] = context

    x = run(grid, 400, ef21, [restart])
    assert len(ef21.ledger.joined()) == CLIENTS
    assert [row.clients for row in ef21.history] == [CLIENTS] * 400
    assert squared_gradient_norm(x) < 1e-24


def test_weights_that_jump_do_not_stay_in_the_sum():
    """A huge term takes the digits of the others along when it leaves the sum."""
    rng = np.random.default_rng(0)

    class SpikeGrid(InProcessGrid):
        def deliver(self, message):
            reply = super().deliver(message)
            if message.content["config"]["server-round"] < 100:
                examples = 2**40 if rng.random() < 0.1 else int(rng.integers(1, 50))
                reply.content["metrics"] = MetricRecord({"num-examples": examples})
            return reply

    grid = SpikeGrid(quadratic_app(), partition_configs(CLIENTS))
    ef21 = strategy()
    x = run(grid, 500, ef21, [lambda *_: check_invariants(ef21, grid)])
    assert [row.rejections for row in ef21.history] == [0] * 500
    assert squared_gradient_norm(x) < 1e-24


def test_damaged_state_makes_a_client_join_again():
    grid = InProcessGrid(quadratic_app(), partition_configs(CLIENTS))
    ef21 = strategy()

    def damage_one(row, _):
        state = grid.contexts[min(grid.contexts)].state
        if row.round == 5:
            message = bytearray(state["fl_ef21"]["pending-message"])
            message[7] ^= 1
            state["fl_ef21"]["pending-message"] = bytes(message)
        elif row.round == 9:
            state["fl_ef21.vectors"] = ArrayRecord()

    x = run(grid, 400, ef21, [lambda *_: check_invariants(ef21, grid), damage_one])
    assert [row.clients for row in ef21.history] == [CLIENTS] * 400
    assert squared_gradient_norm(x) < 1e-24
