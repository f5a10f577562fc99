"""The quickstart in Flower's own engines: the same model and history as in process, bit for bit."""

import json
from pathlib import Path

import numpy as np
import pytest

from fl_ef21.engine import simulation
from fl_ef21.engine.deployment import LocalFederation
from fl_ef21.engine.study import run_study

QUICKSTART = Path(__file__).parent.parent / "simulations" / "quickstart"
FAILING = Path(__file__).parent / "deployed_study"


def settings(out: Path, clients: int, rounds: int) -> dict[str, int | str]:
    return {"clients": clients, "rounds": rounds, "compressor": "topk:0.05", "out": str(out)}


def in_process(out: Path, clients: int, rounds: int) -> Path:
    run_study(QUICKSTART, clients=clients, run_config=settings(out, clients, rounds))
    return out


def history(out: Path) -> list[dict]:
    """Return the rows without wall times, whose keys end in ``seconds``."""
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]


def assert_same_run(found: Path, expected: Path) -> None:
    assert history(found) == history(expected)
    with np.load(found / "model.npz") as mine, np.load(expected / "model.npz") as theirs:
        assert sorted(mine) == sorted(theirs) == ["EF21 topk:0.05", "uncompressed"]
        assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)


def test_the_quickstart_writes_its_run_folder(tmp_path):
    out = in_process(tmp_path / "run", clients=20, rounds=3)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        "config.json",
        "history.jsonl",
        "summary.json",
        "model.npz",
        "figures/against-bytes.png",
        "figures/against-rounds.png",
        "figures/partition.png",
    } <= names
    plain, ef21 = json.loads((out / "summary.json").read_text())["methods"]
    assert (plain["method"], ef21["method"]) == ("uncompressed", "EF21 topk:0.05")
    assert ef21["reduction"] == plain["uplink_payload_bytes"] / ef21["uplink_payload_bytes"] > 15
    assert [row["round"] for row in history(out)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_data_that_cannot_be_partitioned_end_the_study_with_the_reason(tmp_path):
    config = settings(tmp_path / "run", 2, 1) | {"partition": "natural:1-3"}
    with pytest.raises(ValueError, match="natural:1-3 is not one-hot in digits"):
        run_study(QUICKSTART, clients=2, run_config=config)


def test_unknown_run_config_keys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no key speed; known are checkpoint, clients"):
        run_study(QUICKSTART, clients=2, run_config={"speed": 1})


def failing(out: Path) -> dict[str, int | str]:
    """Return the settings of a run in which an app raises after it has touched its state."""
    (marks := out.with_suffix(".marks")).mkdir()
    return {"clients": 2, "rounds": 3, "faults": "2:1:raise", "marks": str(marks), "out": str(out)}


@pytest.fixture
def in_process_with_a_failure(tmp_path):
    out = tmp_path / "failing"
    run_study(FAILING, clients=2, run_config=failing(out))
    assert [row["failures"] for row in history(out)] == [0, 1, 0]
    assert [row["clients"] for row in history(out)] == [2, 1, 2]
    return out


def assert_same_models(found: Path, expected: Path) -> None:
    assert history(found) == history(expected)
    for number in (1, 2, 3):
        name = f"model-{number}.npy"
        assert (found / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.engine
def test_simulation_engine_equals_in_process(tmp_path):
    expected = in_process(tmp_path / "in-process", clients=4, rounds=3)
    found = tmp_path / "simulation"
    simulation.run(QUICKSTART, clients=4, run_config=settings(found, 4, 3))
    assert_same_run(found, expected)


@pytest.mark.engine
def test_simulation_engine_equals_in_process_when_an_app_raises(
    tmp_path, in_process_with_a_failure
):
    found = tmp_path / "simulation"
    simulation.run(FAILING, clients=2, run_config=failing(found))
    assert_same_models(found, in_process_with_a_failure)


@pytest.mark.engine
def test_deployment_engine_equals_in_process(tmp_path, in_process_with_a_failure):
    expected = in_process(tmp_path / "in-process", clients=2, rounds=2)
    found, failed = tmp_path / "deployment", tmp_path / "deployment-failing"
    with LocalFederation(2) as federation:
        federation.run(QUICKSTART, settings(found, 2, 2), timeout=240)
        federation.run(FAILING, failing(failed), timeout=240)
    assert_same_run(found, expected)
    assert_same_models(failed, in_process_with_a_failure)
