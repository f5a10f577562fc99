"""Apps as users have them: one mod and one strategy change nothing but the bill."""

import numpy as np
import pytest
from flower_style_app import CLIENTS, Clusters, global_evaluate, make_app, make_net
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, fixedclipping_mod
from flwr.serverapp.strategy import FedAdam, FedAvg

from fl_ef21 import DCGD, EF21, EF21BC, EF21SGDM, Identity, TopK, ef21_mod
from fl_ef21.compressors import from_text
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower import Metered
from fl_ef21.flower.protocol import reply_of, reply_record
from fl_ef21.methods.downlink import EF21P
from fl_ef21.methods.server import Adam

DATA = Clusters()


def run(strategy, app, rounds=3, arrays=None, **told):
    grid = InProcessGrid(app, partition_configs(CLIENTS))
    return strategy.start(
        grid,
        arrays or ArrayRecord(make_net().state_dict()),
        num_rounds=rounds,
        train_config=ConfigRecord({"lr": 0.1, **told}),
        evaluate_fn=global_evaluate(DATA) if arrays is None else None,
    )


def reasons(strategy):
    return [reason for row in strategy.history for reason in row.reasons]


def accuracy(result, rounds):
    return result.evaluate_metrics_serverapp[rounds]["accuracy"]


def vector(arrays):
    floats = (a.numpy().ravel() for name, a in arrays.items() if "tracked" not in name)
    return np.concatenate(list(floats)).astype(float)


# An app as in Flower's examples


def test_uncompressed_the_app_trains_as_with_fedavg():
    theirs = run(FedAvg(), make_app(data=DATA))
    ours = run(EF21(Identity()), make_app(mods=[ef21_mod], data=DATA))
    np.testing.assert_allclose(vector(ours.arrays), vector(theirs.arrays), rtol=1e-4, atol=1e-5)
    for key, value in theirs.evaluate_metrics_clientapp[3].items():
        assert ours.evaluate_metrics_clientapp[3][key] == pytest.approx(value, rel=1e-3)
    assert ours.train_metrics_clientapp[3]["train_loss"] == pytest.approx(
        theirs.train_metrics_clientapp[3]["train_loss"], rel=1e-3
    )


@pytest.mark.parametrize(
    "strategy",
    [
        lambda: EF21(TopK(0.1)),
        lambda: EF21(TopK(0.1), fraction_train=0.6),
        lambda: EF21(TopK(0.1), layers={"1.*": "identity"}, scope="layer", exact_below=4),
        lambda: EF21SGDM(TopK(0.1), eta=0.5),
        lambda: EF21(from_text("topk:0.1|natural-nearest"), downlink=EF21P(TopK(0.2))),
        lambda: EF21BC(TopK(0.1), downlink_compressor=TopK(0.2)),
        lambda: EF21(TopK(0.1), downlink="ef21-bc:topk:0.2"),
        lambda: EF21(TopK(0.1), 0.05, server=Adam()),
        lambda: EF21(TopK(0.1), "warmup:3|cosine:1.0:15", ratio_warmup=5),
    ],
    ids=["ef21", "sampled", "layers", "sgdm", "down", "bc", "text", "adam", "schedules"],
)
def test_batch_norm_local_epochs_and_evaluation_survive_every_way_of_compressing(strategy):
    rounds, built = 15, strategy()
    result = run(built, make_app(mods=[ef21_mod], data=DATA), rounds)
    assert not reasons(built)
    assert accuracy(result, rounds) > 0.9
    assert result.evaluate_metrics_clientapp[rounds]["eval_acc"] > 0.9
    steps = result.arrays["1.num_batches_tracked"].numpy()
    assert steps.dtype == np.int64
    assert steps > rounds


def test_statistics_are_those_of_the_clients_that_answered_as_in_fedavg():
    """With a part of the clients, a sum of old differences would make variances negative."""
    clients = {"fraction_evaluate": 0.0, "fraction_train": 0.6}
    built = EF21(TopK(0.05), **clients)
    model = run(built, make_app(mods=[ef21_mod], data=DATA), 1).arrays
    theirs = run(Metered(FedAvg(fraction_evaluate=0.0), participation=0.6), make_app(data=DATA), 1)
    for name in ("1.running_mean", "1.running_var"):
        np.testing.assert_allclose(model[name].numpy(), theirs.arrays[name].numpy(), rtol=1e-6)
    model = run(EF21(TopK(0.05), **clients), make_app(mods=[ef21_mod], data=DATA), 12).arrays
    assert model["1.running_var"].numpy().min() > 0


def test_the_mod_may_stand_at_one_function():
    app = make_app(train_mods=[ef21_mod], data=DATA)
    built = EF21(TopK(0.1))
    assert accuracy(run(built, app, 10), 10) > 0.8
    assert not reasons(built)


def test_weights_are_the_examples_as_in_fedavg():
    """A client with a millionth of the weight moves the model by nothing."""
    alone = make_app(mods=[ef21_mod], data=DATA, examples=lambda i: 10**6 if i == 1 else 1)
    model = run(EF21(Identity(), fraction_evaluate=0.0), alone, 1).arrays
    reference = run(
        FedAvg(fraction_evaluate=0.0),
        make_app(data=DATA, examples=lambda i: 10**6 if i == 1 else 1),
        1,
    ).arrays
    np.testing.assert_allclose(vector(model), vector(reference), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "theirs", [FedAvg, lambda **options: FedAdam(eta=0.05, **options)], ids=["avg", "adam"]
)
def test_a_metered_strategy_of_flower_is_itself_and_counts(theirs):
    metered = Metered(theirs(fraction_evaluate=0.0), seed=1)
    ours = run(metered, make_app(data=DATA))
    plain = run(theirs(fraction_evaluate=0.0), make_app(data=DATA))
    # Flower draws in another order, and sums in it.
    np.testing.assert_allclose(vector(ours.arrays), vector(plain.arrays), rtol=1e-4, atol=1e-5)
    elements = sum(a.numpy().nbytes for a in make_net().state_dict().values())
    assert [row.uplink_payload_bytes for row in metered.history] == [CLIENTS * elements] * 3
    assert metered.history[0].uplink_bytes > CLIENTS * elements
    assert metered.history[0].evaluation["accuracy"] > 0


def test_a_metered_strategy_draws_the_clients_that_ours_draws():
    drawn = {"metered": [], "ours": []}

    def app(name, action):
        noting = ClientApp()

        def train(message, context):
            drawn[name].append(context.node_config["partition-id"])
            metrics = MetricRecord({"num-examples": 1})
            content = RecordDict({"arrays": message.content["arrays"], "metrics": metrics})
            return Message(content, reply_to=message)

        noting.train(action, mods=[ef21_mod] if name == "ours" else [])(train)
        return noting

    options = {"fraction_evaluate": 0.0, "min_train_nodes": 1, "min_available_nodes": 1}
    metered = Metered(FedAvg(**options), participation=0.4, action="plain", seed=7)
    run(metered, app("metered", "plain"), 5)
    run(EF21(TopK(0.5), fraction_train=0.4, seed=7, **options), app("ours", "default"), 5)
    by_round = {name: np.sort(np.reshape(clients, (5, 2))) for name, clients in drawn.items()}
    np.testing.assert_array_equal(by_round["metered"], by_round["ours"])
    assert len(set(drawn["ours"])) > 2


# Flower's own mods


@pytest.mark.parametrize(
    "mod", [fixedclipping_mod, adaptiveclipping_mod], ids=["fixed", "adaptive"]
)
def test_a_clipping_mod_behind_ours_clips_the_update_before_it_is_compressed(mod):
    app = make_app(mods=[ef21_mod, mod], data=DATA)
    built = EF21(Identity(), fraction_evaluate=0.0)
    run(built, app, 1, clipping_norm=0.01)
    assert not reasons(built)
    assert 0 < np.linalg.norm(built.ledger.estimate.mean()) < 0.0101


def test_local_differential_privacy_behind_ours_adds_its_noise():
    noisy = LocalDpMod(clipping_norm=0.01, sensitivity=1.0, epsilon=50.0, delta=1e-5)
    built = EF21(Identity(), fraction_evaluate=0.0)
    run(built, make_app(mods=[ef21_mod, noisy], data=DATA), 1)
    assert not reasons(built)
    assert built.ledger.estimate.mean().std() > 0.01


def peeking_mod(message, context, call_next):
    """A mod of a user's that looks at the arrays of a reply."""
    reply = call_next(message, context)
    next(iter(reply.content["arrays"].values())).numpy()
    return reply


OUTSIDE = {
    "fixed": fixedclipping_mod,
    "adaptive": adaptiveclipping_mod,
    "dp": LocalDpMod(clipping_norm=0.01, sensitivity=1.0, epsilon=50.0, delta=1e-5),
    "users": peeking_mod,
}


@pytest.mark.parametrize("mod", OUTSIDE.values(), ids=OUTSIDE)
def test_a_mod_in_front_of_ours_is_refused_with_the_reason(mod):
    built = EF21(TopK(0.1), fraction_evaluate=0.0)
    run(built, make_app(mods=[mod, ef21_mod], data=DATA), 1, clipping_norm=0.01)
    assert len(reasons(built)) == CLIENTS
    assert all("put it behind: ClientApp(mods=[ef21_mod" in text for text in reasons(built))


def test_mods_behind_ours_do_not_see_the_instruction():
    seen = []

    def noting_mod(message, context, call_next):
        seen.append(set(message.content))
        return call_next(message, context)

    run(EF21(TopK(0.1), fraction_evaluate=0.0), make_app(mods=[ef21_mod, noting_mod]), 1)
    assert seen == [{"arrays", "config"}] * CLIENTS


# Bad input


def arrays_app(answer):
    """An app whose train function returns what ``answer`` makes of client, round and model."""
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        model = {name: array.numpy() for name, array in message.content["arrays"].items()}
        made = answer(client, message.content["config"]["server-round"], model)
        if made is None:
            return None
        arrays = ArrayRecord({name: Array(np.asarray(array)) for name, array in made.items()})
        metrics = MetricRecord({"num-examples": 1})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


def moved(model):
    return {n: (a + 1).astype(a.dtype) if a.dtype.kind == "f" else a + 1 for n, a in model.items()}


SMALL = {"w": np.zeros((4, 3), np.float32), "half": np.zeros(5, np.float16)}
NORMED = {"running_mean": np.zeros(2, np.float32), "running_var": np.ones(2, np.float32)}
COUNTERS = {"steps": np.array(3, np.int64), "codes": np.arange(4, dtype=np.uint8)}


def small(arrays=None):
    return ArrayRecord({name: Array(array) for name, array in (arrays or SMALL).items()})


BAD_ANSWERS = {
    "nothing": (lambda model: None, "the app returned NoneType instead of a Message"),
    "another name": (lambda model: {"v": model["w"], "half": model["half"]}, "arrays are named"),
    "an array more": (lambda model: {**model, "v": model["w"]}, "arrays are named"),
    "another shape": (lambda model: {**model, "w": model["w"].T}, "in place of w float32[4, 3]"),
    "NaN": (lambda model: {**model, "w": model["w"] * np.nan}, "array w float32[4, 3] holds NaN"),
    "NaN beside": (
        lambda model: {**model, "running_mean": model["running_mean"] * np.nan},
        "array running_mean float32[2] holds NaN",
    ),
    "no variance": (
        lambda model: {**model, "running_var": model["running_var"] - 99},
        "holds -97, and no variance is below 0",
    ),
}


@pytest.mark.parametrize(("answer", "part"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_what_one_client_does_wrong_in_a_later_round_is_named_and_moves_nothing(answer, part):
    def app(client, server_round, model):
        return answer(model) if (client, server_round) == (2, 2) else moved(model)

    built = EF21(Identity(), fraction_evaluate=0.0)
    result = run(built, arrays_app(app), 3, small({**SMALL, **NORMED}))
    assert [row.failures for row in built.history] == [0, 1, 0]
    assert "partition-id=2" in built.history[1].reasons[0]
    assert part in built.history[1].reasons[0]
    np.testing.assert_allclose(result.arrays["w"].numpy(), 3.0)


@pytest.mark.parametrize(
    ("value", "part"),
    [(np.nan, "holds NaN"), (-0.5, "holds -0.5, and no variance"), (3e38, "is above 1e+30")],
)
def test_statistics_that_are_none_are_quarantined(value, part):
    class Lying(InProcessGrid):
        def deliver(self, message):
            reply = super().deliver(message)
            if message.metadata.dst_node_id != min(self.contexts):
                return reply
            about, payload = reply_of(reply.content["arrays"])
            forged = payload[:-8] + np.full(2, value, np.float32).tobytes()
            reply.content["arrays"] = reply_record(about.pack(forged))
            return reply

    built = EF21(Identity(), fraction_evaluate=0.0)
    grid = Lying(arrays_app(lambda c, r, model: moved(model)), partition_configs(CLIENTS))
    arrays = built.start(grid, small({**SMALL, **NORMED}), num_rounds=1).arrays
    assert built.history[0].rejections == 1
    assert part in reasons(built)[0]
    np.testing.assert_array_equal(arrays["running_var"].numpy(), 2.0)


def test_a_client_without_examples_is_quarantined_and_named():
    app = make_app(mods=[ef21_mod], data=DATA, examples=lambda i: int(i != 3))
    built = EF21(TopK(0.1), fraction_evaluate=0.0)
    run(built, app)
    assert [row.rejections for row in built.history] == [1, 1, 1]
    assert "partition-id=3" in reasons(built)[0]
    assert "'num-examples' is 0" in reasons(built)[0]


@pytest.mark.parametrize("downlink", [None, EF21P(TopK(0.5))], ids=["whole", "compressed"])
def test_half_precision_and_integer_arrays_keep_their_dtypes(downlink):
    arrays = {**SMALL, **COUNTERS}
    built = EF21(Identity(), downlink=downlink, fraction_evaluate=0.0)
    model = run(built, arrays_app(lambda c, r, model: moved(model)), 4, small(arrays)).arrays
    assert not reasons(built)
    for name, array in arrays.items():
        assert model[name].dtype == str(array.dtype)
    if downlink is None:
        np.testing.assert_array_equal(model["half"].numpy(), 4.0)
        np.testing.assert_array_equal(model["codes"].numpy(), np.arange(4) + 4)
    assert model["steps"].numpy() == 7


def test_a_model_that_changes_between_rounds_starts_a_new_run_on_both_sides():
    """Loops of users' own may grow a model; nobody mixes old state with new arrays."""
    built = EF21(TopK(1), fraction_evaluate=0.0)
    grid = InProcessGrid(arrays_app(lambda c, r, model: moved(model)), partition_configs(CLIENTS))
    epochs = []
    for server_round, width in enumerate([3, 3, 5], start=1):
        arrays = small({"w": np.zeros(width, np.float32)})
        messages = built.configure_train(server_round, arrays, ConfigRecord(), grid)
        aggregated, _ = built.aggregate_train(server_round, grid.send_and_receive(messages))
        assert aggregated["w"].shape == (width,)
        epochs.append(built.ledger.epoch)
    assert epochs[0] == epochs[1] != epochs[2]
    assert not reasons(built)


@pytest.mark.parametrize("where", ["the record", "the arrays"])
def test_an_app_may_write_what_it_returns_into(where):
    apart = arrays_app(lambda c, r, model: moved(model))
    within = ClientApp(mods=[ef21_mod])

    @within.train()
    def train(message, context):
        arrays = message.content["arrays"]
        for name, values in moved({n: a.numpy() for n, a in arrays.items()}).items():
            if where == "the record":
                arrays[name] = Array(values)
            else:
                arrays[name].data = Array(values).data
        content = {"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    models = []
    for app in (apart, within):
        grid = InProcessGrid(app, partition_configs(CLIENTS), isolation="serialised")
        result = EF21(TopK(0.5)).start(grid, small(), num_rounds=3)
        models.append(result.arrays["w"].numpy())
    assert models[0].any()
    np.testing.assert_array_equal(*models)


def test_an_app_may_put_a_state_of_its_own_into_its_context():
    plain = arrays_app(lambda c, r, model: moved(model))
    replacing = ClientApp(mods=[ef21_mod])

    @replacing.train()
    def train(message, context):
        count = context.state["mine"]["turns"] if "mine" in context.state else 0
        context.state = RecordDict({"mine": ConfigRecord({"turns": count + 1})})
        model = {n: a.numpy() for n, a in message.content["arrays"].items()}
        arrays = ArrayRecord({n: Array(a) for n, a in moved(model).items()})
        content = {"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    models, last = [], None
    for app in (plain, replacing):
        grid = InProcessGrid(app, partition_configs(CLIENTS))
        strategy = EF21(TopK(0.2), downlink="ef21-p:topk:0.5", fraction_evaluate=0.0)
        models.append(strategy.start(grid, small(), num_rounds=4).arrays["w"].numpy())
        last = strategy, grid
    strategy, grid = last
    assert {ack.seq for ack in strategy.ledger.joined().values()} == {4}
    assert [c.state["mine"]["turns"] for c in grid.contexts.values()] == [4] * CLIENTS
    np.testing.assert_array_equal(*models)


def test_dcgd_and_ef21_send_the_same_bytes_from_the_same_app():
    app = make_app(mods=[ef21_mod], data=DATA)
    payloads = []
    for built in (DCGD(TopK(0.1), fraction_evaluate=0.0), EF21(TopK(0.1), fraction_evaluate=0.0)):
        run(built, app, 4)
        payloads.append(sum(row.uplink_payload_bytes for row in built.history))
    assert payloads[0] == pytest.approx(payloads[1], rel=0.1)
