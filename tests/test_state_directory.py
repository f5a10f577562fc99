"""Clients that keep their log on disk: across processes, and beside damage."""

import json
import os
import threading

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from quadratic_federation import (
    CLIENTS,
    quadratic_app,
    run,
    strategy,
)

from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.client.state_directory import KEPT, StateDirectory, files_of
from fl_ef21.flower.storage import ArchiveError, archive, file_name, load, save
from fl_ef21.methods import Snapshot


class RestartingGrid(InProcessGrid):
    """Every node loses its memory after every turn, as a process that ends does."""

    def deliver(self, message):
        reply = super().deliver(message)
        self.contexts[message.metadata.dst_node_id].state = RecordDict()
        return reply


def on_disk(folder):
    return [{**config, "state-dir": str(folder)} for config in partition_configs(CLIENTS)]


def test_clients_go_on_where_they_were_in_a_new_process(tmp_path):
    plain, stored = strategy(), strategy()
    expected = run(InProcessGrid(quadratic_app(), partition_configs(CLIENTS)), 9, plain)
    found = run(RestartingGrid(quadratic_app(), on_disk(tmp_path / "state")), 9, stored)
    assert found.tobytes() == expected.tobytes()
    assert [ack.seq for ack in stored.ledger.joined().values()] == [9] * CLIENTS


def test_without_a_folder_clients_join_again_and_again():
    forgetful = strategy()
    run(RestartingGrid(quadratic_app(), partition_configs(CLIENTS)), 5, forgetful)
    assert [ack.seq for ack in forgetful.ledger.joined().values()] == [1] * CLIENTS


def test_the_run_config_names_the_folder_too(tmp_path):
    grid = InProcessGrid(
        quadratic_app(), partition_configs(CLIENTS), run_config={"state-dir": str(tmp_path)}
    )
    run(grid, 2, strategy())
    assert len(list(tmp_path.iterdir())) == CLIENTS
    assert all(not context.state for context in grid.contexts.values())


@pytest.mark.parametrize("harm", ["cut", "flipped", "another's", "another kind", "empty"])
def test_a_file_that_cannot_be_used_makes_the_client_join_again(tmp_path, harm):
    grid = RestartingGrid(quadratic_app(), on_disk(tmp_path))

    def damage(row, arrays):
        if row.round == 4:
            first, second = sorted(tmp_path.iterdir())[:2]
            data = bytearray(first.read_bytes())
            data[len(data) // 2] ^= 1
            match harm:
                case "cut":
                    first.write_bytes(data[: len(data) // 2])
                case "flipped":
                    first.write_bytes(data)
                case "another's":
                    first.write_bytes(second.read_bytes())
                case "another kind":
                    save(first, "cake", Snapshot({}, {}))
                case "empty":
                    first.write_bytes(b"")

    ef21 = strategy()
    run(grid, 10, ef21, [damage])
    assert sorted(ack.seq for ack in ef21.ledger.joined().values()) == [6, *[10] * 4]
    assert [row.clients for row in ef21.history] == [CLIENTS] * 10


class Alternating:
    """Two runs at the same time, a round each in turn."""

    def __init__(self):
        self.turn = threading.Condition()
        self.next, self.ended = 0, set()
        self.models = {}

    def one(self, number, grid, ef21, rounds):
        def give_way(row=None, arrays=None):
            with self.turn:
                self.next = 1 - number
                self.turn.notify_all()
                if row is not None:
                    self.turn.wait_for(lambda: self.next == number or self.ended)

        with self.turn:
            self.turn.wait_for(lambda: self.next == number or self.ended)
        self.models[number] = run(grid, rounds, ef21, [give_way])
        self.ended.add(number)
        give_way()

    def both(self, configs, strategies, rounds):
        threads = [
            threading.Thread(
                target=self.one,
                args=(i, InProcessGrid(quadratic_app(), configs), ef21, rounds),
                daemon=True,
            )
            for i, ef21 in enumerate(strategies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        return self.models


@pytest.mark.parametrize("options", [{}, {"downlink": "ef21-p:topk:0.25"}], ids=["", "downlink"])
def test_two_runs_at_the_same_time_share_a_folder(tmp_path, options):
    expected = run(
        InProcessGrid(quadratic_app(), partition_configs(CLIENTS)), 12, strategy(**options)
    )
    strategies = [strategy(**options), strategy(**options)]
    models = Alternating().both(on_disk(tmp_path), strategies, 12)
    assert models[0].tobytes() == models[1].tobytes() == expected.tobytes()
    for ef21 in strategies:
        assert [ack.seq for ack in ef21.ledger.joined().values()] == [12] * CLIENTS
        assert [row.failures for row in ef21.history] == [0] * 12


def test_a_client_keeps_its_newest_files_and_nobody_else_s(tmp_path):
    # Names that begin alike, and what an earlier version has left.
    near = file_name("a", "")
    for client in ("a", near, f"{near}.00"):
        home = StateDirectory(tmp_path / file_name(client, f".{0:016x}.state"), client)
        home.save(RecordDict())
    left = tmp_path / file_name("a", ".state")
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    kept = []
    for epoch in range(1, 6):
        kept.append(tmp_path / file_name("a", f".{epoch:016x}.state"))
        StateDirectory(kept[-1], "a").save(RecordDict())
        os.utime(kept[-1], (2e9 + epoch, 2e9 + epoch))
    assert files_of(tmp_path, "a") == kept[-KEPT:]
    assert len(files_of(tmp_path, near)) == len(files_of(tmp_path, f"{near}.00")) == 1
    # A run that goes on in an old epoch, beside files that say they are of the future.
    old = tmp_path / file_name("a", f".{9:016x}.state")
    StateDirectory(old, "a").save(RecordDict())
    assert old in files_of(tmp_path, "a")
    assert len(files_of(tmp_path, "a")) == KEPT


def test_an_app_that_fails_leaves_the_file_as_it_was(tmp_path):
    turns = []

    def raise_when(context):
        turns.append(1)
        return len(turns) == 3 * CLIENTS + 1

    ef21 = strategy()
    run(RestartingGrid(quadratic_app(raise_when), on_disk(tmp_path)), 6, ef21)
    assert [row.failures for row in ef21.history] == [0, 0, 0, 1, 0, 0]
    assert sorted(ack.seq for ack in ef21.ledger.joined().values()) == [5, 6, 6, 6, 6]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    ef21 = strategy()
    run(InProcessGrid(quadratic_app(), on_disk(tmp_path / "taken" / "state")), 1, ef21)
    assert ef21.history[0].failures == CLIENTS
    assert "taken" in ef21.history[0].reasons[0]


def test_what_is_kept_comes_back_bit_for_bit(tmp_path):
    vectors = {"a/b": np.array([0.1, -0.0, np.nan], np.float32), "": np.zeros(0)}
    arrays = ArrayRecord(
        {k: Array(str(v.dtype), v.shape, "fl_ef21.raw", v.tobytes()) for k, v in vectors.items()}
    )
    place = ConfigRecord({"seq": 2**40, "digest": b"\x00\xff", "text": "x", "share": 0.1})
    mine = RecordDict({"fl_ef21.vectors": arrays, "fl_ef21": place, "app": ConfigRecord({"a": 1})})
    home = StateDirectory(tmp_path / "x.state", "ü/…")
    home.save(mine)
    found = home.load()
    assert set(found) == {"fl_ef21.vectors", "fl_ef21"}
    assert dict(found["fl_ef21"]) == dict(place)
    assert {k: a.data for k, a in found["fl_ef21.vectors"].items()} == {
        k: v.tobytes() for k, v in vectors.items()
    }


def test_archives_say_what_they_are(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        load(path, "cake")
    save(path, "cake", Snapshot({"x": np.arange(3)}, {"n": 1, "b": b"\x01"}))
    assert load(path, "cake").values == {"n": 1, "b": b"\x01"}
    with pytest.raises(ArchiveError, match="holds a cake, not a pie"):
        load(path, "pie")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]  # no temporary file is left


@pytest.mark.parametrize("key", ["bytes", "$bytes", "$$bytes", "$", "names"])
def test_a_key_of_any_name_stays_one(tmp_path, key):
    values = {"a": {key: 3}, "b": {key: "00"}, "c": [{key: b"\x00"}], key: b"\xff"}
    save(tmp_path / "a", "cake", Snapshot({}, values))
    assert load(tmp_path / "a", "cake").values == values


def test_an_archive_of_the_first_version_is_still_read(tmp_path):
    about = {"kind": "cake", "format": 1, "names": ["x"]}
    text = json.dumps({**about, "values": {"b": {"bytes": "01"}, "$": 2, "l": [[3, {"n": None}]]}})
    path = tmp_path / "a.npz"
    np.savez(path, **{"array-0": np.arange(3), "about": np.frombuffer(text.encode(), np.uint8)})
    found = load(path, "cake")
    assert found.values == {"b": b"\x01", "$": 2, "l": [[3, {"n": None}]]}
    assert found.arrays["x"].tolist() == [0, 1, 2]


def test_an_archive_of_a_later_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FORMAT", 3)
    monkeypatch.setitem(archive._BYTES, 3, "$bytes")
    save(tmp_path / "a", "cake", Snapshot({}, {}))
    monkeypatch.undo()
    with pytest.raises(ArchiveError, match="has format 3, and this version of fl-ef21 reads up to"):
        load(tmp_path / "a", "cake")


def test_clients_have_files_of_their_own():
    keys = ["a/b", "a:b", "a%2Fb", "x" * 300, "x" * 301, "..", "client-id=ä"]
    names = [file_name(key, ".state") for key in keys]
    assert len(set(names)) == len(keys)
    assert all(len(name) <= 100 and "/" not in name for name in names)
