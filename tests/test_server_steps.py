"""Server optimisers against Flower's own, and schedules of the step size."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedYogi
from quadratic_app import CLIENTS, SIZE, Quadratics

from fl_ef21 import EF21, EF21BC, Identity, TopK, ef21_mod
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.strategies.build import strategy_from_texts
from fl_ef21.methods.server import (
    Adagrad,
    Adam,
    Adaptive,
    Descent,
    HeavyBall,
    Regularised,
    Schedule,
    Yogi,
    from_text,
    schedule_from_text,
)

PAIRS = {
    "adam": (Adam(0.8, 0.95, 0.01), FedAdam, {"beta_1": 0.8, "beta_2": 0.95, "tau": 0.01}),
    "yogi": (Yogi(0.8, 0.95, 0.01), FedYogi, {"beta_1": 0.8, "beta_2": 0.95, "tau": 0.01}),
    "adagrad": (Adagrad(0.01), FedAdagrad, {"tau": 0.01}),
}


def start():
    return ArrayRecord({"x": Array(np.linspace(-1.0, 1.0, SIZE))})


def grid_of(app):
    return InProcessGrid(app, partition_configs(CLIENTS))


def updates_app(mods=None):
    """One local step of gradient descent from the model that came."""
    problem = Quadratics()
    app = ClientApp(mods=[ef21_mod] if mods is None else mods)

    @app.train()
    def train(message, context):
        x = message.content["arrays"]["x"].numpy()
        gradient = problem.gradient(context.node_config["partition-id"], x)
        arrays = ArrayRecord({"x": Array(x - 0.1 * gradient)})
        metrics = MetricRecord({"num-examples": 1})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


@pytest.mark.parametrize("name", PAIRS)
def test_without_compression_a_server_optimiser_is_flowers(name):
    step, theirs, parameters = PAIRS[name]
    strategy = EF21(Identity(), 0.05, server=step, fraction_evaluate=0.0)
    ours = strategy.start(grid_of(updates_app()), start(), num_rounds=8)
    reference = theirs(eta=0.05, eta_l=0.1, fraction_evaluate=0.0, **parameters)
    expected = reference.start(grid_of(updates_app([])), start(), num_rounds=8)
    np.testing.assert_allclose(ours.arrays["x"].numpy(), expected.arrays["x"].numpy(), rtol=1e-10)


@pytest.mark.parametrize("step", [Adam(), Yogi(), Adagrad(), Adam(0.5, 0.9, 1e-8)], ids=str)
def test_texts_of_optimisers_come_back(step):
    assert from_text(str(step)) == step
    assert from_text(step.name) == type(step)()
    behind = Regularised("l2", 0.1, step)
    assert from_text(str(behind)) == behind


@pytest.mark.parametrize("step", [Adam(), Yogi(), Adagrad()], ids=str)
def test_a_step_changes_neither_state_nor_model(step):
    rng = np.random.default_rng(0)
    model, state = rng.normal(size=4), {}
    for _ in range(3):
        estimate = rng.normal(size=4)
        before = model.copy(), estimate.copy(), {k: v.copy() for k, v in state.items()}
        moved, new = step.step(state, model, estimate, 0.1)
        np.testing.assert_array_equal(model, before[0])
        np.testing.assert_array_equal(estimate, before[1])
        for key, vector in before[2].items():
            np.testing.assert_array_equal(state[key], vector)
        model, state = moved, new


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (lambda: Adam(beta_1=1.0), "beta_1=1 never forgets"),
        (lambda: Adam(beta_2=-0.1), r"beta_2=-0.1 is outside \[0, 1\]"),
        (lambda: Yogi(tau=0.0), "tau=0.0 is not a positive number"),
        (lambda: from_text("adam:0.9:0.99:0.1:7"), "at most beta_1:beta_2:tau"),
        (lambda: from_text("adagrad:x"), "tau='x' is not a number"),
    ],
)
def test_bad_optimisers_are_refused(build, part):
    with pytest.raises(ValueError, match=part):
        build()


@pytest.mark.parametrize("word", ["theory", "auto"])
def test_no_word_of_the_step_size_goes_with_an_adaptive_step(word):
    problem = Quadratics()
    strategy = EF21(
        TopK(2),
        word,
        constants=problem.constants,
        server=Adam(),
        signal="gradient",
        stochastic=False,
    )
    with pytest.raises(ValueError, match=r"adam.* scales each coordinate; give a number"):
        strategy.start(grid_of(problem.app()), start(), num_rounds=1)


# Schedules

FORMS = [
    Schedule("constant", 0.1),
    Schedule("constant", 0.1, warmup=5),
    Schedule("linear", 0.1, 200),
    Schedule("cosine", 0.1, 200, 0.01),
    Schedule("cosine", 0.1, 200, 0.01, 10),
]


@pytest.mark.parametrize("schedule", FORMS, ids=str)
def test_texts_of_schedules_come_back(schedule):
    assert schedule_from_text(str(schedule)) == schedule


def test_a_schedule_begins_whole_falls_and_stays_above_zero():
    for shape in ("linear", "cosine"):
        values = [Schedule(shape, 0.5, 10).at(t) for t in range(1, 15)]
        assert values[0] == 0.5
        assert (np.diff(values[:10]) < 0).all()
        assert values[9] == values[-1] > 0
    assert Schedule("cosine", 0.4, 10, 0.1).at(6) == pytest.approx(0.25)


def test_warm_up_rises_to_the_schedule_it_stands_before():
    plain, warm = Schedule("cosine", 0.5, 10), Schedule("cosine", 0.5, 10, warmup=4)
    ratios = [warm.at(t) / plain.at(t) for t in range(1, 7)]
    assert ratios == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("cosine:0.1", "forms are"),
        ("cosine:0.1:x", "rounds='x'"),
        ("cosine:0:10", "not a positive number"),
        ("cosine:nan:10", "not a positive number"),
        ("cosine:0.1:10:0.2", r"outside \[0, 0.1\]"),
        ("sine:0.1:10", "forms are"),
        ("warmup:1.5|0.1", "warmup='1.5'"),
        ("linear:0.1:5|0.1", "only warmup:10"),
    ],
)
def test_bad_schedules_are_refused(text, part):
    with pytest.raises(ValueError, match=part):
        EF21(TopK(1), text)


@pytest.mark.parametrize("server", [Descent(), HeavyBall(0.5), Adam()], ids=str)
def test_every_round_steps_by_its_own_gamma_with_any_server_step(server):
    schedule, problem = Schedule("linear", 0.1, 4, warmup=2), Quadratics()
    strategy = EF21(
        Identity(), str(schedule), server=server, signal="gradient", fraction_evaluate=0.0
    )
    result = strategy.start(grid_of(problem.app()), start(), num_rounds=4)
    assert [row.step_size for row in strategy.history] == [schedule.at(t) for t in range(1, 5)]
    x, state = start()["x"].numpy(), {}
    for t in range(1, 5):
        gradient = np.mean([problem.gradient(i, x) for i in range(CLIENTS)], axis=0)
        x, state = server.step(state, x, gradient, schedule.at(t))
    np.testing.assert_allclose(result.arrays["x"].numpy(), x, rtol=1e-12)


def test_clients_that_step_themselves_follow_the_schedule():
    problem = Quadratics()
    strategy = EF21BC(
        Identity(),
        "cosine:0.1:6",
        downlink_compressor=TopK(3),
        signal="gradient",
        fraction_evaluate=0.0,
    )
    strategy.start(grid_of(problem.app()), start(), num_rounds=6)
    assert [row.failures + row.rejections for row in strategy.history] == [0] * 6


def test_an_interrupted_run_goes_on_with_its_moments_and_its_gamma(tmp_path):
    def build(folder=None):
        return EF21(
            TopK(3),
            "cosine:0.1:6",
            server=Adam(),
            signal="gradient",
            checkpoint_dir=folder,
            fraction_evaluate=0.0,
        )

    whole = build().start(grid_of(Quadratics().app()), start(), num_rounds=6)
    grid = grid_of(Quadratics().app())
    build(tmp_path).start(grid, start(), num_rounds=3)
    resumed = build(tmp_path).start(grid, start(), num_rounds=6, resume_from=tmp_path)
    assert resumed.arrays["x"].data == whole.arrays["x"].data


def test_texts_of_the_command_line_build_both():
    strategy = strategy_from_texts("ef21", "topk:2", "warmup:2|cosine:0.1:20", server="adam:0.8")
    assert strategy.steps.rule == Schedule("cosine", 0.1, 20, warmup=2)
    assert isinstance(strategy.model.server, Adaptive)
    assert str(strategy.model.server) == "adam:0.8:0.99:0.001"
