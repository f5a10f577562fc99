"""docs/run-folder.md lists exactly the keys that a run writes."""

import json
import re
from pathlib import Path

import pytest
from toy_study import command

from fl_ef21.engine.study import run_study

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "run-folder.md"
QUICKSTART = ROOT / "simulations" / "quickstart"


def documented(heading):
    """Return the keys in the first columns of a section's tables, one list a table."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    tables = re.findall(r"^\| key .*\n\|[-|]+\n((?:\|.*\n)+)", section, re.MULTILINE)
    return [re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE) for table in tables]


def keys(rows):
    return sorted(key for row in rows for key in re.findall(r"`([^`]*)`", row))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("documented") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fl_ef21.report.report.write_report", lambda folder: None)
        config = {"data": "wine", "clients": 3, "rounds": 2, "out": str(out)}
        run_study(QUICKSTART, clients=3, run_config=config)
    return out


def test_keys_of_the_config(run):
    (table,) = documented("config.json")
    assert keys(table) == sorted(json.loads((run / "config.json").read_text()))


def test_keys_of_the_history(run):
    (table,) = documented("history.jsonl")
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert all(sorted(row) == keys(table) for row in rows)


def test_keys_of_the_summary(run):
    summary = json.loads((run / "summary.json").read_text())
    top, problem, methods = documented("summary.json")
    assert keys(top) == sorted(summary)
    assert keys(problem) == sorted(summary["problem"])
    assert all(keys(methods) == sorted(method) for method in summary["methods"])


def test_keys_of_a_sweep(study, engines, undrawn, tmp_path):
    out = tmp_path / "out"
    assert command("sweep", study, "--grid", "seed=0,1", "--out", out).exit_code == 0
    state = json.loads((out / "sweep.json").read_text())
    (table,) = documented("The folder of a sweep")
    written = [*state, *(f"runs[].{key}" for key in state["runs"][0])]
    assert keys(table) == sorted(written)
