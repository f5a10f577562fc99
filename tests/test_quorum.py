"""Rounds with too few replies, nodes that fall silent, and messages that are too large."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord
from flwr.common.constant import ErrorCode
from quadratic_federation import (
    CLIENTS,
    DIMENSION,
    quadratic_app,
    run,
    squared_gradient_norm,
    strategy,
)
from tampering import with_blob

from fl_ef21 import EF14, EF21W, EF21Plus, TopK
from fl_ef21.compressors import Dense
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.protocol import ProtocolError, chain, reply_of
from fl_ef21.flower.protocol.records import filled
from fl_ef21.flower.server.patience import LONGEST_PAUSE, Patience
from fl_ef21.flower.server.strategy import TIMEOUT
from fl_ef21.wire import encode


class SilentGrid(InProcessGrid):
    """Nodes that do not answer, by their place, in rounds that are said; it notes who is asked."""

    def __init__(self, silent, change=lambda place, number, reply: reply):
        super().__init__(quadratic_app(), partition_configs(CLIENTS))
        self.silent, self.change, self.asked = silent, change, []

    def deliver(self, message):
        place = message.metadata.dst_node_id - min(self.contexts)
        number = message.content["fl_ef21"]["round"]
        self.asked.append((number, place))
        if self.silent(place, number):
            return None
        return self.change(place, number, super().deliver(message))


def test_a_round_with_too_few_replies_keeps_the_model_but_not_the_log(caplog):
    models = []
    ef21 = strategy(min_replies=3)
    grid = SilentGrid(lambda place, number: number in (3, 4) and place > 1)
    run(grid, 6, ef21, [lambda row, arrays: models.append(arrays["x"].numpy().tobytes())])
    assert [models[i] == models[i - 1] for i in range(1, 6)] == [False, True, True, True, False]
    # Who was silent twice is left out of one round.
    assert [row.clients for row in ef21.history] == [5, 5, 2, 2, 2, 5]
    assert "2 replies were accepted, and 3 are needed" in caplog.text
    # EF21 remembers: what was accepted counts in the next step.
    assert ef21.ledger.joined()["partition-id=0"].seq == 6


def test_methods_that_forget_a_round_keep_what_clients_have_said():
    """EF14's step would be lost: it is not acknowledged, and so it is sent again."""
    common = {"step_size": 0.05, "signal": "gradient", "fraction_evaluate": 0.0}
    ef14 = EF14(TopK(2), min_replies=3, **common)
    grid = SilentGrid(lambda place, number: number == 3 and place > 1)
    x = run(grid, 9, ef14)
    assert ef14.history[2].clients == 0
    assert "fewer than 3 replies" in ef14.history[2].reasons[0]
    plain = EF14(TopK(2), **common)
    # As if the round had not been.
    assert x.tobytes() == run(SilentGrid(lambda *_: False), 8, plain).tobytes()


class MuteGrid(SilentGrid):
    """Roll calls that some nodes do not answer, from a round on; it counts them."""

    def __init__(self, mute, since=0):
        super().__init__(lambda place, number: False)
        self.mute, self.since, self.calls = mute, since, 0

    def deliver(self, message):
        place = message.metadata.dst_node_id - min(self.contexts)
        asked = message.content["fl_ef21"]
        if "roll-call" in asked and place in self.mute and asked["round"] >= self.since:
            self.calls += 1
            return None
        return super().deliver(message)


def test_a_round_that_can_ask_nobody_keeps_the_model(tmp_path):
    """As if the estimate were all: the clients' new nodes say nothing, not even who they are."""
    models = []

    def note(row, arrays):
        models.append(arrays["x"].numpy().tobytes())

    common = {"fraction_train": 0.6, "checkpoint_dir": tmp_path}
    run(MuteGrid(()), 3, strategy(**common), [note])
    grid = MuteGrid(range(CLIENTS))
    grid.contexts = {node + CLIENTS: context for node, context in grid.contexts.items()}
    arrays = ArrayRecord({"x": Array(np.zeros(DIMENSION))})
    again = strategy(**common)
    again.start(grid, arrays, num_rounds=6, callbacks=[note], resume_from=tmp_path)
    assert [row.instructed for row in again.history[3:]] == [0, 0, 0]
    assert len(set(models[2:])) == 1
    assert again.history[-1].failures == CLIENTS


@pytest.mark.parametrize("seed", range(3))
def test_a_round_that_draws_nobody_by_chance_steps_on(seed):
    """EF21-PP averages all clients, whoever was drawn."""
    models = []
    grid = SilentGrid(lambda place, number: False)
    ef21 = strategy(probabilities=[0.15] * CLIENTS, seed=seed)
    run(grid, 20, ef21, [lambda row, arrays: models.append(arrays["x"].numpy().tobytes())])
    first = next(i for i, row in enumerate(ef21.history) if row.clients)
    drawn = [row.instructed for row in ef21.history]
    assert 0 in drawn[first + 1 :]
    assert len(set(models[first:])) == len(models[first:])


def test_who_does_not_answer_the_roll_call_is_asked_ever_more_seldom():
    grid = MuteGrid([2])
    run(grid, 40, strategy(fraction_train=0.5))
    assert grid.calls == 7


def test_an_error_of_a_newcomer_ends_no_run():
    """Clients that are known, and not asked because they are silent, do run the mod."""

    class Grid(SilentGrid):
        def get_node_ids(self):
            nodes = list(self.contexts)
            return nodes if self.asked and self.asked[-1][0] > 2 else nodes[:-1]

        def deliver(self, message):
            if message.metadata.dst_node_id == max(self.contexts):
                return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "no"), reply_to=message)
            return super().deliver(message)

    options = {"step_size": 0.05, "signal": "gradient", "fraction_evaluate": 0.0}
    grid = Grid(lambda place, number: 3 <= number < 12)
    ef21 = EF21W(TopK(2), smoothness=[2.0] * CLIENTS, **options)
    run(grid, 20, ef21)
    assert [row.clients for row in ef21.history][-1] == CLIENTS - 1
    assert ef21.history[-1].reasons[0].endswith("no")


@pytest.mark.parametrize("count", [0, -1, 1.5, "2"])
def test_a_quorum_is_a_number_of_replies(count):
    with pytest.raises(ValueError, match="min_replies="):
        strategy(min_replies=count)


def test_who_does_not_answer_is_asked_ever_more_seldom_and_comes_back(caplog):
    grid = SilentGrid(lambda place, number: place == 2 and number <= 20)
    ef21 = strategy()
    x = run(grid, 330, ef21)
    asked = [number for number, place in grid.asked if place == 2]
    assert asked[:5] == [1, 2, 4, 7, 12]
    assert asked[5:8] == [21, 22, 23]
    assert all((number, place) in grid.asked for number in range(1, 40) for place in (0, 1, 3, 4))
    assert "has not answered 2 times in a row; it is asked again in round 4" in caplog.text
    assert squared_gradient_norm(x) < 1e-20


def test_if_nobody_answers_everybody_is_asked():
    grid = SilentGrid(lambda place, number: True)
    run(grid, 4, strategy())
    assert len(grid.asked) == 4 * CLIENTS


def test_an_error_is_an_answer():
    patience = Patience()
    for number in range(1, 9):
        patience.note(number, asked=[7, 8], answered={7})
    assert patience.asked(9, [7, 8]) == [7]
    assert patience.again[8] <= 9 + LONGEST_PAUSE + 1
    again = Patience()
    again.restore(patience.snapshot())
    assert again.asked(9, [7, 8]) == [7]


def test_a_round_does_not_wait_an_hour():
    waited = []

    class Grid(InProcessGrid):
        def send_and_receive(self, messages, *, timeout=None):
            waited.append(timeout)
            return super().send_and_receive(messages, timeout=timeout)

    run(Grid(quadratic_app(), partition_configs(CLIENTS)), 1, strategy())
    assert set(waited) == {TIMEOUT}
    assert TIMEOUT <= 900


def forged(ef21):
    """Replies of the first client from round 4 on, a million times too large, digest and all."""

    def change(place, number, reply):
        if place or number < 4:
            return reply
        about, _ = reply_of(reply.content["arrays"])
        last = ef21.ledger.joined()["partition-id=0"]
        huge = encode(Dense(np.full(DIMENSION, 1e6)))
        told = type(about)(about.client, last.seq + 1, chain(last.digest, huge), 1.0, 1.0)
        return with_blob(reply, told.pack(huge))

    return change


def test_a_message_that_is_too_large_for_its_client_is_refused():
    bounded, open_ = strategy(norm_bound=10.0), strategy()
    x = run(SilentGrid(lambda *_: False, forged(bounded)), 12, bounded)
    assert [row.rejections for row in bounded.history] == [0] * 3 + [1] * 9
    assert "more than norm_bound=10 times" in bounded.history[3].reasons[0]
    assert np.abs(x).max() < 10
    assert np.abs(run(SilentGrid(lambda *_: False, forged(open_)), 12, open_)).max() > 1e4


def test_honest_messages_stay_within_the_bound():
    bounded, plain = strategy(norm_bound=10.0), strategy()
    grid = SilentGrid(lambda *_: False)
    assert (
        run(grid, 50, bounded).tobytes() == run(SilentGrid(lambda *_: False), 50, plain).tobytes()
    )


def test_a_norm_bound_ends_with_its_run():
    bounded = strategy(norm_bound=10.0)
    run(SilentGrid(lambda *_: False), 3, bounded)
    far = ArrayRecord({"x": Array(np.full(DIMENSION, 1e4))})
    bounded.start(SilentGrid(lambda *_: False), far, num_rounds=3)
    assert [row.clients for row in bounded.history] == [CLIENTS] * 3


@pytest.mark.parametrize("bound", [1, 0.5, -3, float("inf"), float("nan"), "10"])
def test_a_norm_bound_is_above_one(bound):
    with pytest.raises(ValueError, match="norm_bound="):
        strategy(norm_bound=bound)


def test_a_weight_above_the_limit_is_refused():
    def claims(place, number, reply):
        if place == 1:
            reply.content["metrics"] = MetricRecord({"num-examples": 10**6, "loss": 1.0})
        return reply

    ef21 = strategy(max_weight=1000)
    run(SilentGrid(lambda *_: False, claims), 2, ef21)
    assert [row.clients for row in ef21.history] == [CLIENTS - 1] * 2
    assert "outside (0, 1000]" in ef21.history[0].reasons[0]
    with pytest.raises(ValueError, match="weight=0"):
        strategy(max_weight=0)


@pytest.mark.parametrize("mirror", ["ram", "disk", "off"])
def test_without_mirrors_a_client_that_joins_again_starts_a_new_epoch(mirror, caplog):
    grid = SilentGrid(lambda *_: False)
    epochs = []
    ef21 = strategy(mirror=mirror)

    def forget(row, arrays):
        epochs.append(ef21.ledger.epoch)
        if row.round == 5:
            grid.contexts[min(grid.contexts)].state.clear()

    x = run(grid, 330, ef21, [forget])
    lost = mirror == "off"
    assert len(set(epochs)) == 1 + lost
    assert ("round 7 starts the log anew" in caplog.text) == lost
    assert ef21.history[5].rejections == lost
    assert ef21.ledger.joined()["partition-id=3"].seq == (324 if lost else 330)
    assert squared_gradient_norm(x) < 1e-20


def test_mirrors_are_refused_where_they_cannot_be():
    with pytest.raises(ValueError, match="mirror='tape' is unknown; choose one of ram, disk, off"):
        strategy(mirror="tape")
    with pytest.raises(ValueError, match="needs the server's copies"):
        EF21Plus(TopK(2), mirror="off")


def test_one_client_without_a_loss_does_not_end_a_run_with_an_automatic_step():
    def mute(place, number, reply):
        told = {"num-examples": 10}
        if place == 1 and number > 2:
            reply.content["metrics"] = MetricRecord(told)
        if place == 2 and number > 4:
            reply.content["metrics"] = MetricRecord({**told, "loss": float("nan")})
        return reply

    ef21 = strategy(step_size="auto")
    x = run(SilentGrid(lambda *_: False, mute), 60, ef21)
    assert np.isfinite(x).all()
    assert [row.clients for row in ef21.history] == [CLIENTS] * 60
    assert squared_gradient_norm(x) < squared_gradient_norm(np.zeros(DIMENSION))


def test_an_automatic_step_without_any_loss_says_what_to_return():
    def mute(place, number, reply):
        reply.content["metrics"] = MetricRecord({"num-examples": 10})
        return reply

    with pytest.raises(ValueError, match="let the app return the metric 'loss'"):
        run(SilentGrid(lambda *_: False, mute), 3, strategy(step_size="auto"))


def test_a_node_whose_key_is_not_known_waits_where_clients_differ():
    common = {"step_size": 0.05, "signal": "gradient", "fraction_evaluate": 0.0}
    weighted = EF21W(TopK(2), smoothness=[2.0] * CLIENTS, **common)
    run(SilentGrid(lambda place, number: place == 0 and number == 1), 3, weighted)
    assert [row.instructed for row in weighted.history] == [CLIENTS - 1, CLIENTS, CLIENTS]
    assert [row.clients for row in weighted.history] == [CLIENTS - 1, CLIENTS, CLIENTS]
    assert "no answer to the roll call" in weighted.history[0].reasons[0]


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_roll_call_that_all_answer_with_an_error_is_repeated(failing):
    calls = []

    def errs(place, number, reply):
        calls.append(place)
        if len(calls) <= failing * CLIENTS:
            return Message(Error(2, "out of memory"), reply_to=reply)
        return reply

    ef21 = strategy(fraction_train=0.4)
    if failing == 3:
        with pytest.raises(ProtocolError, match="add it: ClientApp"):
            run(SilentGrid(lambda *_: False, errs), 1, ef21)
        return
    run(SilentGrid(lambda *_: False, errs), 2, ef21)
    assert [row.clients for row in ef21.history] == [2, 2]
    assert [row.failures for row in ef21.history] == [0, 0]


def test_a_loss_that_overflows_is_none():
    def boasts(place, number, reply):
        reply.content["metrics"] = MetricRecord({"num-examples": 10, "loss": 1.7e308})
        return reply

    ef21 = strategy()
    run(SilentGrid(lambda *_: False, boasts), 2, ef21)
    assert [row.train_loss for row in ef21.history] == [None, None]


def test_an_expired_message_is_a_failure_of_the_right_client():
    """Flower answers for a message whose time to live has passed, in the name of node 1."""

    def expires(place, number, reply):
        if (place, number) != (3, 2):
            return reply
        error = Message(Error(ErrorCode.MESSAGE_UNAVAILABLE, "expired"), reply_to=reply)
        error.metadata.__dict__["_reply_to_message_id"] = reply.metadata.reply_to_message_id
        error.metadata.__dict__["_src_node_id"] = 1
        return error

    ef21 = strategy()
    x = run(SilentGrid(lambda *_: False, expires), 300, ef21)
    assert [row.failures for row in ef21.history] == [0, 1, *[0] * 298]
    assert "client partition-id=3: error 3: expired" in ef21.history[1].reasons[0]
    # The client had moved on; its message was dropped, and nobody had to join again.
    assert ef21.ledger.joined()["partition-id=3"].seq == 299
    assert squared_gradient_norm(x) < 1e-20


class MovingGrid(SilentGrid):
    """One client comes back as another node after round 2, and is not heard again."""

    def __init__(self):
        super().__init__(lambda place, number: place == CLIENTS)

    def move(self, row, _):
        if row.round == 2:
            first = min(self.contexts)
            self.contexts[first + CLIENTS] = self.contexts.pop(first + 1)


def test_a_client_that_comes_back_as_another_node_is_no_second_one():
    """From zero, a client counts before it has spoken. This one has, as the node before."""
    moving = MovingGrid()
    stays = SilentGrid(lambda place, number: place == 1 and number > 2)
    found = run(moving, 6, strategy(initialisation="zero"), [moving.move])
    assert found.tobytes() == run(stays, 6, strategy(initialisation="zero")).tobytes()


def test_a_node_without_a_key_is_silent_unless_a_client_is_away():
    ef21 = strategy(initialisation="zero")
    grid = SilentGrid(lambda place, number: place == 4)
    run(grid, 1, ef21)
    ledger, nodes = ef21.ledger, sorted(grid.contexts)
    assert ledger.silent(nodes) == 1
    assert ledger.silent(nodes[1:]) == 0  # the last may be the first, come back
    ledger.names.note(nodes[4], "partition-id=4")
    assert ledger.silent(nodes[1:]) == 1


@pytest.mark.parametrize("name", ["num-examples", "loss", "smoothness", "steps"])
@pytest.mark.parametrize("value", [10**400, -(10**5000), [1, 10**400]], ids=["400", "5000", "list"])
def test_an_integer_above_all_floats_is_quarantined(name, value):
    def change(place, number, reply):
        if place == 1 and number == 2:
            told = {**reply.content["metrics"], name: value}
            reply.content["metrics"] = filled(MetricRecord, told)
        return reply

    common = {"signal": "gradient", "fraction_evaluate": 0.0}
    reported = EF21W(TopK(2), 0.05, smoothness="reported", **common)
    for ef21 in (strategy(), strategy(step_size="auto"), reported):
        run(SilentGrid(lambda *_: False, change), 3, ef21)
        assert [row.rejections for row in ef21.history] == [0, 1, 0]
        assert f"metric '{name}' is an integer of" in ef21.history[1].reasons[0]
