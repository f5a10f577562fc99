"""Studies of real models: tiny runs in process, interrupted ones, and data that are not there."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import path_from_environment

from fl_ef21.engine.study import importable, run_study

STUDIES = Path(__file__).parent.parent / "simulations"
SMALL = {
    "heart": {"clients": 4, "rounds": 2, "seeds": "0", "evaluate-every": 1},
    "newsgroups": {
        "clients": 40,
        "rounds": 1,
        "seeds": "0",
        "evaluate-every": 1,
        "participation": 0.05,
    },
    "shakespeare": {
        "clients": 4,
        "rounds": 1,
        "seeds": "0",
        "evaluate-every": 1,
        "participation": 0.5,
        "local-windows": 20,
    },
    "mnist": {"clients": 60, "rounds": 1, "seeds": "0", "evaluate-every": 1, "participation": 0.04},
}
METHODS = ["FedAvg", "FedAdam", "no feedback", "EF21", "EF21 both ways"]


@pytest.fixture(autouse=True)
def _data():
    path_from_environment("FL_EF21_DATA")


def run(study, out, **changed):
    settings = {**SMALL[study], **changed, "out": str(out)}
    run_study(STUDIES / study, clients=settings["clients"], run_config=settings)
    return json.loads((out / "summary.json").read_text())


def rows(folder):
    found = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in found]


@pytest.mark.parametrize("study", SMALL)
def test_a_study_writes_records_checks_and_a_figure(study, tmp_path):
    summary = run(study, tmp_path / "run")
    assert [row["method"] for row in summary["methods"]] == METHODS
    assert all(row["uplink_payload_bytes"] > 0 for row in summary["methods"])
    assert all(check["holds"] in (True, False) for check in summary["checks"])
    assert (tmp_path / "run" / "figures" / "comparison.png").stat().st_size > 10_000


def test_clients_are_speakers_whose_last_speeches_are_for_the_test():
    with importable(STUDIES / "shakespeare"):
        task = import_module("task")
        speakers = task.load_speakers()
        assert len(speakers) == 299
        assert [len(speech) for speech in speakers] == sorted(map(len, speakers), reverse=True)
        train, test = task.load_split(3, test=False), task.load_split(3, test=True)
        read = torch.cat([train[:, :-1].flatten(), test[:, :-1].flatten()])
        assert set(read.tolist()) <= set(range(task.CHARACTERS))
        border = round(0.8 * len(speakers[3]))
        assert train[0].tolist() == speakers[3][:51].tolist()
        assert test[0].tolist() == speakers[3][border : border + 51].tolist()
        assert 50 * len(train) < border


def test_a_client_touches_the_rows_of_its_own_words_only():
    with importable(STUDIES / "newsgroups"):
        task = import_module("task")
        net, before = task.Net(), task.Net()
        before.load_state_dict(net.state_dict())
        config = {
            "partition": "pathological:2",
            "clients": 50,
            "batch-size": 50,
            "local-epochs": 1,
            "learning-rate": 0.03,
            "embedding-rate": 1.1,
        }
        _, examples = task.train(net, config, client=0, seed=0, draw=1)
        documents, labels = task.load_split("20news_tfidf")
        rows = task.load_partition("pathological:2", 50, 0)[0]
        moved = (net.embedding.weight != before.embedding.weight).any(1).nonzero().flatten()
        assert examples == len(rows)
        assert len(labels[torch.from_numpy(rows)].unique()) == 2
        own = np.unique(documents[rows].indices)
        assert np.isin(moved.numpy(), own).all()
        assert len(moved) > 0.5 * len(own)  # documents that are learnt leave theirs


def test_a_study_that_was_stopped_goes_on(tmp_path):
    out = tmp_path / "run"
    run("heart", out)
    expected, text = rows(out), (out / "history.jsonl").read_text().splitlines(keepends=True)
    (out / "summary.json").unlink()
    (out / "history.jsonl").write_text("".join(text[: len(text) // 2]))
    run("heart", out)
    assert rows(out) == expected


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    out = tmp_path / "run"
    run("heart", out)
    (out / "summary.json").unlink()
    with pytest.raises(FileExistsError, match=r"other settings \(rounds\); give another folder"):
        run("heart", out, rounds=3)


@pytest.mark.parametrize("study", ["heart", "newsgroups"])
def test_data_that_are_not_there_are_named(study, tmp_path, monkeypatch):
    monkeypatch.setenv("FL_EF21_DATA", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    command = [sys.executable, str(STUDIES / study / "run.py"), "--out", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 1
    assert "FL_EF21_DATA" in result.stderr
    assert "Traceback" not in result.stderr
