"""Which arrays of a model are compressed how: rules by name, warm-up of ratios, rows."""

import numpy as np
import pytest
from echo import echo_app
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fl_ef21 import EF21, EF21RareFeatures, Identity, TopK, ef21_mod
from fl_ef21.compressors import TopRows, from_text
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.protocol.policy import LayerPolicy, rules_from_text, rules_of
from fl_ef21.methods.downlink import EF21P
from fl_ef21.wire import decode, encode

CLIENTS, WORDS, WIDTH = 3, 400, 8
SHAPES = {"a.bias": (4,), "embedding.weight": (WORDS, WIDTH), "b.weight": (30, 5), "c.bias": (6,)}


def arrays(fill=0.0):
    return ArrayRecord({name: Array(np.full(s, fill, np.float32)) for name, s in SHAPES.items()})


def rng(seed=0):
    return np.random.default_rng(seed)


def updates_app():
    """Every client moves all arrays, and a few rows of the embedding of its own."""
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        i = context.node_config["partition-id"]
        server_round = message.content["config"]["server-round"]
        draw = rng([i, server_round])
        model = message.content["arrays"]
        moved = {n: a.numpy() - draw.normal(size=a.shape).astype("f4") for n, a in model.items()}
        embedding = model["embedding.weight"].numpy().copy()
        embedding[i * 10 : i * 10 + 10] -= draw.normal(size=(10, WIDTH)).astype("f4")
        moved["embedding.weight"] = embedding
        record = ArrayRecord({name: Array(moved[name]) for name in model})
        content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 1})})
        return Message(content, reply_to=message)

    return app


def run(strategy, rounds=3):
    grid = InProcessGrid(updates_app(), partition_configs(CLIENTS))
    result = strategy.start(grid, arrays(), num_rounds=rounds)
    reasons = [row.reasons for row in strategy.history if row.reasons]
    assert not reasons, reasons[0]
    return result.arrays


def options(**more):
    return {"fraction_evaluate": 0.0, **more}


# Rules

RULES = rules_of({"embedding.*": "toprows:0.1", "*.bias": Identity()})


def test_named_arrays_stand_apart_each_with_its_own_compressor():
    policy = LayerPolicy(rules=RULES)
    layout = policy.layout(arrays())
    order = [spec.name for spec in layout.float_specs]
    assert order == ["b.weight", "a.bias", "embedding.weight", "c.bias"]
    blocks = policy.compressor(layout, TopK(0.02)).blocks
    assert [(b.size, str(b.compressor)) for b in blocks] == [
        (150, "topk:0.02"),
        (4, "identity"),
        (WORDS * WIDTH, f"toprows:0.1:{WIDTH}"),
        (6, "identity"),
    ]


def test_a_rule_counts_whatever_the_size_and_the_first_one_wins():
    rules = rules_of({"a.bias": "topk:1", "*.bias": "identity"})
    policy = LayerPolicy(scope="layer", exact_below=200, rules=rules)
    layout = policy.layout(arrays())
    assert [spec.name for spec in layout.float_specs if layout.is_small(spec)] == ["b.weight"]
    blocks = policy.compressor(layout, TopK(0.5)).blocks
    assert [str(b.compressor) for b in blocks] == ["topk:0.5", "topk:1", "identity", "identity"]


@pytest.mark.parametrize(
    "policy",
    [
        {"scope": "layer"},
        {"exact_below": 1},
        {"scope": "layer", "exact_below": 3},
        {"layers": {"empty": "topk:0.5"}},
        {"layers": {"x": "topk:0.5"}},
    ],
    ids=str,
)
def test_arrays_without_elements_take_no_part(policy):
    model = {"empty": (0, 3), "x": (6,), "running_mean": (0,), "none": (2, 0)}
    record = ArrayRecord({name: Array(np.ones(s, np.float32)) for name, s in model.items()})
    strategy = EF21(Identity(), 0.5, signal="gradient", **options(**policy))
    result = strategy.start(InProcessGrid(echo_app(), partition_configs(2)), record, num_rounds=1)
    assert [row.clients for row in strategy.history] == [2]
    assert {name: array.shape for name, array in result.arrays.items()} == model
    kept = 3 if "x" in policy.get("layers", {}) else 6
    assert np.count_nonzero(result.arrays["x"].numpy() == 0.5) == kept


def test_the_text_of_rules_comes_back():
    assert rules_from_text(LayerPolicy(rules=RULES).text) == RULES
    assert rules_from_text("") == ()


def test_named_arrays_travel_as_their_rule_says():
    strategy = EF21(TopK(1), layers={"*.bias": "identity", "b.*": "identity"}, **options())
    model = run(strategy, rounds=1)
    for name in ("a.bias", "c.bias", "b.weight"):
        assert (model[name].numpy() != 0).all()
    assert np.count_nonzero(model["embedding.weight"].numpy()) <= CLIENTS


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_all_clients_and_the_server_agree_with_rules_and_a_compressed_downlink(scope):
    layers = {"embedding.*": "toprows:0.02|natural-nearest", "*.bias": "identity"}
    downlink = EF21P(TopK(0.3))
    strategy = EF21(TopK(0.1), layers=layers, scope=scope, downlink=downlink, **options())
    run(strategy, rounds=5)


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (lambda: EF21(TopK(1), layers={"x;y": "topk:1"}), "no pattern of array names"),
        (lambda: EF21(TopK(1), layers={"": "topk:1"}), "no pattern of array names"),
        (lambda: EF21(TopK(1), layers={"x": "tipk:1"}), "unknown compressor 'tipk:1'"),
        (lambda: rules_from_text("x"), "names no compressor"),
        (lambda: EF21RareFeatures(TopK(1), layers={"x": "topk:1"}), "leave scope"),
        (lambda: run(EF21(TopK(1), layers={"x": "topk:1"}, **options())), "names no float array"),
        (lambda: run(EF21(TopK(1), layers={"a.*": "topk:9"}, **options())), "a.bias .*k=9 is"),
    ],
)
def test_bad_rules_are_refused_by_name(build, part):
    with pytest.raises(ValueError, match=part):
        build()


def test_a_rule_that_does_not_contract_is_refused():
    strategy = EF21(TopK(1), layers={"b.*": "qsgd:4"}, **options())
    with pytest.raises(ValueError, match="needs a contractive compressor"):
        run(strategy)


# Warm-up of the ratio


def test_the_ratio_falls_geometrically_to_its_own():
    strategy = EF21(TopK(0.001), scope="global", ratio_warmup=4, **options())
    run(strategy, rounds=6)
    size = sum(int(np.prod(shape)) for shape in SHAPES.values())
    expected = [0.001 ** min(1, t / 5) for t in range(1, 7)]
    assert expected[:4] == pytest.approx([0.251, 0.063, 0.0158, 0.00398], rel=0.01)
    sent = [row.uplink_payload_bytes for row in strategy.history]
    assert sorted(sent, reverse=True)[:4] == sent[:4]
    kept = [TopK(ratio).count(size) for ratio in expected]
    for payload, count in zip(sent, kept, strict=True):
        assert payload <= CLIENTS * (count * 6 + 60)


def test_rules_warm_up_too_and_counts_stay():
    policy = LayerPolicy(rules=rules_of({"e": "topk:0.01|natural", "f": "topk:5"}))
    assert policy.widened(0.5).text == "e=topk:0.1|natural;f=topk:5"
    assert policy.widened(1.0) == policy


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (lambda: EF21(TopK(0.1), ratio_warmup=-1), "whole number of rounds"),
        (lambda: EF21(TopK(0.1), ratio_warmup=1.5), "whole number of rounds"),
        (lambda: EF21(TopK(5), ratio_warmup=3), "a count of 5 has no warm-up; give a ratio"),
        (lambda: EF21(from_text("sign"), ratio_warmup=3), "needs a compressor with a ratio"),
    ],
)
def test_bad_warm_ups_are_refused(build, part):
    with pytest.raises(ValueError, match=part):
        build()


# Rows


def test_whole_rows_of_largest_norm_are_kept():
    matrix = rng().normal(size=(50, 4)) * rng(1).exponential(size=(50, 1)) ** 3
    dense = TopRows(5, columns=4).compress(matrix.ravel(), rng()).to_dense().reshape(50, 4)
    kept = np.flatnonzero(np.abs(dense).sum(axis=1))
    assert set(kept) == set(np.argsort(-np.square(matrix).sum(axis=1))[:5])
    np.testing.assert_array_equal(dense[kept], matrix[kept])


def test_ties_go_to_the_smaller_row_and_a_short_last_row_counts():
    kept = TopRows(1, columns=2).compress(np.array([0.0, 3.0, 3.0, 0.0, 1.0]), rng())
    assert kept.indices.tolist() == [1]
    last = TopRows(1, columns=2).compress(np.array([0.0, 3.0, 3.0, 0.0, 4.0]), rng())
    assert last.indices.tolist() == [4]


def test_rows_take_the_columns_of_the_array_also_behind_a_rounding():
    assert str(TopRows(0.1).for_shape((20, 3, 5))) == "toprows:0.1:15"
    assert str(TopRows(0.1).for_shape((20,))) == "toprows:0.1:1"
    assert str(from_text("toprows:3|natural").for_shape((20, 4))) == "toprows:3:4|natural"


def test_rows_without_columns_are_refused_with_the_fix():
    with pytest.raises(ValueError, match=r"does not know the rows .* scope='layer'"):
        run(EF21(TopRows(0.1), **options()))
    with pytest.raises(ValueError, match="k=51 is above"):
        TopRows(51, columns=2).check_size(100)
    with pytest.raises(ValueError, match="columns=0"):
        TopRows(0.1, columns=0)


def test_positions_of_rows_cost_far_fewer_bytes_than_scattered_ones():
    """Ten per cent of the coordinates, as rows and scattered: indices almost vanish."""
    vector = rng().normal(size=2000 * 32).astype(np.float32)
    rows, scattered = (from_text(f"{name}|sign") for name in ("toprows:0.1:32", "topk:0.1"))
    by_rows, by_entries = (encode(c.compress(vector, rng())) for c in (rows, scattered))
    assert decode(by_rows, size=vector.size).values.size >= 0.095 * vector.size
    assert len(by_rows) < 0.5 * len(by_entries)


def test_a_client_that_touches_few_rows_sends_them_alone():
    """Three ways to send the rows that a client has touched; the bytes are those of one round."""
    sent = {}
    for name, strategy in {
        "whole": EF21(Identity(), **options()),
        "rows": EF21(
            TopK(0.1), layers={"embedding.*": f"toprows:{10}", "*.bias": "identity"}, **options()
        ),
        "support": EF21RareFeatures(TopK(0.5), **options()),
    }.items():
        run(strategy, rounds=2)
        sent[name] = strategy.history[-1].uplink_payload_bytes
    assert sent["rows"] < sent["whole"] / 5
    assert sent["support"] < sent["whole"] / 5
