"""The server's copies of the clients' vectors: in memory, on disk across crashes, or none."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_ef21.compressors import Dense, Fresh, Sparse
from fl_ef21.methods import RememberedEstimate, Snapshot
from fl_ef21.methods.mirrors import DiskMirrors, MemoryMirrors, NoMirrorError, NoMirrors

SIZE, F32 = 6, np.dtype(np.float32)
quick = settings(max_examples=60, deadline=None)


@st.composite
def events(draw):
    """Messages, departures, snapshots, and stops of the process, in any order."""
    found = []
    for _ in range(draw(st.integers(1, 30))):
        client = draw(st.sampled_from([f"client {i}" for i in range(40)]))
        kind = draw(st.sampled_from(["sparse"] * 6 + ["dense", "fresh", "leave", "save", "crash"]))
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        found.append((kind, client, draw(st.sampled_from([1.0, 1.0, 2.0])), message(kind, rng)))
    return found


def message(kind, rng):
    values = rng.normal(size=SIZE).astype(np.float32)
    if kind == "sparse":
        return Sparse(SIZE, np.array([1, 4]), values[:2])
    return Fresh(Dense(values)) if kind == "fresh" else Dense(values)


def remembered(mirrors):
    return RememberedEstimate(SIZE, F32, mirrors=mirrors)


def state(estimate):
    held = {c: (w, v.tobytes()) for c, (w, v) in estimate.contributions().items()}
    return held, estimate.mean().tobytes()


@quick
@given(log=events())
def test_a_file_and_the_last_snapshot_give_back_what_memory_holds(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("mirrors") / "rows"
    memory, disk = (remembered(m) for m in (MemoryMirrors(SIZE, F32), DiskMirrors(SIZE, F32, path)))
    safe = copied(memory.snapshot()), copied(disk.snapshot())
    for kind, client, weight, sent in log:
        if kind == "leave":
            memory.forget(client)
            disk.forget(client)
        elif kind == "save":
            safe = copied(memory.snapshot()), copied(disk.snapshot())
            disk.settle()
        elif kind == "crash":
            # The process stops: what is left is the file and the last snapshot.
            memory, disk = (
                remembered(m) for m in (MemoryMirrors(SIZE, F32), DiskMirrors(SIZE, F32, path))
            )
            memory.restore(safe[0])
            disk.restore(safe[1])
        else:
            memory.fold(client, weight, sent)
            disk.fold(client, weight, sent)
        assert state(disk) == state(memory)


def copied(snapshot):
    """As a file gives it back."""
    arrays = {name: array.copy() for name, array in snapshot.arrays.items()}
    return Snapshot(arrays, json.loads(json.dumps(snapshot.values)))


def test_a_crash_while_the_changes_are_written_is_mended(tmp_path):
    mirrors = DiskMirrors(SIZE, F32, tmp_path / "rows")
    estimate = remembered(mirrors)
    estimate.fold("a", 1.0, Dense(np.arange(6, dtype=np.float32)))
    safe = estimate.snapshot()
    file = np.memmap(tmp_path / "rows", F32, "r+", 64, (16, SIZE))
    file[0, :3] = 9  # half of it, and wrong
    file.flush()
    np.memmap(tmp_path / "rows", np.int64, "r+", shape=(1,))[0] = 1
    again = remembered(DiskMirrors(SIZE, F32, tmp_path / "rows"))
    again.restore(safe)
    np.testing.assert_array_equal(again.vector("a"), np.arange(6))


def test_a_file_that_is_not_the_snapshots_is_refused(tmp_path):
    estimate = remembered(DiskMirrors(SIZE, F32, tmp_path / "rows"))
    snapshots = []
    for i in range(3):
        estimate.fold(str(i), 1.0, Dense(np.ones(SIZE, np.float32)))
        snapshots.append(copied(estimate.snapshot()))
        estimate.settle()
    with pytest.raises(NoMirrorError, match="was written 3 times"):
        remembered(DiskMirrors(SIZE, F32, tmp_path / "rows")).restore(snapshots[1])
    remembered(DiskMirrors(SIZE, F32, tmp_path / "rows")).restore(snapshots[2])
    (tmp_path / "rows").unlink()
    with pytest.raises(NoMirrorError, match="was written 0 times"):
        remembered(DiskMirrors(SIZE, F32, tmp_path / "rows")).restore(snapshots[2])


def test_a_row_that_is_used_again_starts_from_zero(tmp_path):
    estimate = remembered(DiskMirrors(SIZE, F32, tmp_path / "rows"))
    estimate.fold("a", 1.0, Dense(np.ones(SIZE, np.float32)))
    estimate.settle()
    estimate.forget("a")
    estimate.fold("b", 1.0, Sparse(SIZE, np.array([2]), np.ones(1, np.float32)))
    np.testing.assert_array_equal(estimate.vector("b"), [0, 0, 1, 0, 0, 0])


@quick
@given(weights=st.lists(st.floats(0.1, 10), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_without_mirrors_the_sum_is_the_same_in_float64(weights, seed):
    rng = np.random.default_rng(seed)
    f64 = np.dtype(np.float64)
    kept = RememberedEstimate(SIZE, f64)
    bare = RememberedEstimate(SIZE, f64, mirrors=NoMirrors())
    for _ in range(10):
        for client, weight in enumerate(weights):
            sent = Sparse(SIZE, np.array([0, 3]), rng.normal(size=2))
            kept.fold(str(client), weight, sent)
            bare.fold(str(client), weight, sent)
    np.testing.assert_allclose(bare.mean(), kept.mean(), rtol=1e-12, atol=1e-14)


def test_without_mirrors_nothing_can_be_taken_out():
    estimate = remembered(NoMirrors())
    estimate.fold("a", 1.0, Dense(np.ones(SIZE, np.float32)))
    before = estimate.mean()
    for take_out in (
        lambda: estimate.forget("a"),
        lambda: estimate.fold("a", 1.0, Fresh(Dense(np.ones(SIZE, np.float32)))),
        estimate.contributions,
    ):
        with pytest.raises(NoMirrorError, match="mirror='off'"):
            take_out()
    assert estimate.vector("a") is None
    assert estimate.drift() is None
    estimate.forget("unknown")
    np.testing.assert_array_equal(estimate.mean(), before)
