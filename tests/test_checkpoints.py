"""A server that stops anywhere and goes on: the same run, bit for bit."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord
from quadratic_federation import CLIENTS, DIMENSION, quadratic_app, run, strategy

from fl_ef21 import (
    DIANA,
    EF14,
    EF21,
    EF21BC,
    EF21HB,
    EF21W,
    MARINA,
    EControl,
    EF21Plus,
    Natural,
    TopK,
)
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.protocol.records import copy_records
from fl_ef21.flower.server.checkpoints import KIND, CheckpointError, Checkpoints, read_checkpoint
from fl_ef21.flower.storage import save
from fl_ef21.methods import Snapshot
from fl_ef21.methods.server import Adam
from fl_ef21.theory import Constants

ROUNDS = 12
COMMON = {"signal": "gradient", "fraction_evaluate": 0.0, "step_size": 0.05, "seed": 5}
TOP = TopK(2)
STRATEGIES = {
    "ef21": strategy,
    "ef21 on disk": lambda **k: strategy(mirror="disk", **k),
    "ef21 without mirrors": lambda **k: strategy(mirror="off", **k),
    "ef21+": lambda **k: EF21Plus(TOP, **COMMON, **k),
    "ef21-pp": lambda **k: strategy(fraction_train=0.6, **k),
    "ef21-hb": lambda **k: EF21HB(TOP, momentum=0.5, **COMMON, **k),
    "ef21-w": lambda **k: EF21W(TOP, smoothness="reported", **COMMON, **k),
    "ef21-bc": lambda **k: EF21BC(TOP, downlink_compressor=TopK(3), **COMMON, **k),
    "auto": lambda **k: strategy(step_size="auto", constants=Constants(2.0, [2.0] * 5), **k),
    "auto-pp": lambda **k: strategy(step_size="auto", fraction_train=0.6, **k),
    "auto-noisy": lambda **k: strategy(step_size="auto", stochastic=True, **k),
    "adam": lambda **k: strategy(server=Adam(), step_size="warmup:2|cosine:0.1:12", **k),
    "warm-up": lambda **k: EF21(TopK(ratio=0.2), ratio_warmup=5, **COMMON, **k),
    "econtrol": lambda **k: EControl(TOP, **COMMON, **k),
    "ef14": lambda **k: EF14(TOP, **COMMON, **k),
    "diana": lambda **k: DIANA(Natural(), **COMMON, **k),
    "marina": lambda **k: MARINA(Natural(), **COMMON, **k),
}


class PowerCut(BaseException):
    """Ends the server's process."""


class CutGrid(InProcessGrid):
    """The server stops after a number of deliveries: at any point of a round."""

    left = None

    def deliver(self, message):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise PowerCut
        return super().deliver(message)


def federation():
    return CutGrid(quadratic_app(), partition_configs(CLIENTS))


def start(grid, ef21, rounds=ROUNDS, **kwargs):
    arrays = ArrayRecord({"x": Array(np.zeros(DIMENSION))})
    evaluate = lambda number, found: MetricRecord({"number": number})  # noqa: E731
    return ef21.start(grid, arrays, num_rounds=rounds, evaluate_fn=evaluate, **kwargs)


def rows(ef21):
    return [
        replace(row, wall_seconds=0.0, downlink_envelope_bytes=0, uplink_envelope_bytes=0)
        for row in ef21.history
    ]


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_run_goes_on_bit_for_bit_wherever_it_was_cut(make, tmp_path):
    whole = make()
    expected = start(federation(), whole).arrays["x"].numpy()

    grid, resumed = federation(), None
    cuts = iter([7, 13, 3, 21])
    while True:
        cut = next(cuts, None)
        grid.left = cut
        ef21 = make(checkpoint_dir=tmp_path)
        try:
            result = start(grid, ef21, resume_from=resumed)
            break
        except PowerCut:
            resumed = tmp_path if list(tmp_path.glob("*.checkpoint")) else None
            if resumed is None:
                grid = federation()
    assert result.arrays["x"].numpy().tobytes() == expected.tobytes()
    assert rows(ef21) == rows(whole)
    assert min(row.clients for row in rows(whole)) > 0
    assert len(list(tmp_path.glob("*.checkpoint"))) == 2
    assert ef21.ledger.joined().keys() == whole.ledger.joined().keys()


def test_metrics_stand_under_the_rounds_own_numbers(tmp_path):
    grid = federation()
    start(grid, strategy(checkpoint_dir=tmp_path), rounds=4)
    result = start(grid, strategy(checkpoint_dir=tmp_path), rounds=6, resume_from=tmp_path)
    assert list(result.train_metrics_clientapp) == [5, 6]
    assert {k: v["number"] for k, v in result.evaluate_metrics_serverapp.items()} == {5: 5, 6: 6}


def test_a_run_that_is_over_gives_its_model(tmp_path):
    grid = federation()
    done = start(grid, strategy(checkpoint_dir=tmp_path), rounds=4)
    again = start(grid, strategy(), rounds=4, resume_from=tmp_path)
    assert again.arrays["x"].numpy().tobytes() == done.arrays["x"].numpy().tobytes()


def test_clients_that_are_ahead_of_an_older_checkpoint_join_again(tmp_path):
    grid = federation()
    start(grid, strategy(checkpoint_dir=tmp_path), rounds=6)
    older = sorted(tmp_path.glob("*.checkpoint"))[0]
    ef21 = strategy()
    result = start(grid, ef21, rounds=300, resume_from=older)
    assert [row.clients for row in ef21.history] == [CLIENTS] * 300
    # The clients' last message was pending: it is dropped, and nobody has to join again ...
    assert all(ack.seq == 300 for ack in ef21.ledger.joined().values())
    assert np.isfinite(result.arrays["x"].numpy()).all()
    # ... but with two rounds between, their state is not the server's any more.
    grid = federation()
    sparse = tmp_path / "sparse"
    start(grid, strategy(checkpoint_dir=sparse, checkpoint_every=3), rounds=5)
    ef21 = strategy()
    start(grid, ef21, rounds=8, resume_from=sparse)
    assert all(ack.seq == 5 for ack in ef21.ledger.joined().values())
    assert sum(row.rejections for row in ef21.history) == 0


def in_folder(folder):
    return sorted(int(path.stem.removeprefix("round-")) for path in folder.glob("*.checkpoint"))


def only_aside(folder):
    (found,) = folder.glob("before-*")
    return found


def from_afar(grid, ef21, rounds, **kwargs):
    arrays = ArrayRecord({"x": Array(np.full(DIMENSION, 100.0))})
    return ef21.start(grid, arrays, num_rounds=rounds, **kwargs).arrays["x"].numpy()


@pytest.mark.parametrize("mirror", ["ram", "disk"])
def test_a_new_run_in_a_used_folder_keeps_both_runs(tmp_path, caplog, mirror):
    make = partial(strategy, mirror=mirror)
    old, new = federation(), federation()
    start(old, make(checkpoint_dir=tmp_path), rounds=8)
    expected_old = start(federation(), make(), rounds=10).arrays["x"].numpy()
    expected_new = from_afar(federation(), make(), 6)

    caplog.clear()
    from_afar(new, make(checkpoint_dir=tmp_path), 3)
    aside = only_aside(tmp_path)
    assert in_folder(tmp_path) == [2, 3]
    assert in_folder(aside) == [7, 8]
    assert f"the last one after round 8; they are in {aside} now" in caplog.text
    found = from_afar(new, make(checkpoint_dir=tmp_path), 6, resume_from=tmp_path)
    assert found.tobytes() == expected_new.tobytes()

    result = start(old, make(checkpoint_dir=aside), rounds=10, resume_from=aside)
    assert result.arrays["x"].numpy().tobytes() == expected_old.tobytes()
    assert list(aside.glob("before-*")) == []


@pytest.mark.parametrize("mirror", ["ram", "disk"])
@pytest.mark.parametrize("within", [True, False], ids=["in the folder", "from elsewhere"])
def test_a_run_that_goes_back_keeps_what_came_later(tmp_path, mirror, within):
    folder, make = tmp_path / "checkpoints", partial(strategy, mirror=mirror)
    grid = federation()
    start(grid, make(checkpoint_dir=folder), rounds=6)
    older = folder / "round-000000005.checkpoint"
    if not within:
        older = Path(shutil.copy(older, tmp_path))
        start(grid, make(checkpoint_dir=folder), rounds=20, resume_from=folder)
    last = in_folder(folder)[-1]
    expected = start(federation(), make(), rounds=last + 2).arrays["x"].numpy()
    states = {node: copy_records(context.state) for node, context in grid.contexts.items()}

    start(federation(), make(checkpoint_dir=folder), rounds=8, resume_from=older)
    aside = only_aside(folder)
    assert in_folder(folder) == [7, 8]
    assert in_folder(aside) == ([6] if within else [19, 20])

    for node, context in grid.contexts.items():
        context.state = states[node]
    result = start(grid, make(checkpoint_dir=aside), rounds=last + 2, resume_from=aside)
    assert result.arrays["x"].numpy().tobytes() == expected.tobytes()


def test_two_new_runs_in_one_second_are_set_aside_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda *_: "before-now")
    for _ in range(3):
        start(federation(), strategy(checkpoint_dir=tmp_path), rounds=1)
    assert sorted(path.name for path in tmp_path.glob("before-*")) == ["before-now", "before-now-2"]


def test_nothing_is_moved_where_no_round_is_run(tmp_path):
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=4)
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=0)
    older = tmp_path / "round-000000003.checkpoint"
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=3, resume_from=older)
    with pytest.raises(CheckpointError, match="seed"):
        start(federation(), strategy(checkpoint_dir=tmp_path, seed=1), resume_from=older)
    assert in_folder(tmp_path) == [3, 4]
    assert list(tmp_path.glob("before-*")) == []


def test_a_checkpoint_never_removes_itself_nor_a_later_one(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in (20, 3, 4, 5):
        checkpoints.write(number, Snapshot())
    assert in_folder(tmp_path) == [4, 5, 20]


def test_mirrors_that_were_lost_start_the_log_anew(tmp_path, caplog):
    grid = federation()
    start(grid, strategy(checkpoint_dir=tmp_path, mirror="disk"), rounds=4)
    for file in (tmp_path / "mirrors").iterdir():
        file.unlink()
    ef21 = strategy(checkpoint_dir=tmp_path, mirror="disk")
    start(grid, ef21, rounds=6, resume_from=tmp_path)
    assert "the log starts anew" in caplog.text
    assert all(ack.seq == 2 for ack in ef21.ledger.joined().values())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda f: f.write_bytes(f.read_bytes()[:100]),
            "cut short or damaged.*beside it is round-000000003",
        ),
        (lambda f: f.write_bytes(f.read_bytes().replace(b"kind", b"kinf")), "damaged"),
        (
            lambda f: f.unlink() or f.with_name("round-000000003.checkpoint").unlink(),
            "has no checkpoint",
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_read_is_refused_by_name(tmp_path, harm, message):
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=4)
    harm(tmp_path / "round-000000004.checkpoint")
    with pytest.raises(CheckpointError, match=message):
        start(federation(), strategy(), resume_from=tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 4}, "seed '0', not '4'"),
        ({"step_size": "auto"}, "step_size '0.15', not 'auto'"),
        ({"scope": "layer"}, "scope 'global', not 'layer'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other, message):
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=2)
    with pytest.raises(CheckpointError, match=message):
        start(federation(), strategy(**other), resume_from=tmp_path)


AUTO = {"step_size": "auto"}
THEORY = {"step_size": "theory", "constants": Constants(2.0, [2.0] * CLIENTS)}


@pytest.mark.parametrize(
    ("make", "first", "then", "message"),
    [
        (strategy, AUTO, {**AUTO, "stochastic": True}, "stochastic 'False', not 'True'"),
        (strategy, AUTO, {**AUTO, "fraction_train": 0.6}, r"fraction_train '1\.0', not '0\.6'"),
        (
            strategy,
            THEORY,
            {**THEORY, "constants": Constants(3.0, [2.0, 2.0, 2.0, 2.0, 7.0])},
            r"constants 'L 2, L_i 5 from 2 to 2 .*', not 'L 3, L_i 5 from 2 to 7",
        ),
        (
            strategy,
            THEORY,
            {**THEORY, "constants": Constants(2.0, [2.0] * CLIENTS, mu=0.1)},
            r"constants 'L 2, .*', not 'L 2, ",
        ),
        (
            strategy,
            {"probabilities": [0.5] * CLIENTS},
            {"probabilities": [0.5] * 4 + [0.7]},
            r"probabilities '5 from 0\.5 to 0\.5 .*', not '5 from 0\.5 to 0\.7",
        ),
        (
            lambda **k: EF21(TopK(k=1), constants=THEORY["constants"], **COMMON, **k),
            {"budget": 10},
            {"budget": 20},
            "budget '10', not '20'",
        ),
        (
            lambda **k: EF21W(TOP, **COMMON, **k),
            {"smoothness": [1.0] * CLIENTS},
            {"smoothness": [1.0, 2.0, 3.0, 4.0, 5.0]},
            "smoothness '5 from 1 to 1 .*', not '5 from 1 to 5 ",
        ),
        (
            lambda **k: EF21W(TOP, **COMMON, **k),
            {"smoothness": [1.0] * CLIENTS},
            {"smoothness": "reported"},
            "smoothness '5 from 1 to 1 .*', not 'reported'",
        ),
    ],
)
def test_a_run_does_not_go_on_with_other_settings(tmp_path, make, first, then, message):
    start(federation(), make(checkpoint_dir=tmp_path, **first), rounds=2)
    with pytest.raises(CheckpointError, match=message):
        start(federation(), make(**then), resume_from=tmp_path)
    start(federation(), make(**first), rounds=3, resume_from=tmp_path)


def test_settings_that_make_no_difference_may_change(tmp_path):
    start(federation(), strategy(checkpoint_dir=tmp_path, **THEORY), rounds=2)
    nearly = {**THEORY, "constants": Constants(2.0 + 1e-12, [2.0 + 1e-12] * CLIENTS)}
    start(federation(), strategy(**nearly), rounds=3, resume_from=tmp_path)
    plain = tmp_path / "plain"
    start(federation(), strategy(checkpoint_dir=plain, constants=THEORY["constants"]), rounds=2)
    start(federation(), strategy(stochastic=True), rounds=3, resume_from=plain)


def test_what_an_earlier_version_has_not_written_down_is_not_compared(tmp_path):
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=2)
    path, found = read_checkpoint(tmp_path)
    known = {k: v for k, v in found.values["identity"].items() if k != "budget"}
    save(path, KIND, Snapshot(found.arrays, {**found.values, "identity": known}))
    start(federation(), strategy(), rounds=3, resume_from=tmp_path)
    with pytest.raises(CheckpointError, match="seed '0', not '1'"):
        start(federation(), strategy(seed=1), resume_from=tmp_path)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    start(federation(), strategy(checkpoint_dir=tmp_path), rounds=2)
    other = ArrayRecord({"y": Array(np.zeros(3))})
    with pytest.raises(CheckpointError, match=r"model 'x float64\[12\]', not 'y float64\[3\]'"):
        strategy().start(federation(), other, resume_from=tmp_path)


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_checkpoints_come_every_whole_number_of_rounds(tmp_path, every):
    with pytest.raises(ValueError, match="checkpoint_every="):
        strategy(checkpoint_dir=tmp_path, checkpoint_every=every)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(federation(), 2, strategy())
    assert list(tmp_path.iterdir()) == []
