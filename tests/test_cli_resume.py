"""``fl-ef21 simulate --checkpoint``, ``--journal``, ``--resume`` and ``fl-ef21 audit``."""

import json
import shutil

import pytest
from toy_study import command, words

from fl_ef21.report.run_folder import RunFolder

SMALL = ("--engine", "in-process", "--data", "wine", "--clients", 3, "--rounds", 6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing has interrupted, with all that can be kept."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fl_ef21.report.report.write_report", lambda folder: None)
        result = command("simulate", *SMALL, "--out", out, "--checkpoint", "--journal")
        assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr("fl_ef21.report.report.write_report", lambda folder: None)


def rows(folder):
    found = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in found]


@pytest.mark.parametrize("cut", [1, 5, 9, 13])
def test_a_run_that_was_cut_goes_on_and_is_the_same(whole, tmp_path, monkeypatch, undrawn, cut):
    out, append, written = tmp_path / "run", RunFolder.append, []

    def failing(folder, row):
        written.append(row)
        if len(written) == cut:
            raise OSError("power cut")
        append(folder, row)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", failing)
        result = command("simulate", *SMALL, "--out", out, "--checkpoint", "--journal")
        assert result.exit_code == 1
    result = command("simulate", "--engine", "in-process", "--resume", out)
    assert result.exit_code == 0, result.output
    assert rows(out) == rows(whole)
    audited = command("audit", out)
    assert audited.exit_code == 0, audited.output


def test_more_rounds_can_be_asked_for(whole, tmp_path, undrawn):
    out = shutil.copytree(whole, tmp_path / "run")
    result = command("simulate", "--engine", "in-process", "--resume", out, "--rounds", 8)
    assert result.exit_code == 0, result.output
    found = rows(out)
    assert found[: len(rows(whole))] == rows(whole)
    assert [(row["round"]) for row in found[len(rows(whole)) :]] == [7, 8, 7, 8]
    assert json.loads((out / "config.json").read_text())["rounds"] == 8


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "is over; for more give --rounds"),
        (("--seed", 1, "--set", "data=iris"), "leave out data, seed"),
        (("--out", "elsewhere"), "goes on in its own folder"),
    ],
)
def test_what_cannot_go_on_is_refused(whole, flags, message):
    result = command("simulate", "--engine", "in-process", "--resume", whole, *flags)
    assert result.exit_code == 2
    assert message in words(result.output)


def test_a_folder_without_a_run_is_named(tmp_path):
    result = command("simulate", "--resume", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "nothing holds no run" in words(result.output)


def test_a_run_without_checkpoints_cannot_go_on(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    result = command("simulate", "--resume", tmp_path)
    assert "only runs with --checkpoint can go on" in words(result.output)


def test_the_audit_of_a_run_that_is_right_passes(whole):
    result = command("audit", whole)
    assert result.exit_code == 0
    assert "Passed" in result.output
    assert "clients with a journal 3" in words(result.output)


def test_the_audit_of_a_run_that_is_wrong_fails(whole, tmp_path):
    journal = shutil.copytree(whole / "journal", tmp_path / "journal")
    client = next(journal.glob("client-*.jsonl"))
    client.write_text("".join(client.read_text().splitlines(keepends=True)[:-4]))
    result = command("audit", tmp_path)
    assert result.exit_code == 1
    assert "VIOLATION" in result.output
    assert "its client has no such message" in words(result.output)


def test_an_audit_without_journals_says_how_to_get_them(tmp_path):
    result = command("audit", tmp_path)
    assert result.exit_code == 2
    assert "simulate --journal" in words(result.output)
