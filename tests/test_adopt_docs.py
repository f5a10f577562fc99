"""docs/adopt.md, followed word for word on an app that is not in this repository's style."""

import sys

import torch
from adopting import APP, adopted, diffs

from fl_ef21.engine.study import run_study

# One thread, as several test processes share the cores.
torch.set_num_threads(1)

ROUNDS, CLIENTS = 3, 10


def run(folder, steps, monkeypatch, capsys):
    """Run the app in process after some of the page's diffs; return its bytes, and its screen."""
    monkeypatch.chdir(folder.parent)
    run_study(adopted(folder, steps), clients=CLIENTS, run_config={"num-server-rounds": ROUNDS})
    for name in [name for name in sys.modules if name.split(".")[0] == "digitsapp"]:
        del sys.modules[name]
    said = capsys.readouterr().out
    sent, rounds = said.split(" bytes came up in ")
    assert rounds.split()[0] == str(ROUNDS)
    return int(sent.split()[-1].replace(",", ""))


def test_the_page_changes_an_app_that_knows_nothing_of_this_library():
    assert len(diffs()) == 2
    for path in APP.rglob("*.py"):
        assert "fl_ef21" not in path.read_text()


def test_whoever_follows_the_page_sends_a_hundredth(tmp_path, monkeypatch, capsys):
    before = run(tmp_path / "before", 1, monkeypatch, capsys)
    after = run(tmp_path / "after", 2, monkeypatch, capsys)
    assert before > 100 * after
    assert (tmp_path / "final_model.pt").exists()
