"""Clients that join again although the server knows them are counted and named."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from quadratic_federation import CLIENTS, DIMENSION, quadratic_app, run, strategy
from test_state_directory import RestartingGrid, on_disk

from fl_ef21 import EF21RareFeatures, TopK, ef21_mod
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.server.rejoins import NAMED, PAUSE, Rejoins


def rejoining(caplog):
    return [r.getMessage() for r in caplog.records if "have joined again" in r.getMessage()]


def test_who_joins_again_every_round_is_counted_and_named_now_and_then(caplog):
    forgetful = strategy()
    run(RestartingGrid(quadratic_app(), partition_configs(CLIENTS)), PAUSE + 5, forgetful)
    assert forgetful.ledger.rejoins.times == {f"partition-id={i}": PAUSE + 4 for i in range(5)}
    first, second = rejoining(caplog)
    assert "how often: partition-id=0 (1), partition-id=1 (1), " in first
    assert f"how often: partition-id=0 ({PAUSE + 1}), " in second
    assert "state-dir that lasts" in first


def test_one_line_names_a_few_of_many(caplog):
    rejoins = Rejoins()
    for i in range(NAMED + 2):
        rejoins.note(f"c{i}")
    rejoins.warn(7)
    rejoins.note("c0")
    rejoins.warn(8)
    (line,) = rejoining(caplog)
    assert "c4 (1), and 2 more. " in line


def test_who_keeps_its_state_is_not_said_to_join_again(tmp_path, caplog):
    stored = strategy()
    run(RestartingGrid(quadratic_app(), on_disk(tmp_path)), 5, stored)
    assert not stored.ledger.rejoins.times
    assert not rejoining(caplog)


def sparse_app():
    """An app whose gradient has a second coordinate from the second round on."""
    app, rounds = ClientApp(mods=[ef21_mod]), []

    @app.train()
    def train(message, context):
        rounds.append(1)
        g = np.zeros(DIMENSION)
        g[: min(len(rounds), 2)] = 1.0
        metrics = MetricRecord({"num-examples": 1, "loss": 0.0})
        content = RecordDict({"arrays": ArrayRecord({"x": Array(g)}), "metrics": metrics})
        return Message(content, reply_to=message)

    return app


@pytest.mark.parametrize(("grid", "times"), [(InProcessGrid, 0), (RestartingGrid, 1)])
def test_who_joins_again_with_more_coordinates_has_lost_nothing(grid, times, caplog):
    one = {"min_available_nodes": 1, "min_train_nodes": 1, "fraction_evaluate": 0.0}
    ef21 = EF21RareFeatures(TopK(1), 0.1, signal="gradient", **one)
    run(grid(sparse_app(), partition_configs(1)), 3, ef21)
    assert [ack.seq for ack in ef21.ledger.joined().values()] == [1 if times else 2]
    assert sum(ef21.ledger.rejoins.times.values()) == len(rejoining(caplog)) == times
