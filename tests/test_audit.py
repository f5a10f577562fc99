"""The auditor: silent on what is right, loud on everything that is not."""

import json

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from quadratic_federation import CLIENTS, DIMENSION, quadratic_app, run, strategy
from test_checkpoints import STRATEGIES

from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.flower.audit import audit
from fl_ef21.flower.client.log import ClientLog
from fl_ef21.flower.storage import Journal, read_journal


class LossyGrid(InProcessGrid):
    """Loses some requests, replies and states."""

    rng = np.random.default_rng(0)

    def deliver(self, message):
        fate = self.rng.random()
        if fate < 0.1:
            return None
        reply = super().deliver(message)
        if fate < 0.13:
            self.contexts[message.metadata.dst_node_id].state = RecordDict()
        return None if fate < 0.25 else reply


def journalled(folder, grid=InProcessGrid):
    return grid(
        quadratic_app(), partition_configs(CLIENTS), run_config={"journal-dir": str(folder)}
    )


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_runs_with_faults_pass(make, tmp_path):
    run(journalled(tmp_path, LossyGrid), 15, make(journal_dir=tmp_path))
    found = audit(tmp_path)
    assert found.violations == ()
    assert found.clients == CLIENTS
    assert found.rounds == 15
    assert 20 < found.committed <= found.applied < found.sent


def test_vectors_are_compared_and_the_sum_is_exact(tmp_path):
    run(journalled(tmp_path), 10, strategy(journal_dir=tmp_path))
    found = audit(tmp_path)
    assert found.compared == found.committed == 9 * CLIENTS
    assert found.applied == found.sent == 10 * CLIENTS
    assert 0 <= found.drift < 1e-14


def test_a_resumed_run_passes(tmp_path):
    grid = journalled(tmp_path)
    arrays = ArrayRecord({"x": Array(np.zeros(DIMENSION))})
    options = {"journal_dir": tmp_path, "checkpoint_dir": tmp_path / "c", "checkpoint_every": 2}
    strategy(**options).start(grid, arrays, num_rounds=5)
    strategy(**options).start(grid, arrays, num_rounds=8, resume_from=tmp_path / "c")
    found = audit(tmp_path)
    assert found.violations == ()
    assert found.resumed == 1


def change_client(grid, node):
    records = grid.contexts[node].state
    log = ClientLog.load(records)
    vector = log.state["estimate"].copy()
    vector[0] += 1e-9
    ClientLog(log.epoch, log.committed, {**log.state, "estimate": vector}, log.pending).store(
        records
    )


def test_a_vector_that_was_changed_at_rest_is_found(tmp_path):
    grid = journalled(tmp_path)
    node = min(grid.contexts)

    def change(row, arrays):
        if row.round == 5:
            change_client(grid, node)

    run(grid, 8, strategy(journal_dir=tmp_path), [change])
    found = audit(tmp_path)
    assert len(found.violations) == 3
    assert "after message 5 the vector of client partition-id=0 is not that" in found.violations[0]


def rewrite(path, change):
    lines = [change(dict(event)) for event in read_journal(path)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line))


LIES = {
    "never applied": lambda e: None if e["event"] == "accepted" and e["round"] == 4 else e,
    "was applied, and its client has no such": lambda e: (
        {**e, "digest": "00"} if e["event"] == "accepted" and e["round"] == 6 else e
    ),
    "was applied where": lambda e: {**e, "seq": 7} if e["event"] == "accepted" else e,
    "was applied twice": lambda e: (
        {**e, "seq": 1, "digest": "aa"} if e["event"] == "accepted" else e
    ),
    "from the sum": lambda e: {**e, "drift": 1e-6} if e["event"] == "applied" else e,
    "is not that of the server": lambda e: (
        {**e, "state": "aa"} if e["event"] == "accepted" and e["round"] == 2 else e
    ),
}


@pytest.mark.parametrize("text", LIES)
def test_every_kind_of_violation_is_found(tmp_path, text):
    run(journalled(tmp_path), 6, strategy(journal_dir=tmp_path))
    assert audit(tmp_path).passed
    rewrite(tmp_path / "server.jsonl", LIES[text])
    found = audit(tmp_path)
    assert not found.passed
    assert any(text in violation for violation in found.violations)


def test_a_line_that_was_cut_is_skipped_and_the_next_one_is_whole(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.write("one", digest=b"\x01")
    with journal.path.open("ab") as file:
        file.write(b'{"event": "tw')
    journal.write("three")
    assert [event["event"] for event in read_journal(journal.path)] == ["one", "three"]


def test_without_a_journal_the_text_says_how_to_get_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="--journal"):
        audit(tmp_path)
