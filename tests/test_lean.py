"""What is lean in one process: equal to Flower's own records, bytes, sums and bits."""

import gc
import pickle
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from fl_ef21 import EF21, EF21SGDM, MARINA, QSGD, TopK, ef21_mod
from fl_ef21.compressors import Sparse
from fl_ef21.compressors.finite import all_finite
from fl_ef21.compressors.largest import largest
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.client.answer import answer
from fl_ef21.flower.protocol.live import RAW_STYPE, LiveArray, values_of
from fl_ef21.flower.protocol.payload import decode_shared
from fl_ef21.flower.protocol.records import (
    copy_records,
    filled,
    instruction_message,
    reply_message,
)
from fl_ef21.flower.protocol.seeding import UNUSED
from fl_ef21.flower.server.garbage import SELDOM, SMALL, seldom_searched
from fl_ef21.flower.server.meter import measure, measure_bytes
from fl_ef21.flower.server.round import _weighted_means
from fl_ef21.methods.estimate import RememberedEstimate
from fl_ef21.problems import LeastSquares, Objective, Regulariser, Together, federated_objectives
from fl_ef21.wire import WireError, encode
from fl_ef21.wire.bits import pack, packed_size
from fl_ef21.wire.indices import (
    FIXED,
    _best_rice,
    _encode,
    _encode_rice,
    encode_indices,
    fixed_width,
)
from fl_ef21.wire.values import RAW, SPLIT, _encode_split, dtype_number, encode_values

CLIENTS = 4
ARRAYS = {
    "c order": np.arange(6.0).reshape(2, 3),
    "fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "scalar": np.array(0.5, np.float32),
    "empty": np.zeros((0, 3)),
    "big endian": np.arange(3, dtype=">i8"),
    "strided": np.arange(12, dtype=np.float32)[::3],
    "bool": np.array([True, False]),
}


@pytest.fixture(autouse=True)
def _run():
    InProcessGrid(ClientApp(), [{}])  # names the run, without which Flower makes no message


# Arrays that become bytes when they are asked for


@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS.keys())
def test_a_live_array_is_flowers_array_byte_for_byte(values):
    live, plain = LiveArray(np.array(values)), Array(values)
    assert live == plain == live
    assert live.object_id == plain.object_id
    assert live.deflate() == plain.deflate()
    assert live.data_length == len(plain.data) == len(live.data)
    np.testing.assert_array_equal(live.numpy(), values)
    assert type(pickle.loads(pickle.dumps(live))) is Array
    assert deepcopy(live) == plain


@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS.keys())
def test_the_elements_of_saved_bytes_are_read_where_they_lie(values):
    plain = Array(values)
    read, loaded = values_of(plain), plain.numpy()
    assert (read.dtype, read.shape, read.tobytes()) == (
        loaded.dtype,
        loaded.shape,
        loaded.tobytes(),
    )
    assert not read.flags.owndata


@pytest.mark.parametrize("cut", [7, 9, 60, 128, 150])
def test_bytes_that_are_no_array_are_refused_as_flower_does(cut):
    damaged = Array("float64", (9,), "numpy.ndarray", Array(np.zeros(9)).data[:cut])
    for read in (Array.numpy, values_of):
        with pytest.raises(ValueError, match=r"EOF|smaller|magic"):
            read(damaged)


def test_a_live_array_of_raw_elements_is_read_back():
    vector = np.array([1.0, -2.0])
    live = LiveArray(vector.copy(), RAW_STYPE)
    assert live.data == vector.tobytes()
    assert live.data_length == 16
    plain = Array("float64", (2,), RAW_STYPE, live.data)
    assert values_of(plain).tobytes() == values_of(live).tobytes()


def test_a_live_array_is_frozen_and_what_it_gives_out_is_not_shared():
    live = LiveArray(np.zeros(3))
    live.numpy()[0] = 1
    assert live.numpy()[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        values_of(live)[0] = 1
    with pytest.raises(AttributeError, match="make a new Array"):
        live.data = b""


def test_copies_of_records_share_nothing_that_can_change():
    records = RecordDict(
        {
            "arrays": ArrayRecord({"x": Array(np.zeros(2))}),
            "config": ConfigRecord({"list": [1, 2], "text": "a"}),
        }
    )
    copied = copy_records(records)
    copied["arrays"]["x"].data = b"other"
    copied["config"]["list"].append(3)
    copied["config"]["text"] = "b"
    assert records["arrays"]["x"] == Array(np.zeros(2))
    assert dict(records["config"]) == {"list": [1, 2], "text": "a"}


# Messages and their lengths

NAMES = st.text(st.characters(codec="utf-8"), max_size=5)
SCALARS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.text(max_size=200)
    | st.binary(max_size=200)
    | st.lists(st.integers(-5, 5), max_size=3)
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


KINDS = st.sampled_from([Array, LiveArray])


@st.composite
def contents(draw):
    arrays = {
        name: draw(st.sampled_from([Array, LiveArray]))(
            np.full(shape, draw(st.integers(0, 1)), kind)
        )
        for name, shape, kind in draw(
            st.lists(
                st.tuples(NAMES, SHAPES, st.sampled_from(["f4", "f8", "i1"])),
                max_size=3,
                unique_by=lambda each: each[0],
            )
        )
    }
    return RecordDict(
        {
            "arrays": filled(ArrayRecord, arrays),
            "told": ConfigRecord(draw(st.dictionaries(NAMES, SCALARS, max_size=4))),
            "also": ConfigRecord(draw(st.dictionaries(NAMES, SCALARS, max_size=2))),
            "metrics": MetricRecord(draw(st.dictionaries(NAMES, NUMBERS, max_size=3))),
        }
    )


@settings(max_examples=60, deadline=None)
@given(contents(), st.sampled_from(["train", "evaluate.other"]), st.integers(0, 2**64 - 1))
def test_lengths_that_are_added_up_are_those_of_the_bytes(content, kind, node):
    sent = instruction_message(content, kind, node)
    sent.metadata.__dict__["_message_id"] = "0" * 36
    reply = reply_message(content, sent)
    for messages in ([sent], [reply], [sent, reply, sent]):
        assert measure(messages) == measure_bytes(messages)


def test_messages_are_made_as_flower_makes_them():
    content = RecordDict({"config": ConfigRecord({"a": 1})})
    ours, theirs = instruction_message(content, "train", 7), Message(content, 7, "train")
    replies = reply_message(content, ours), Message(content, reply_to=theirs)
    for mine, expected in ((ours, theirs), replies):
        about, known = dict(vars(mine.metadata)), dict(vars(expected.metadata))
        for name in ("_created_at", "_ttl"):
            assert about.pop(name) == pytest.approx(known.pop(name), abs=5)
        assert about == known
        assert mine.content is content


def test_an_answer_is_what_an_app_builds_itself():
    sent = instruction_message(RecordDict(), "train", 7)
    gradient = np.array([1.0, 2.0])
    ours = answer(sent, {"x": gradient}, {"loss": 0.5, "num-examples": 3})
    records = {
        "arrays": ArrayRecord({"x": Array(gradient)}),
        "metrics": MetricRecord({"loss": 0.5, "num-examples": 3}),
    }
    assert ours.content.object_id == RecordDict(records).object_id
    gradient[0] = 5
    assert ours.content["arrays"]["x"].numpy()[0] == 1
    with pytest.raises(TypeError, match=r"metric 'loss' is np\.float64"):
        answer(sent, {}, {"loss": np.float64(1)})


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 99)), min_size=1, max_size=5))
def test_means_of_metrics_are_flowers(told):
    records = [MetricRecord({"loss": loss, "n": n, "other": n}) for loss, n in told]
    expected = aggregate_metricrecords([RecordDict({"m": record}) for record in records], "n")
    assert dict(_weighted_means(records, "n")) == dict(expected)


# Runs


def app(gradients, lean: bool) -> ClientApp:
    client_app = ClientApp(mods=[ef21_mod])

    @client_app.train()
    def train(message, context):
        client = context.node_config["partition-id"]
        x = message.content["arrays"]["x"].numpy()
        gradient, metrics = gradients(client, x), {"loss": float(x @ x), "num-examples": client + 1}
        if lean:
            return answer(message, {"x": gradient}, metrics)
        arrays = ArrayRecord({"x": Array(gradient)})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)})
        return Message(content, reply_to=message)

    return client_app


def objectives() -> tuple[Objective, ...]:
    rng = np.random.default_rng(0)
    features = csr_array(rng.normal(size=(40, 6)) * (rng.random((40, 6)) < 0.5))
    rows = np.array_split(np.arange(40), CLIENTS)
    return federated_objectives(features, rng.choice([-1, 1], 40), rows, 0.1)


@pytest.mark.parametrize(
    "strategy",
    [
        lambda **kwargs: EF21(TopK(k=1), **kwargs),
        lambda **kwargs: EF21SGDM(TopK(k=2), **kwargs),
        lambda **kwargs: MARINA(QSGD(4), **kwargs),
        lambda **kwargs: EF21(TopK(k=1), fraction_train=0.5, **kwargs),
    ],
    ids=["ef21", "ef21-sgdm", "marina", "half of the clients"],
)
def test_lean_and_serialised_runs_are_equal_bit_for_bit(strategy):
    known = objectives()
    together = Together(known)

    def run(isolation, gradients, lean):
        chosen = strategy(step_size=0.5, signal="gradient", fraction_evaluate=0.0)
        grid = InProcessGrid(app(gradients, lean), partition_configs(CLIENTS), isolation=isolation)
        arrays = ArrayRecord({"x": Array(np.ones(6))})
        result = chosen.start(grid, arrays, num_rounds=8)
        rows = [replace(row, wall_seconds=0.0) for row in chosen.history]
        return result.arrays["x"].data, rows

    lean = run("none", together.gradient, True)
    assert lean == run("serialised", lambda client, x: known[client].gradient(x), False)
    assert lean[1][-1].uplink_bytes > 0


@pytest.mark.parametrize("isolation", ["none", "copied"])
def test_an_app_that_changes_its_model_changes_nobody_elses(isolation):
    def gradients(client, x):
        gradient = x.copy()
        x[:] = np.nan
        return gradient

    chosen = EF21(TopK(k=6), step_size=0.5, signal="gradient", fraction_evaluate=0.0)
    grid = InProcessGrid(app(gradients, True), partition_configs(CLIENTS), isolation=isolation)
    result = chosen.start(grid, ArrayRecord({"x": Array(np.ones(6))}), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["x"].numpy(), np.full(6, 0.5))


def test_an_exact_array_without_elements_comes_back():
    client_app = ClientApp(mods=[ef21_mod])

    @client_app.train()
    def train(message, context):
        arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
        return answer(message, arrays, {"num-examples": 1})

    chosen = EF21(TopK(k=6), step_size=0.5, signal="gradient", fraction_evaluate=0.0)
    grid = InProcessGrid(client_app, partition_configs(CLIENTS), isolation="none")
    model = {"x": Array(np.ones(6)), "none": Array(np.zeros(0, np.int64))}
    result = chosen.start(grid, ArrayRecord(model), num_rounds=2)
    assert chosen.history[-1].clients == CLIENTS
    assert result.arrays["none"].numpy().shape == (0,)


# All gradients at once


def problems() -> dict[str, tuple[Objective, ...]]:
    rng = np.random.default_rng(1)
    features = csr_array(rng.normal(size=(40, 6)) * (rng.random((40, 6)) < 0.5))
    rows = [np.arange(7), np.arange(7, 25), np.arange(25, 26), np.arange(26, 40)]
    signs, classes = rng.choice([-1, 1], 40), rng.integers(0, 3, 40)
    return {
        "logistic": federated_objectives(features, signs, rows, 0.1),
        "supports": federated_objectives(features, signs, rows, 0.1, regularise_support=True),
        "softmax": federated_objectives(features, classes, rows, 0.01),
        "least squares": tuple(
            Objective(features[r], rng.normal(size=r.size), LeastSquares(), Regulariser(0.2))
            for r in rows
        ),
    }


@pytest.mark.parametrize("name", problems())
def test_gradients_of_all_clients_at_once_have_the_bits_of_each(name):
    known = problems()[name]
    together = Together(known)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=known[0].dimension)
        for client, objective in enumerate(known):
            gradient = together.gradient(client, x)
            assert gradient.tobytes() == objective.gradient(x).tobytes()
            assert not gradient.flags.writeable


def test_objectives_of_two_kinds_do_not_go_together():
    known = problems()
    with pytest.raises(ValueError, match="2 objectives of 2 kinds"):
        Together([known["logistic"][0], known["softmax"][0]])
    with pytest.raises(ValueError, match=r"shape \(5,\) for 6 parameters"):
        Together(known["logistic"]).gradient(0, np.zeros(5))


# Small messages


def test_small_messages_are_decoded_once_and_cannot_be_changed():
    data = encode(TopK(k=1).compress(np.array([1.0, 3.0]), UNUSED))
    message = decode_shared(data, 2)
    assert decode_shared(bytes(bytearray(data)), 2) is message
    with pytest.raises(ValueError, match="read-only"):
        message.values[0] = 5
    with pytest.raises(WireError):
        decode_shared(data, 3)


POWERS = st.integers(-1074, 1023).map(lambda exponent: 2.0**exponent)


@given(
    st.floats(allow_nan=False, allow_infinity=False) | POWERS | st.sampled_from([0.0, -0.0]),
    st.sampled_from([np.float32, np.float64]),
)
def test_one_value_takes_the_shorter_code_though_only_powers_of_two_are_tried(value, dtype):
    with np.errstate(over="ignore"):
        values = np.array([value]).astype(dtype)
    if np.isfinite(values[0]):
        split = _encode_split(values, dtype_number(values.dtype), values.nbytes)
        expected = (RAW, values.tobytes()) if split is None else (SPLIT, split)
        assert encode_values(values, None) == expected


@given(st.data(), st.integers(2, 2**17))
def test_few_positions_take_the_shorter_code_though_not_all_are_tried(data, size):
    indices = np.unique(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3)))
    if 2 * indices.size > size:
        return
    gaps = np.diff(indices, prepend=-1) - 1
    parameter, length = _best_rice(gaps, gaps.size, size)
    fixed = packed_size(indices.size, fixed_width(size))
    rice = _encode_rice(gaps, parameter) if length < fixed else b""
    coded = encode_indices(indices, size)
    shorter = rice and len(rice) <= fixed and 8 * len(rice) <= size + 64
    assert coded == (rice if shorter else bytes([FIXED]) + pack(indices, fixed_width(size)))


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5]), min_size=1, max_size=9))
def test_the_one_largest_entry_is_the_first_of_equals(entries):
    vector = np.array(entries)
    indices, values = largest(vector, 1)
    if not vector.any():
        assert indices.size == values.size == 0
        return
    assert indices.tolist() == [int(np.argmax(np.abs(vector)))]
    assert values.tolist() == [vector[indices[0]]]
    moved = largest(vector + 1, 1, np.ones_like(vector))
    assert (moved[0].tolist(), moved[1].tolist()) == (indices.tolist(), values.tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_one_largest_entry_must_be_finite(bad):
    with pytest.raises(ValueError, match="finite values"):
        largest(np.array([1.0, bad, 2.0]), 1)


@given(st.data(), st.integers(2, 2**20))
def test_one_position_has_the_code_that_any_number_of_them_would_get(data, size):
    place = np.array([data.draw(st.integers(0, size - 1))])
    assert encode_indices(place, size) == _encode(place, size)


SOME_NOT_FINITE = st.floats(width=32) | st.just(np.float32(3e38))


@given(st.lists(SOME_NOT_FINITE, max_size=9), st.sampled_from([np.float32, np.float64]))
def test_numbers_are_finite_if_all_of_them_are(numbers, dtype):
    values = np.array(numbers, dtype)
    assert all_finite(values) == bool(np.isfinite(values).all())
    assert all_finite(values[None, ::-1]) == all_finite(values)


@given(
    st.floats(-1e30, 1e30),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([np.float32, np.float64]),
)
def test_a_message_of_one_coordinate_does_what_one_of_several_does(value, own, others):
    few = Sparse(5, np.array([3]), np.array([value]).astype(own))
    more = Sparse(5, np.array([1, 3]), np.array([0, value]).astype(own))
    assert few.bound() == more.bound()
    assert few.to_dense().tobytes() == more.to_dense().tobytes()
    vectors = np.full((2, 5), 0.1, others)
    few.add_to(vectors[0])
    more.add_to(vectors[1])
    assert vectors[0].tobytes() == vectors[1].tobytes()


@given(
    st.lists(st.floats(-1e9, 1e9) | st.floats(-1, 1), min_size=1, max_size=4),
    st.floats(1e-6, 1e6),
    st.sampled_from([np.float32, np.float64]),
)
def test_a_coordinate_moves_a_sum_alone_as_it_does_among_others(values, weight, dtype):
    def folded(places):
        estimate = RememberedEstimate(5, np.dtype(dtype))
        for value in [*values, -values[-1]]:
            sent = np.where(np.array(places) == 3, value, 0).astype(dtype)
            estimate.fold("client", weight, Sparse(5, np.array(places), sent))
        return estimate._stale, estimate._sum.tobytes(), estimate.mean().tobytes()

    assert folded([3]) == folded([1, 3])


# Garbage


@pytest.mark.parametrize(
    ("size", "before", "within"),
    [(5, 700, SELDOM), (SMALL + 1, 700, 700), (5, 0, 0), (5, 2 * SELDOM, 2 * SELDOM)],
    ids=["small model", "large model", "switched off", "more seldom already"],
)
def test_garbage_is_searched_as_before_once_a_run_has_ended(size, before, within):
    usual = gc.get_threshold()
    gc.set_threshold(before, 10, 10)
    try:
        with pytest.raises(KeyError), seldom_searched(size):  # noqa: PT012
            assert gc.get_threshold() == (within, 10, 10)
            raise KeyError
        assert gc.get_threshold() == (before, 10, 10)
    finally:
        gc.set_threshold(*usual)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first out first", "last out first"])
def test_garbage_is_searched_as_before_once_runs_that_overlap_have_ended(order):
    usual = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        runs = [seldom_searched(5), seldom_searched(5)]
        for run in runs:
            run.__enter__()
        runs[order[0]].__exit__(None, None, None)
        assert gc.get_threshold() == (SELDOM, 10, 10)
        runs[order[1]].__exit__(None, None, None)
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*usual)


def test_a_compressor_that_is_not_random_gets_no_generator():
    with pytest.raises(AttributeError, match="asked for normal"):
        UNUSED.normal()


def test_a_client_holds_a_large_model_fewer_than_four_times(monkeypatch):
    benchmarks = Path(__file__).parent.parent / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("the benchmarks are not here")
    monkeypatch.syspath_prepend(str(benchmarks))
    vectors = import_module("_models_runs").client_vectors(2**23, "topk:0.01|natural-nearest")
    assert 3 < vectors < 3.8
