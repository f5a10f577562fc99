"""The family through the adapters: what is equal to what, step sizes by theorem, downlinks."""

import logging

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from quadratic_app import CLIENTS, SIZE, Quadratics, options

from fl_ef21 import (
    DASHA,
    DCGD,
    DIANA,
    EF14,
    EF21,
    EF21BC,
    EF21HB,
    EF21P,
    EF21PAGE,
    EF21SGDM,
    EF21W,
    MARINA,
    Cloning,
    EControl,
    EF21Plus,
    EF21Prox,
    EF21RareFeatures,
    Identity,
    Natural,
    PermK,
    RandK,
    ScaledSign,
    TopK,
    UnbiasedRandK,
    ef21_mod,
)
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.protocol.layout import Layout
from fl_ef21.methods import downlink
from fl_ef21.methods.server import Box, HeavyBall, Prox, Regularised
from fl_ef21.theory import Constants, step_size

TOP, GAMMA = TopK(3), 0.2


# Identities

IDENTITIES = {
    "EControl with eta 0": lambda: EControl(TOP, GAMMA, eta=0.0, **options()),
    "SGDM with eta 1": lambda: EF21SGDM(TOP, GAMMA, eta=1.0, **options()),
    "PAGE with whole gradients": lambda: EF21PAGE(TOP, GAMMA, probability=1.0, **options()),
    "heavy ball without momentum": lambda: EF21HB(TOP, GAMMA, momentum=0.0, **options()),
    "a prox of weight 0": lambda: EF21Prox(TOP, GAMMA, prox=Prox("l2", 0.0), **options()),
    "everybody takes part": lambda: EF21(TOP, GAMMA, min_train_nodes=CLIENTS, **options()),
    "BC with Identity": lambda: EF21BC(TOP, GAMMA, downlink_compressor=Identity(), **options()),
    "P with Identity": lambda: EF21(TOP, GAMMA, downlink=downlink.EF21P(Identity()), **options()),
    "W with equal constants": lambda: EF21W(TOP, GAMMA, smoothness=[2.0] * CLIENTS, **options()),
    "cloning with equal constants": lambda: Cloning(
        TOP, GAMMA, smoothness=[2.0] * CLIENTS, **options()
    ),
}


@pytest.mark.parametrize("build", IDENTITIES.values(), ids=IDENTITIES)
def test_special_cases_are_ef21(build):
    first, second = Quadratics(), Quadratics()
    expected = first.run(EF21(TOP, GAMMA, **options()), 8)[0]
    np.testing.assert_allclose(second.run(build(), 8)[0], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("strategy", [EF21W, Cloning])
def test_weights_by_smoothness_change_no_iterate_of_top_k(strategy):
    weighted = strategy(TOP, GAMMA, smoothness=[1.0, 2.0, 3.0, 9.0], **options())
    expected = Quadratics().run(EF21(TOP, GAMMA, **options()), 20)[0]
    np.testing.assert_allclose(Quadratics().run(weighted, 20)[0], expected, rtol=1e-10)


def first_three(app, configs, **kwargs):
    return InProcessGrid(app, configs[:3], **kwargs)


SOME_JOINED = {
    "one is not there": ({}, {"grid_class": first_three}),
    "half a round": ({"fraction_train": 0.5}, {}),
    "half a round from zero": ({"fraction_train": 0.5, "initialisation": "zero"}, {}),
}


@pytest.mark.parametrize("compressor", [TOP, Identity()], ids=str)
@pytest.mark.parametrize(("more", "how"), SOME_JOINED.values(), ids=SOME_JOINED)
@pytest.mark.parametrize("strategy", [EF21W, Cloning])
def test_weights_by_smoothness_average_whoever_has_joined(strategy, more, how, compressor):
    more = options(**more)
    weighted = strategy(compressor, GAMMA, smoothness=[1.0, 1.0, 2.0, 97.0], **more)
    expected = Quadratics().run(EF21(compressor, GAMMA, **more), 12, **how)[0]
    found = Quadratics().run(weighted, 12, **how)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("mirror", ["ram", "disk"])
@pytest.mark.parametrize(("more", "how"), [({}, {}), *SOME_JOINED.values()])
def test_a_message_counts_with_the_scale_that_it_was_made_with(more, how, mirror):
    """A client reports Lᵢ after its first signal, which nobody has multiplied by anything."""
    more = options(**more)
    told = lambda i: {"smoothness": [1.0, 1.0, 2.0, 97.0][i]}  # noqa: E731
    reported = EF21W(Identity(), GAMMA, smoothness="reported", mirror=mirror, **more)
    found = Quadratics().run(reported, 12, metrics=told, **how)[0]
    expected = Quadratics().run(EF21(Identity(), GAMMA, **more), 12, **how)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_smoothness_can_be_reported_by_clients():
    problem = Quadratics()
    reported = EF21W(TOP, GAMMA, smoothness="reported", **options())
    iterates, _ = problem.run(
        reported, 300, metrics=lambda i: {"smoothness": problem.constants.L_i[i]}
    )
    np.testing.assert_allclose(iterates[-1], problem.best, rtol=1e-8)
    assert reported.smoothness.of("partition-id=3") == problem.constants.L_i[3]


def test_a_client_that_reports_nonsense_is_quarantined():
    strategy = EF21W(TOP, GAMMA, smoothness="reported", **options())
    Quadratics().run(strategy, 2, metrics=lambda i: {"smoothness": -1.0 if i == 2 else 1.0})
    assert [row.rejections for row in strategy.history] == [1, 1]
    assert "smoothness constant -1.0 of client 'partition-id=2'" in strategy.history[0].reasons[0]


# Everything converges that should

CONVERGES = {
    "EF21+": lambda: EF21Plus(TOP, GAMMA, **options()),
    "ef14": lambda: EF14(TOP, 0.02, **options()),
    "sgdm": lambda: EF21SGDM(TOP, GAMMA, eta=0.5, **options()),
    "econtrol": lambda: EControl(TOP, GAMMA, eta=0.02, **options()),
    "diana": lambda: DIANA(UnbiasedRandK(6), 0.1, **options()),
    "diana natural": lambda: DIANA(Natural(), 0.2, **options()),
    "marina": lambda: MARINA(UnbiasedRandK(6), 0.1, **options()),
    "dasha": lambda: DASHA(UnbiasedRandK(6), 0.1, **options()),
    "page": lambda: EF21PAGE(TOP, GAMMA, probability=0.3, **options()),
    "perm-k": lambda: EF21(PermK(), GAMMA, **options()),
    "rand-k": lambda: EF21(RandK(4), 0.1, **options()),
    "sign": lambda: EF21(ScaledSign(), 0.1, **options()),
    "top-k natural by layer": lambda: EF21(TOP | Natural(), GAMMA, scope="layer", **options()),
    "both ways": lambda: EF21BC(TOP, 0.1, downlink_compressor=TopK(6), **options()),
    "primal": lambda: EF21P(TopK(6), 0.1, **options()),
    "primal and momentum": lambda: EF21(
        TOP, 0.03, downlink=downlink.EF21P(TopK(6)), server=HeavyBall(0.7), **options()
    ),
    "half of the clients": lambda: EF21(TOP, 0.1, fraction_train=0.5, **options()),
    "half of the clients, primal": lambda: EF21(
        TOP, 0.1, fraction_train=0.5, downlink=downlink.EF21P(TopK(6)), **options()
    ),
}


@pytest.mark.parametrize(("name", "build"), CONVERGES.items(), ids=CONVERGES)
def test_methods_converge_on_strongly_convex_quadratics(name, build):
    problem = Quadratics()
    iterates, _ = problem.run(build(), 150, isolation="none", rollback=False)
    start, end = (problem.value(x) - problem.value(problem.best) for x in (0 * SIZE, iterates[-1]))
    # Classic error feedback converges to a neighbourhood only.
    assert end < (3e-2 if name == "ef14" else 1e-3) * start


def test_perm_k_deals_every_coordinate_to_one_client_of_the_round():
    sent = []

    class Tapped(InProcessGrid):
        def deliver(self, message):
            sent.append(message.content["fl_ef21"]["compressor"])
            return super().deliver(message)

    Quadratics().run(EF21(PermK(), GAMMA, **options()), 1, grid_class=Tapped)
    assert sorted(text for text in sent if text) == [f"permk:{i}:4" for i in range(4)]


def test_page_gives_an_app_records_of_its_own_each_time():
    """An app may take a config apart while it reads it."""
    problem = Quadratics()
    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        i, config = context.node_config["partition-id"], message.content["config"]
        config.pop("minibatch-seed")
        x = message.content["arrays"]["x"].numpy()
        arrays = ArrayRecord({"x": Array(problem.gradient(i, x))})
        metrics = MetricRecord({"num-examples": 1})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    page = EF21PAGE(TOP, GAMMA, probability=1e-9, **options())
    grid = InProcessGrid(app, partition_configs(CLIENTS))
    page.start(grid, ArrayRecord({"x": Array(np.zeros(SIZE))}), num_rounds=3)
    assert [row.clients for row in page.history] == [CLIENTS] * 3


def test_a_silent_node_does_not_end_the_evaluation_of_a_compressed_downlink():
    """Nothing was given for it, and nothing of its own is needed."""

    class Silent(InProcessGrid):
        def deliver(self, message):
            last = message.metadata.dst_node_id == max(self.contexts)
            return None if last else super().deliver(message)

    common = {"downlink": "ef21-p:topk:6", "signal": "gradient"}
    strategy = EF21W(TOP, GAMMA, smoothness=[1.0, 2.0, 3.0], **common)
    for grid in (Silent, InProcessGrid):
        Quadratics().run(strategy, 3, grid)
        assert [row.clients for row in strategy.history] == [CLIENTS - 1] * 3


def test_page_asks_twice_with_equal_minibatches():
    problem = Quadratics()
    strategy = EF21PAGE(TOP, GAMMA, probability=1e-9, **options())
    problem.run(strategy, 3)
    calls = [(i, config) for i, _, config in problem.models]
    # Once in the first round, then at the last model and at the new one.
    assert len(calls) == CLIENTS * (1 + 2 + 2)
    last = [config for i, config in calls[-2 * CLIENTS :] if i == 0]
    assert last[0] == last[1]
    assert last[0]["full-gradient"] is False
    assert len({config["minibatch-seed"] for _, config in calls}) == 3 * CLIENTS


def test_a_regulariser_on_the_server_never_travels():
    problem, weight = Quadratics(), 0.3
    server = Regularised("l2", weight)
    strategy = EF21(TOP, GAMMA, server=server, **options())
    iterates, _ = problem.run(strategy, 200, isolation="none", rollback=False)
    expected = (problem.h * problem.c).mean(0) / (problem.h.mean(0) + weight)
    np.testing.assert_allclose(iterates[-1], expected, rtol=1e-6)


def test_a_box_holds_the_model():
    iterates, _ = Quadratics().run(EF21Prox(TOP, GAMMA, prox=Box(-0.1, 0.1), **options()), 10)
    assert np.abs(iterates).max() == 0.1


# Step sizes


def settled(strategy):
    Quadratics().run(strategy, 1)
    return strategy


def test_step_sizes_by_theorem():
    constants = Quadratics().constants
    for word in ("theory", "published", "2021"):
        strategy = settled(EF21(TOP, word, constants=constants, **options()))
        expected = step_size("ef21", constants, alpha=3 / SIZE, form=word)
        assert strategy.step_size == strategy.history[0].step_size == expected
    assert strategy.steps.source.kind == "published"
    half = settled(EF21(TOP, "theory", constants=constants, fraction_train=0.5, **options()))
    assert half.step_size == step_size("ef21", constants, alpha=3 / SIZE, participation=0.5)


THEOREMS = {
    "gd": lambda **o: DCGD(Identity(), **o),
    "ef21+": lambda **o: EF21Plus(TOP, **o),
    "ef21-w": lambda **o: EF21W(TOP, smoothness=[1.0] * CLIENTS, **o),
    "cloning": lambda **o: Cloning(TOP, smoothness=[1.0] * CLIENTS, **o),
    "ef21-sgdm": lambda **o: EF21SGDM(TOP, eta=0.3, **o),
    "ef21-prox": lambda **o: EF21Prox(TOP, prox=Prox("l1", 0.1), **o),
    "ef21-bc": lambda **o: EF21BC(TOP, downlink_compressor=TOP, **o),
    "ef21-p": lambda **o: EF21P(TOP, **o),
    "econtrol": lambda **o: EControl(TOP, eta=0.02, **o),
    "diana": lambda **o: DIANA(UnbiasedRandK(3), **o),
    "marina": lambda **o: MARINA(UnbiasedRandK(3), **o),
    "dasha": lambda **o: DASHA(UnbiasedRandK(3), **o),
}


@pytest.mark.parametrize(("name", "build"), THEOREMS.items(), ids=THEOREMS)
def test_every_method_knows_its_theorem(name, build, caplog):
    constants = Quadratics().constants
    with caplog.at_level(logging.INFO, logger="flwr"):
        logging.getLogger("flwr").addHandler(caplog.handler)
        strategy = settled(build(step_size="theory", constants=constants, **options()))
    logging.getLogger("flwr").removeHandler(caplog.handler)
    assert 0 < strategy.step_size <= 1 / constants.L
    text = caplog.text
    assert f"Step size by: {strategy.steps.source.formula}" in text
    assert f"L = {constants.L:g}" in text
    assert "no theorem covers" not in text


def test_a_combination_without_a_theorem_says_so_once(caplog):
    constants = Quadratics().constants
    strategy = EF21SGDM(
        TOP, "theory", eta=0.3, constants=constants, server=Prox("l1", 0.1), **options()
    )
    Quadratics().run(strategy, 3)
    assert caplog.text.count("no theorem covers prox:l1:0.1 with ef21-sgdm") == 1


def test_bad_step_sizes_are_refused():
    with pytest.raises(ValueError, match="step_size='best' is unknown; give a positive number"):
        EF21(TOP, "best")
    with pytest.raises(ValueError, match=r"needs the smoothness .* constants=fl_ef21.theory"):
        EF21(TOP, "theory")
    with pytest.raises(ValueError, match="no confirmed"):
        settled(EF21HB(TOP, "theory", constants=Quadratics().constants, **options()))


BAD = {
    "EF21+ with a random compressor": (lambda: EF21Plus(RandK(3)), "deterministic"),
    "cloning with a random compressor": (lambda: Cloning(RandK(3), smoothness=[1]), "differ"),
    "cloning with reports": (lambda: Cloning(TOP, smoothness="reported"), "given"),
    "DIANA with a biased one": (lambda: DIANA(TOP), "unbiased"),
    "MARINA with a biased one": (lambda: MARINA(TOP), "unbiased"),
    "DASHA with a biased one": (lambda: DASHA(TOP), "unbiased"),
    "EF14 with an unbiased one": (lambda: EF14(UnbiasedRandK(3)), "contractive"),
    "a downlink without contraction": (
        lambda: EF21BC(TOP, downlink_compressor=UnbiasedRandK(3)),
        "contractive compressor for the downlink",
    ),
    "BC with momentum": (
        lambda: EF21(TOP, downlink=downlink.EF21BC(TOP), server=HeavyBall(0.5)),
        "plain descent",
    ),
    "no constants": (lambda: EF21W(TOP, smoothness=[]), "empty"),
    "a constant of 0": (lambda: EF21W(TOP, smoothness=[1.0, 0.0]), "not positive"),
    "a word": (lambda: EF21W(TOP, smoothness="guessed"), "only word"),
    "reports without mirrors": (
        lambda: EF21W(TOP, smoothness="reported", mirror="off"),
        "mirror='off' cannot follow",
    ),
    "eta of 0": (lambda: EF21SGDM(TOP, eta=0.0), r"\(0, 1\]"),
    "eta above 1": (lambda: EControl(TOP, eta=1.5), r"\[0, 1\]"),
    "momentum of 1": (lambda: EF21HB(TOP, momentum=1.0), "never forgets"),
    "a probability of 0": (lambda: EF21PAGE(TOP, probability=0.0), r"\(0, 1\]"),
    "a scope": (lambda: EF21(TOP, scope="tensor"), "global, layer"),
    "a negative size": (lambda: EF21(TOP, exact_below=-1), "whole number"),
}


@pytest.mark.parametrize(("build", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_at_construction(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_constants_for_clients_that_are_not_there():
    strategy = EF21W(TOP, smoothness={"partition-id=99": 1.0}, **options())
    with pytest.raises(ValueError, match="no smoothness constant was given for client"):
        Quadratics().run(strategy, 1)


def test_a_client_without_a_constant_is_left_out_by_name():
    strategy = EF21W(TOP, smoothness={"partition-id=0": 1.0}, **options())
    Quadratics().run(strategy, 2)
    assert [row.clients for row in strategy.history] == [1, 1]
    for reason in strategy.history[1].reasons:
        assert "no smoothness constant was given for client 'partition-id=" in reason


# Compressed downlinks


def down_bytes(strategy):
    return [row.downlink_bytes for row in strategy.history]


@pytest.mark.parametrize("down", [downlink.EF21P(TopK(2)), downlink.EF21BC(TopK(2))], ids=str)
def test_a_client_that_lost_its_model_gets_it_whole_after_one_failure(down):
    class Forgetful(InProcessGrid):
        def deliver(self, message):
            if message.content["config"]["server-round"] == 4:
                list(self.contexts.values())[1].state = RecordDict()
            return super().deliver(message)

    strategy = EF21(TOP, 0.1, downlink=down, **options())
    problem = Quadratics()
    iterates, _ = problem.run(strategy, 60, grid_class=Forgetful)
    assert [row.failures for row in strategy.history[:6]] == [0, 0, 0, 1, 0, 0]
    assert "version 2 of the model is not here any more" in strategy.history[3].reasons[0]
    assert np.isfinite(iterates).all()
    assert problem.value(iterates[-1]) < problem.value(iterates[3])


@pytest.mark.parametrize("down", [downlink.EF21P(TopK(2)), downlink.EF21BC(TopK(2))], ids=str)
def test_all_clients_compute_at_the_same_model_whether_they_got_it_whole_or_not(down):
    class Losing(InProcessGrid):
        """Every seventh reply is lost, so that its client gets the next model whole."""

        delivered = 0

        def deliver(self, message):
            self.delivered += 1
            reply = super().deliver(message)
            return None if self.delivered % 7 == 0 else reply

    problem = Quadratics()
    problem.run(EF21(TOP, 0.1, downlink=down, **options()), 12, grid_class=Losing)
    for t in range(12):
        models = {x for i, x, config in problem.models if config["server-round"] == t + 1}
        assert len(models) == 1


NARROW = {
    "float16": {"x": np.float16},
    "float16 beside float32": {"x": np.float32, "y": np.float16},
    "float32 beside float64": {"x": np.float32, "y": np.float64},
}
"""Models of which some arrays have fewer bits a number than the vector."""


@pytest.mark.parametrize("evaluated", [0.0, 1.0])
@pytest.mark.parametrize("down", [downlink.EF21P(TopK(0.02)), downlink.EF21BC(TopK(0.02))], ids=str)
@pytest.mark.parametrize("dtypes", NARROW.values(), ids=NARROW)
def test_models_of_narrow_arrays_are_the_same_bits_however_they_came(dtypes, down, evaluated):
    app, seen = ClientApp(mods=[ef21_mod]), {}

    def bits(arrays):
        return b"".join(array.numpy().tobytes() for array in arrays.values())

    @app.train()
    def train(message, context):
        model, config = message.content["arrays"], message.content["config"]
        seen.setdefault(config["server-round"], set()).add(bits(model))
        rng = np.random.default_rng(context.node_config["partition-id"])
        slopes = {
            name: Array((0.02 * (a.numpy() - rng.normal(size=a.shape))).astype(a.dtype))
            for name, a in model.items()
        }
        content = {"arrays": ArrayRecord(slopes), "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        metrics = {"num-examples": 1, "norm": len(bits(message.content["arrays"]))}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    class Losing(InProcessGrid):
        """Every ninth reply to train is lost, so that its client gets the next model whole."""

        delivered = 0

        def deliver(self, message):
            reply = super().deliver(message)
            self.delivered += message.metadata.message_type == "train"
            return reply if self.delivered % 9 or message.metadata.message_type != "train" else None

    strategy = EF21(TopK(0.1), 0.5, downlink=down, **options(fraction_evaluate=evaluated))
    kept = []
    strategy.start(
        Losing(app, partition_configs(CLIENTS), isolation="serialised"),
        ArrayRecord({name: Array(np.full(600, 8, dtype)) for name, dtype in dtypes.items()}),
        num_rounds=20,
        callbacks=[lambda row, arrays: kept.append(bits(arrays))],
    )
    lost = [CLIENTS * t // 9 - CLIENTS * (t - 1) // 9 for t in range(1, 21)]
    assert [row.failures for row in strategy.history] == lost
    assert [len(models) for models in seen.values()] == [1] * 20
    if down.shares_iterate:
        # What the server holds after a round is what clients compute at in the next.
        assert [{model} for model in kept[:-1]] == [seen[t] for t in range(2, 21)]


def test_a_model_of_one_dtype_is_not_rounded():
    vector, arrays = np.ones(3, np.float32), ArrayRecord({"x": Array(np.ones(3, np.float32))})
    assert Layout.of(arrays).rounded(vector) is vector


def test_messages_of_a_large_model_are_far_shorter_than_the_model():
    class Wide(Quadratics):
        def __init__(self):
            super().__init__()
            self.h = np.ones((CLIENTS, 5000))
            self.c = np.random.default_rng(1).normal(size=(CLIENTS, 5000))

    wide = Wide()
    strategy = EF21BC(TopK(50), 0.5, downlink_compressor=TopK(50), **options())
    grid = InProcessGrid(wide.app(), partition_configs(CLIENTS))
    strategy.start(grid, ArrayRecord({"x": Array(np.zeros(5000))}), num_rounds=4)
    first, second, *later = down_bytes(strategy)
    # The model whole, the direction whole, then messages.
    assert first > CLIENTS * 40_000
    assert all(rest < first / 20 for rest in later)
    assert second <= 1.1 * first


def test_evaluation_goes_through_the_compressed_downlink():
    strategy = EF21(TOP, 0.1, downlink=downlink.EF21P(TopK(4)), signal="gradient")
    problem, losses = Quadratics(), []
    aggregate = strategy.aggregate_evaluate

    def remembering(server_round, replies):
        metrics = aggregate(server_round, replies)
        losses.append(metrics["loss"])
        return metrics

    strategy.aggregate_evaluate = remembering
    problem.run(strategy, 6)
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    # The next round finds clients that hold the newest model already: nothing but an instruction.
    assert down_bytes(strategy)[-1] < down_bytes(strategy)[0]
    assert not any(row.failures for row in strategy.history)


# Supports, budgets, probabilities


class Rare(Quadratics):
    """Client i depends on coordinates 3i to 3i + 4 only."""

    def __init__(self):
        super().__init__()
        self.owned = [(np.arange(5) + 3 * i) % SIZE for i in range(CLIENTS)]
        mask = np.zeros((CLIENTS, SIZE))
        for i, indices in enumerate(self.owned):
            mask[i, indices] = 1
        self.h = self.h * mask
        self.best = (self.h * self.c).sum(0) / self.h.sum(0)
        self.constants = Constants(
            L=self.h.mean(0).max(),
            L_i=self.h.max(1),
            supports=[np.sort(indices) for indices in self.owned],
            dimension=SIZE,
        )


def test_supports_are_learned_told_once_and_make_messages_shorter():
    problem, dense = Rare(), Rare()
    rare = EF21RareFeatures(TopK(1), "theory", constants=problem.constants, **options())
    iterates, _ = problem.run(rare, 150, isolation="none", rollback=False)
    # The steps of the theorems: L_AM ξ(1/5) within supports against L_AM ξ(1/12).
    assert rare.step_size > 1.5 * step_size("ef21", problem.constants, alpha=1 / SIZE)
    plain = EF21(TopK(1), "theory", constants=problem.constants, **options())
    slower, _ = dense.run(plain, 150, isolation="none", rollback=False)
    assert problem.value(iterates[-1]) < problem.value(slower[-1])
    told, later = rare.history[0], rare.history[1]
    assert told.uplink_payload_bytes > later.uplink_payload_bytes
    assert rare.steps.source.kind == "derived"


def test_full_supports_are_ef21():
    expected = Quadratics().run(EF21(TOP, GAMMA, **options()), 8)[0]
    rare = Quadratics().run(EF21RareFeatures(TOP, GAMMA, **options()), 8)[0]
    np.testing.assert_array_equal(rare, expected)


def test_a_support_that_grows_is_told_again():
    problem = Quadratics()
    gradient = problem.gradient

    def growing(i, x):
        found = gradient(i, x)
        found[SIZE // 2 :] *= x.any()  # at x = 0 half of the coordinates are silent
        return found

    problem.gradient = growing
    strategy = EF21RareFeatures(TOP, GAMMA, **options())
    iterates, _ = problem.run(strategy, 150, isolation="none", rollback=False)
    assert not any(row.rejections or row.failures for row in strategy.history)
    np.testing.assert_allclose(iterates[-1], problem.best, atol=1e-3)


def test_a_budget_is_shared_by_smoothness():
    problem = Quadratics()
    strategy = EF21(TopK(1), "theory", budget=12, constants=problem.constants, **options())
    problem.run(strategy, 2)
    counts = strategy.shares.counts
    assert sum(counts) == 12
    assert counts[3] == max(counts)
    alphas = [k / SIZE for k in counts]
    assert strategy.step_size == step_size("ef21", problem.constants, alpha=alphas)
    assert strategy.compressor_of("partition-id=3") == TopK(counts[3])


def test_a_budget_below_the_number_of_clients_is_refused():
    constants = Quadratics().constants
    with pytest.raises(ValueError, match="budget"):
        settled(EF21(TopK(1), 0.1, budget=3, constants=constants, **options()))
    with pytest.raises(ValueError, match=r"budget=9 needs constants"):
        EF21(TopK(1), 0.1, budget=9)
    with pytest.raises(ValueError, match="keeps a count"):
        EF21(ScaledSign(), 0.1, budget=9, constants=constants)


def test_clients_take_part_with_their_own_probabilities():
    problem, shares = Quadratics(), [1.0, 0.5, 0.25, 0.1]
    strategy = EF21(TOP, "theory", probabilities=shares, constants=problem.constants, **options())
    problem.run(strategy, 200, isolation="none", rollback=False)
    seen = np.bincount([i for i, _, _ in problem.models], minlength=CLIENTS) / 200
    np.testing.assert_allclose(seen, shares, atol=0.12)
    assert seen[0] == 1
    expected = step_size("ef21", problem.constants, alpha=3 / SIZE, participation=shares)
    assert strategy.step_size == expected
    with pytest.raises(ValueError, match=r"probability 0 of client partition-id=1 is not in"):
        EF21(TOP, probabilities=[1.0, 0])


# The automatic step size


@pytest.mark.parametrize("known", [True, False], ids=["from 1/L", "from a millionth"])
def test_auto_needs_no_constants_and_beats_the_theorems(known):
    problem, theory = Quadratics(), Quadratics()
    constants = problem.constants if known else None
    auto = EF21(TOP, "auto", constants=constants, **options())
    iterates, _ = problem.run(auto, 60, isolation="none", rollback=False)
    by_theorem = EF21(TOP, "theory", constants=problem.constants, **options())
    slower, _ = theory.run(by_theorem, 60, isolation="none", rollback=False)
    gap = problem.value(iterates[-1]) - problem.value(problem.best)
    assert gap < 1e-2 * (problem.value(slower[-1]) - problem.value(problem.best))
    steps = [row.step_size for row in auto.history]
    assert steps[0] == (1 / problem.constants.L if known else 1e-6)
    assert max(steps) > 10 * by_theorem.step_size


def test_auto_goes_back_when_the_loss_rises():
    problem = Quadratics()
    auto = EF21(TOP, "auto", **options())
    settle = auto.steps.settle

    def far_too_large(recipe):
        settle(recipe)
        auto.steps.automatic = type(auto.steps.automatic)(1e3)

    auto.steps.settle = far_too_large
    iterates, _ = problem.run(auto, 80, isolation="none", rollback=False)
    rejected = [t for t, row in enumerate(auto.history) if row.step_size == 0]
    assert rejected[:1] == [1]
    # A round that is rejected leads back to the model before, where clients are asked again.
    np.testing.assert_array_equal(iterates[1], 0)
    np.testing.assert_allclose(iterates[-1], problem.best, rtol=1e-2)


def test_auto_asks_for_what_it_needs():
    class Silent(Quadratics):
        def loss(self, i, x):
            return None

    with pytest.raises(ValueError, match="needs the clients' losses: let the app return"):
        Silent().run(EF21(TOP, "auto", **options()), 2)
    with pytest.raises(ValueError, match="take steps back"):
        EF14(TOP, "auto")
    with pytest.raises(ValueError, match="take steps back"):
        EF21BC(TOP, "auto", downlink_compressor=TOP)


def test_auto_sees_what_the_server_adds():
    problem, weight = Quadratics(), 3.0
    server = Regularised("l2", weight)
    auto = EF21(TOP, "auto", server=server, **options())
    iterates, _ = problem.run(auto, 80, isolation="none", rollback=False)
    expected = (problem.h * problem.c).mean(0) / (problem.h.mean(0) + weight)
    np.testing.assert_allclose(iterates[-1], expected, rtol=1e-3)


class OneIsGone(InProcessGrid):
    """The last node answers in the first two rounds only."""

    def deliver(self, message):
        gone = message.metadata.dst_node_id == max(self.contexts)
        return (
            None if gone and message.content["fl_ef21"]["round"] > 2 else super().deliver(message)
        )


@pytest.mark.parametrize("why", ["gone", "NaN", "no number"])
def test_auto_does_without_a_client_that_reports_no_loss(why, caplog):
    problem = Quadratics()

    def metrics(i):
        loss = {"gone": problem.loss(i, np.zeros(SIZE)), "NaN": np.nan, "no number": [1.0]}[why]
        return {"loss": loss} if i == CLIENTS - 1 and why != "gone" else {}

    grid = OneIsGone if why == "gone" else InProcessGrid
    auto = EF21(TOP, "auto", **options())
    iterates, _ = problem.run(auto, 150, grid, metrics, isolation="none", rollback=False)
    assert "some client has not reported its loss" in caplog.text
    assert max(row.step_size for row in auto.history) > 0.05
    if why == "gone":
        # Its last gradient goes on counting, and the others' losses end where that leads upwards.
        losses = [np.mean([problem.loss(i, x) for i in range(CLIENTS - 1)]) for x in iterates]
        assert losses[-1] < 0.9 * losses[0]
        assert np.abs(iterates[-1] - iterates[-30]).max() < 1e-2
    else:
        np.testing.assert_allclose(iterates[-1], problem.best, atol=0.05)


def test_auto_forgives_a_lost_reply():
    class Loses(InProcessGrid):
        def deliver(self, message):
            lost = message.content["fl_ef21"]["round"] in (5, 6, 20)
            first = message.metadata.dst_node_id == min(self.contexts)
            return None if lost and first else super().deliver(message)

    problem = Quadratics()
    auto = EF21(TOP, "auto", **options())
    iterates, _ = problem.run(auto, 80, Loses, isolation="none", rollback=False)
    assert auto.steps.automatic.is_whole
    np.testing.assert_allclose(iterates[-1], problem.best, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_auto_waits_in_a_round_that_draws_nobody(seed):
    problem = Quadratics()
    auto = EF21(TOP, "auto", probabilities=[0.3] * CLIENTS, seed=seed, **options())
    iterates, _ = problem.run(auto, 30, isolation="none", rollback=False)
    nobody = [t for t, row in enumerate(auto.history) if not row.clients]
    assert nobody
    before = np.vstack([np.zeros(SIZE), iterates])
    assert all(np.array_equal(before[t], before[t + 1]) for t in nobody)
    assert np.abs(iterates[-1]).max() > 0


def test_auto_weighs_losses_as_the_strategy_weighs_clients():
    """EF21-W counts all clients alike, however many examples they have."""
    alike = EF21W(TOP, "auto", smoothness=[2.0] * CLIENTS, **options())
    found = Quadratics().run(alike, 30, metrics=lambda i: {"num-examples": 10**i})[0]
    expected = Quadratics().run(EF21(TOP, "auto", **options()), 30)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_auto_with_sampled_clients_converges():
    problem = Quadratics()
    auto = EF21(TOP, "auto", fraction_train=0.5, **options())
    iterates, _ = problem.run(auto, 300, isolation="none", rollback=False)
    assert not auto.steps.automatic.is_whole
    gap = problem.value(iterates[-1]) - problem.value(problem.best)
    assert gap < 1e-2 * (problem.value(np.zeros(SIZE)) - problem.value(problem.best))


def test_auto_chooses_its_rule_by_what_is_noisy():
    rules = {
        EF21(TOP, "auto", signal="update"): True,
        EF21(TOP, "auto", signal="gradient"): False,
        EF21SGDM(TOP, "auto", signal="gradient"): True,
        EF21(TOP, "auto", signal="gradient", stochastic=True): True,
    }
    assert {strategy: strategy.steps.noisy for strategy in rules} == rules


def test_a_loop_of_ones_own_settles_the_step_and_the_budget_too():
    """Apps that need a hook copy the loop of ``start``, and call the other methods themselves."""
    problem = Quadratics()
    constants = problem.constants
    strategy = EF21(TopK(1), "theory", budget=12, constants=constants, **options())
    arrays = ArrayRecord({"x": Array(np.zeros(SIZE))})
    grid = InProcessGrid(problem.app(), partition_configs(CLIENTS))
    for server_round in (1, 2):
        instructions = strategy.configure_train(server_round, arrays, ConfigRecord(), grid)
        arrays, _ = strategy.aggregate_train(server_round, grid.send_and_receive(instructions))
    alphas = [k / SIZE for k in strategy.shares.counts]
    assert strategy.step_size == step_size("ef21", constants, alpha=alphas)
    assert np.isfinite(arrays["x"].numpy()).all()


@pytest.mark.parametrize("down", [downlink.EF21P(TopK(2)), downlink.EF21BC(TopK(2))], ids=str)
def test_a_copy_of_the_model_that_changed_at_rest_is_noticed_and_replaced(down):
    class Rotting(InProcessGrid):
        def deliver(self, message):
            if message.content["config"]["server-round"] == 4:
                vectors = list(self.contexts.values())[1].state["fl_ef21.shadow.vectors"]
                model = np.frombuffer(vectors["model"].data) + 1e-9
                vectors["model"] = Array("float64", (SIZE,), "fl_ef21.raw", model.tobytes())
            return super().deliver(message)

    strategy, problem = EF21(TOP, 0.1, downlink=down, **options()), Quadratics()
    problem.run(strategy, 6, grid_class=Rotting)
    assert [row.failures for row in strategy.history] == [0, 0, 0, 1, 0, 0]
    assert "the model is not the server's" in strategy.history[3].reasons[0]
    last = {x for _, x, config in problem.models if config["server-round"] == 6}
    assert len(last) == 1
