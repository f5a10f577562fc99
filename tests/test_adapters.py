"""The mod and the strategies: what travels, what is counted, and what is refused and how."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from tampering import with_blob, with_payload

from fl_ef21 import DCGD, EF21, Identity, RandK, TopK, UnbiasedRandK, ef21_mod
from fl_ef21.compressors import Dense
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.compatibility import require_supported_flower
from fl_ef21.flower.protocol import ProtocolError, chain, origin, reply_of
from fl_ef21.flower.protocol.layout import Layout, LayoutError
from fl_ef21.flower.server.meter import measure
from fl_ef21.wire import encode

CLIENTS = 4


def model() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "conv": rng.normal(size=(3, 2, 2)).astype(np.float32),
        "norm.num_batches_tracked": np.array(7, np.int64),
        "norm.mean": rng.normal(size=3).astype(np.float16),
        "mask": np.array([True, False, True]),
        "scalar": np.array(0.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }


def record(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord(
        OrderedDict((name, Array(np.asarray(array))) for name, array in arrays.items())
    )


def local_update(client: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every float moves by a number of the client's own, every counter by the client's id."""
    updated = {}
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            updated[name] = (array - np.float32(0.1 * (client + 1))).astype(array.dtype)
        elif array.dtype == bool:
            updated[name] = array ^ (client == 0)
        else:
            updated[name] = np.asarray(array + client)
    return updated


def make_app(update=local_update, examples=lambda client: 10 * (client + 1), mods=(ef21_mod,)):
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        arrays = {name: a.numpy() for name, a in message.content["arrays"].items()}
        metrics = MetricRecord({"num-examples": examples(client), "loss": 1.0 + client})
        content = RecordDict({"arrays": record(update(client, arrays)), "metrics": metrics})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        shape = message.content["arrays"]["conv"].shape
        metrics = MetricRecord({"num-examples": 1, "elements": int(np.prod(shape))})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def run(strategy, app=None, rounds=3, grid_class=InProcessGrid, arrays=None, **kwargs):
    grid = grid_class(app or make_app(), partition_configs(CLIENTS), **kwargs)
    return strategy.start(grid, arrays or record(model()), num_rounds=rounds), grid


def test_uncompressed_updates_are_fedavg_also_for_buffers():
    ours, _ = run(EF21(Identity(), fraction_evaluate=0.0))
    theirs, _ = run(FedAvg(fraction_evaluate=0.0), make_app(mods=[]))
    for name, array in model().items():
        mine, expected = ours.arrays[name].numpy(), theirs.arrays[name].numpy()
        assert mine.dtype == array.dtype
        assert mine.shape == array.shape
        # FedAvg turns counters into float64 means; ours stay integers, rounded each round.
        tolerance = {"rtol": 2e-3} if array.dtype == np.float16 else {"rtol": 1e-5}
        if array.dtype.kind == "f":
            np.testing.assert_allclose(mine, expected, **tolerance)
    weights = np.array([10, 20, 30, 40]) / 100
    assert ours.arrays["norm.num_batches_tracked"].numpy() == 7 + 3 * round(weights @ range(4))


def test_a_torch_state_dict_with_batch_norm_round_trips():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    app = ClientApp()

    @app.train(mods=[ef21_mod])
    def train(message, context):
        local = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        local.load_state_dict(message.content["arrays"].to_torch_state_dict())
        generator = torch.Generator().manual_seed(context.node_config["partition-id"])
        optimizer = torch.optim.SGD(local.parameters(), lr=0.1)
        local(torch.randn(8, 4, generator=generator)).square().mean().backward()
        optimizer.step()
        content = RecordDict(
            {
                "arrays": ArrayRecord(local.state_dict()),
                "metrics": MetricRecord({"num-examples": 8}),
            }
        )
        return Message(content, reply_to=message)

    strategy = EF21(TopK(k=5), fraction_evaluate=0.0)
    result, _ = run(strategy, app, arrays=ArrayRecord(network.state_dict()))
    network.load_state_dict(result.arrays.to_torch_state_dict())
    assert int(network[1].num_batches_tracked) == 3
    assert [row.clients for row in strategy.history] == [CLIENTS] * 3


def object_bytes(messages) -> int:
    """The bytes of all objects that Flower would send, summed without the library's meter."""
    return sum(
        len(nested.deflate())
        for message in messages
        for nested in get_all_nested_objects(message).values()
    )


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_history_is_the_bytes_of_the_messages(fraction):
    passed = []
    strategy = EF21(TopK(k=3), fraction_train=fraction, fraction_evaluate=0.0)
    run(strategy, rounds=4, tap=passed.append)
    replies = [m for m in passed if m.metadata.reply_to_message_id]
    instructions = [m for m in passed if not m.metadata.reply_to_message_id]
    roll_calls = CLIENTS if fraction < 1 else 0
    assert len(replies) == len(instructions) == 4 * CLIENTS * fraction + roll_calls
    assert sum(r.uplink_message_bytes for r in strategy.history) == object_bytes(replies)
    assert sum(r.downlink_message_bytes for r in strategy.history) == object_bytes(instructions)
    payloads = [len(reply_of(reply.content["arrays"])[1]) for reply in replies]
    assert sum(row.uplink_payload_bytes for row in strategy.history) == sum(payloads)


@pytest.mark.parametrize("layers", [1, 50, 200])
def test_framing_of_a_reply_does_not_grow_with_the_layers(layers):
    arrays = {f"layer{i}": np.ones(20, np.float32) for i in range(layers)}
    sizes = []

    def tap(message):
        if message.metadata.reply_to_message_id:
            payload = reply_of(message.content["arrays"])[1]
            sizes.append(measure([message]).total - len(payload))

    run(EF21(TopK(k=3), fraction_evaluate=0.0), arrays=record(arrays), tap=tap)
    assert max(sizes) <= 1100


def test_evaluation_passes_through_the_mod():
    result, _ = run(EF21(TopK(k=3)))
    assert result.evaluate_metrics_clientapp[3]["elements"] == 12


@pytest.mark.parametrize("isolation", ["none", "copied", "serialised"])
def test_isolation_makes_no_difference_to_the_model(isolation):
    expected, _ = run(EF21(TopK(k=3), fraction_evaluate=0.0))
    found, _ = run(EF21(TopK(k=3), fraction_evaluate=0.0), isolation=isolation)
    assert {n: a.data for n, a in found.arrays.items()} == {
        n: a.data for n, a in expected.arrays.items()
    }


def test_random_compressors_repeat_by_seed():
    def weights(seed):
        result, _ = run(EF21(RandK(k=3), seed=seed, fraction_evaluate=0.0))
        return result.arrays["conv"].data

    assert weights(1) == weights(1) != weights(2)


def test_metrics_and_losses_are_aggregated_by_weight():
    strategy = EF21(TopK(k=3), fraction_evaluate=0.0)
    result, _ = run(strategy, rounds=1)
    assert result.train_metrics_clientapp[1]["loss"] == pytest.approx(3.0)
    assert strategy.history[0].train_loss == pytest.approx(3.0)
    assert 0 < strategy.history[0].estimate_error < 1


def test_callbacks_see_every_round_with_its_evaluation():
    seen = []
    strategy = EF21(TopK(k=3), fraction_evaluate=0.0)
    grid = InProcessGrid(make_app(), partition_configs(CLIENTS))
    strategy.start(
        grid,
        record(model()),
        num_rounds=2,
        evaluate_fn=lambda r, _: MetricRecord({"loss": float(r)}),
        callbacks=[
            lambda row, arrays: seen.append((row.round, row.evaluation["loss"], len(arrays)))
        ],
    )
    assert seen == [(1, 1.0, 6), (2, 2.0, 6)]
    assert [row.as_row()["loss"] for row in strategy.history] == [1.0, 2.0]


def test_summary_prints_a_tree(caplog):
    caplog.set_level("INFO", logger="flwr")
    EF21(TopK(0.01), step_size=0.5).summary()
    assert "├──> Error feedback:" in caplog.text
    assert "Compressor: topk:0.01" in caplog.text


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: EF21(UnbiasedRandK(k=1)), ["unbiased-randk:1", "randk"]),
        (lambda: EF21("topk:0.01"), ["'topk:0.01'", "from_text"]),
        (lambda: EF21(TopK(k=1), step_size=0.0), ["0.0", "positive"]),
        (lambda: EF21(TopK(k=1), step_size=float("nan")), ["nan", "positive"]),
        (lambda: EF21(TopK(k=1), signal="weights"), ["'weights'", "update, gradient"]),
        (lambda: EF21(TopK(k=1), initialisation="dense"), ["'dense'", "full, compressed, zero"]),
        (lambda: EF21(TopK(k=1), seed=-1), ["-1", "2^63"]),
    ],
)
def test_wrong_arguments_are_refused_at_construction(build, parts):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the parts are the match
        build()
    assert all(part in str(caught.value) for part in parts)


def test_a_compressor_that_does_not_fit_the_model_is_refused_before_anything_is_sent():
    passed = []
    with pytest.raises(ValueError, match=r"k=17 is above the number of coordinates, 16"):
        run(EF21(TopK(k=17), fraction_evaluate=0.0), tap=passed.append)
    assert not passed


def reasons(strategy) -> str:
    return " ".join(reason for row in strategy.history for reason in row.reasons)


def test_a_strategy_without_the_mod_says_so_in_the_first_round():
    with pytest.raises(ProtocolError, match=r"ClientApp\(mods=\[ef21_mod\]\)"):
        run(EF21(TopK(k=3), fraction_evaluate=0.0), make_app(mods=[]))


def test_a_strategy_without_the_mod_says_so_also_when_clients_are_sampled():
    strategy = EF21(TopK(k=3), fraction_train=0.5, fraction_evaluate=0.0)
    with pytest.raises(ProtocolError, match=r"ClientApp\(mods=\[ef21_mod\]\)"):
        run(strategy, make_app(mods=[]))


@pytest.mark.parametrize("strategy_class", [EF21, DCGD])
def test_two_nodes_that_claim_one_client_key_count_as_one(strategy_class):
    strategy = strategy_class(TopK(k=3), fraction_evaluate=0.0)
    configs = [{"partition-id": i} for i in (0, 1, 1, 2)]
    strategy.start(InProcessGrid(make_app(), configs), record(model()), num_rounds=3)
    assert [row.clients for row in strategy.history] == [3, 3, 3]
    assert [row.rejections for row in strategy.history] == [1, 1, 1]
    assert "give every node a client-id of its own" in reasons(strategy)


def test_nodes_without_a_name_leave_with_their_node():
    app, strategy = ClientApp(mods=[ef21_mod]), EF21(Identity(), fraction_evaluate=0.0)

    @app.train()
    def train(message, context):
        metrics = MetricRecord({"num-examples": 1})
        arrays = {n: a.numpy() for n, a in message.content["arrays"].items()}
        updated = record(local_update(context.node_id % 10, arrays))
        content = RecordDict({"arrays": updated, "metrics": metrics})
        return Message(content, reply_to=message)

    grid = InProcessGrid(app, [{}] * 4)
    gone = min(grid.contexts)
    strategy.start(
        grid,
        record(model()),
        num_rounds=4,
        callbacks=[lambda row, _: grid.contexts.pop(gone, None) if row.round == 2 else None],
    )
    assert f"node-id={gone}" not in strategy.ledger.joined()
    assert len(strategy.ledger.estimate.contributions()) == 3


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "<U3", "longdouble"])
def test_arrays_that_are_not_numbers_are_refused_by_name(dtype):
    arrays = record({**model(), "odd": np.zeros(2, dtype)})
    with pytest.raises(LayoutError, match=r"array odd .* cannot travel"):
        run(EF21(TopK(k=3), fraction_evaluate=0.0), arrays=arrays)


def test_the_mod_without_a_strategy_says_so():
    errors = []

    def tap(message):
        if message.metadata.reply_to_message_id:
            errors.append(message.error.reason)

    run(FedAvg(fraction_evaluate=0.0), rounds=1, tap=tap)
    assert len(errors) == CLIENTS
    assert all("use one of its strategies on the server" in reason for reason in errors)


def broken(client, arrays, how):
    updated = local_update(client, arrays)
    if client == 0:
        how(updated)
    return updated


@pytest.mark.parametrize(
    ("how", "part"),
    [
        (lambda a: a.update(conv=np.full_like(a["conv"], np.nan)), "array conv float32[3, 2, 2]"),
        (lambda a: a.update(conv=a["conv"].ravel()), "in place of conv float32[3, 2, 2]"),
        (lambda a: a.update(conv=a["conv"].astype(np.float64)), "conv float64"),
        (lambda a: a.pop("conv"), "arrays are named"),
    ],
)
def test_a_bad_update_is_that_clients_failure(how, part):
    strategy = EF21(TopK(k=3), fraction_evaluate=0.0)
    run(strategy, make_app(lambda client, arrays: broken(client, arrays, how)))
    assert [row.failures for row in strategy.history] == [1, 1, 1]
    assert [row.clients for row in strategy.history] == [CLIENTS - 1] * 3
    assert part in reasons(strategy)
    assert "partition-id=0" in reasons(strategy)


ORIGINS: list[tuple[bytes, int]] = []


def tampering(change):
    """A grid on which the first node's replies are changed."""

    class TamperingGrid(InProcessGrid):
        def deliver(self, message):
            told = message.content["fl_ef21"]
            ORIGINS.append((told["epoch"], told["round"]))
            reply = super().deliver(message)
            first = message.metadata.dst_node_id == min(self.contexts)
            return change(reply) if first else reply

    return TamperingGrid


def changed_reply(reply, **values):
    about, payload = reply_of(reply.content["arrays"])
    return with_blob(reply, about._replace(**values).pack(payload))


def joined_as(reply, client):
    """The reply, forged into a first message of another client, digest and all."""
    about, payload = reply_of(reply.content["arrays"])
    digest = chain(origin(ORIGINS[-1][0], client, ORIGINS[-1][1]), payload)
    forged = about._replace(client=client, seq=1, digest=digest)
    return with_blob(reply, forged.pack(payload))


def huge(payload):
    return encode(Dense(np.full(16, 3e38, np.float32))) + payload[-11:]


def changed_metrics(reply, **values):
    reply.content["metrics"] = MetricRecord({**reply.content["metrics"], **values})
    return reply


FORGERIES = {
    "cut short": (lambda r: with_payload(r, lambda p: p[:-1]), "checksum"),
    "of another size": (
        lambda r: with_payload(r, lambda p: encode(Dense(np.ones(5, np.float32))) + p[-11:]),
        "size is 5 instead of 16",
    ),
    "of another dtype": (
        lambda r: with_payload(r, lambda p: encode(Dense(np.ones(16))) + p[-11:]),
        "float64 instead of float32",
    ),
    "empty": (lambda r: with_payload(r, lambda _: b""), "exact arrays take 11 bytes"),
    "from the future": (lambda r: changed_reply(r, seq=7), "does not follow message"),
    "with a wrong digest": (lambda r: changed_reply(r, digest=b"12345678"), "does not follow"),
    "of another client": (lambda r: changed_reply(r, client="node-id=5"), "does not follow"),
    "of a connected client": (lambda r: joined_as(r, "partition-id=1"), "another connected node"),
    "of huge values": (lambda r: with_payload(r, huge), "above 1e+30"),
    "with infinite errors": (lambda r: changed_reply(r, error_squared=np.inf), "squared norms"),
    "cut within the header": (lambda r: with_blob(r, b"\1\2\3"), "cut short"),
    "cut within the key": (lambda r: with_blob(r, bytes(28) + b"\x09abc"), "client key of 9"),
    "without weight": (
        lambda r: changed_metrics(r, **{"num-examples": 0}),
        "outside (0, 1.09951e+12]",
    ),
    "with infinite weight": (
        lambda r: changed_metrics(r, **{"num-examples": float("inf")}),
        "outside (0, 1.09951e+12]",
    ),
}


@pytest.mark.parametrize(("change", "part"), FORGERIES.values(), ids=FORGERIES.keys())
def test_a_bad_reply_is_quarantined_and_the_run_goes_on(change, part):
    strategy = EF21(TopK(k=3), fraction_evaluate=0.0)
    result, _ = run(strategy, grid_class=tampering(change))
    assert [row.rejections for row in strategy.history] == [1, 1, 1]
    assert [row.clients for row in strategy.history] == [CLIENTS - 1] * 3
    assert part in reasons(strategy)
    assert result.train_metrics_clientapp[1]["rejected-replies"] == 1
    assert all(np.isfinite(array.numpy()).all() for array in result.arrays.values())


def test_errors_of_flower_itself_are_counted_for_the_node_that_was_asked():
    def fail(reply):
        error = Error(code=5, reason="node is gone")
        message = Message(error, reply_to=reply)
        message.metadata.__dict__["_reply_to_message_id"] = reply.metadata.reply_to_message_id
        return message

    strategy = EF21(TopK(k=3), fraction_evaluate=0.0)
    run(strategy, rounds=1, grid_class=tampering(fail))
    assert strategy.history[0].failures == 1
    assert "error 5: node is gone" in strategy.history[0].reasons[0]


def test_no_accepted_reply_keeps_the_model():
    strategy = EF21(TopK(k=3), fraction_evaluate=0.0)

    def fail(client, arrays):
        raise RuntimeError("broken everywhere")

    result, _ = run(strategy, make_app(fail))
    assert result.arrays["conv"].data == record(model())["conv"].data
    assert [row.failures for row in strategy.history] == [CLIENTS] * 3


def test_divergence_is_an_error_that_names_the_step_size():
    def explode(client, arrays):
        return {n: a * 3 if a.dtype == np.float32 else a for n, a in arrays.items()}

    with pytest.raises(FloatingPointError, match="step size 1e\\+40 is too large"):
        run(DCGD(Identity(), step_size=1e40, fraction_evaluate=0.0), make_app(explode), rounds=9)


def test_an_unsupported_flower_is_refused_by_version():
    require_supported_flower("1.41.3")
    with pytest.raises(ImportError, match=r"found flwr 1\.30\.0; run: pip install"):
        require_supported_flower("1.30.0")


@pytest.mark.parametrize("rollback", [True, False])
def test_the_grid_undoes_or_keeps_what_a_failing_app_did_to_its_state(rollback):
    app = ClientApp()

    @app.train()
    def train(message, context):
        context.state["calls"].update(n=context.state["calls"]["n"] + 1)
        raise RuntimeError("after touching the state")

    grid = InProcessGrid(app, partition_configs(1), rollback=rollback)
    (node,) = grid.contexts
    grid.contexts[node].state["calls"] = MetricRecord({"n": 1})
    (reply,) = grid.send_and_receive([Message(RecordDict(), node, "train")])
    assert reply.error.reason == "RuntimeError: after touching the state"
    assert grid.contexts[node].state["calls"]["n"] == (1 if rollback else 2)


def test_the_grid_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="'deep'"):
        InProcessGrid(make_app(), partition_configs(1), isolation="deep")
    with pytest.raises(ValueError, match="node_configs is empty"):
        InProcessGrid(make_app(), [])


def declared(values, shape=(4,), dtype="float32"):
    """An Array that says of its bytes what may not be true."""
    return Array(dtype, shape, "numpy.ndarray", Array(values).data)


@pytest.mark.parametrize(
    ("found", "held"),
    [
        (np.zeros((2, 2), np.float32), "float32[2, 2]"),
        (np.zeros(1, np.float32), "float32[1]"),
        (np.zeros(4, np.int64), "int64[4]"),
        (np.zeros(4, np.complex64), "complex64[4]"),
        (np.full(4, 1e300), "float64[4]"),  # infinite in what was declared
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("beside", [{}, {"y": np.zeros(2, np.float32)}], ids=["one", "two"])
def test_bytes_that_are_not_what_their_array_declares_are_refused(found, held, beside):
    layout = Layout.of(record({"x": np.zeros(4, np.float32), **beside}))
    arrays = record({"x": np.zeros(4, np.float32), **beside})
    arrays["x"] = declared(found)
    with pytest.raises(LayoutError) as refused:
        layout.vector(arrays)
    assert f"array x float32[4] holds bytes of {held}" in str(refused.value)
    with pytest.raises(LayoutError, match="array x"):
        layout.take_from(arrays, np.zeros(layout.size, np.float32))


def test_bytes_of_exact_arrays_are_compared_with_what_is_declared_too():
    honest = {"x": np.zeros(4, np.float32), "count": np.zeros(4, np.int64)}
    layout = Layout.of(record(honest))
    arrays = record(honest)
    arrays["count"] = declared(np.zeros(4, np.float32), dtype="int64")
    with pytest.raises(LayoutError, match=r"array count int64\[4\] holds bytes of float32\[4\]"):
        layout.exact(arrays)


def test_byte_orders_and_memory_orders_are_as_they_are_declared():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    arrays = record({"big": values.astype(">f4"), "columns": np.asfortranarray(values)})
    layout = Layout.of(arrays)
    assert layout.vector(arrays).tolist() == [*range(6), *range(6)]


def test_a_false_declaration_is_that_clients_failure():
    app, strategy = ClientApp(mods=[ef21_mod]), EF21(TopK(k=1), fraction_evaluate=0.0)

    @app.train()
    def train(message, context):
        found = np.ones((2, 2) if context.node_config["partition-id"] else 4, np.float32)
        arrays = ArrayRecord({"x": declared(found)})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
        return Message(content, reply_to=message)

    grid = InProcessGrid(app, partition_configs(2))
    strategy.start(grid, record({"x": np.zeros(4, np.float32)}), num_rounds=1)
    assert [(row.clients, row.failures) for row in strategy.history] == [(1, 1)]
    assert "holds bytes of float32[2, 2]" in reasons(strategy)
