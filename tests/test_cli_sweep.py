"""``fl-ef21 sweep``: every combination of a grid, in one folder, and on again after a stop."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_study import command, words, write_run

from fl_ef21.cli.grid import combinations

GRID = "compressor=topk:1,topk:2 step-size=auto,theory"


def sweep(study, *arguments, grid=GRID):
    return command("sweep", study, "--grid", grid, *arguments)


def states(out):
    return [run["state"] for run in json.loads((out / "sweep.json").read_text())["runs"]]


# The text of a grid


def test_a_grid_is_every_combination():
    found = combinations(["a=1,2  b=x,y\tc=z"])
    assert [" ".join(c.values()) for c in found] == ["1 x z", "1 y z", "2 x z", "2 y z"]


def test_grids_are_added_up_and_nothing_is_run_twice():
    assert combinations(["a=1,2 b=x", "a=2,3 b=x"]) == [
        {"a": "1", "b": "x"},
        {"a": "2", "b": "x"},
        {"a": "3", "b": "x"},
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a='x,y',z", ["x,y", "z"]),
        ('a="x y",z', ["x y", "z"]),
        (r"a=x\,y,z\ w", ["x,y", "z w"]),
        ("a='',b", ["", "b"]),
        ("a='it\"s'", ['it"s']),
        (r'a="a\"b"', ['a"b']),
        ("a=x=y", ["x=y"]),
        ("a=topk:0.1|natural", ["topk:0.1|natural"]),
    ],
)
def test_commas_and_spaces_stand_in_quotes(text, values):
    assert [c["a"] for c in combinations([text])] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the grid is empty; give key=value,value"),
        ("topk:1,topk:2", "'topk:1,topk:2' in the grid has no setting; give key=value"),
        ("=1", "'=1' in the grid has no setting"),
        ("a=1,,2", "a value of 'a' is empty; write ''"),
        ("a=", "a value of 'a' is empty"),
        ("a=1 a=2", "'a' stands twice in the grid; give all its values at once"),
        ("a='1,2", "the quote ' in .* is not closed"),
    ],
)
def test_what_is_no_grid_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        combinations([text])


# A sweep


def test_every_combination_is_a_run_in_one_folder(study, engines, undrawn, tmp_path):
    out = tmp_path / "out"
    result = sweep(study, "--rounds", 5, "--out", out)
    assert result.exit_code == 0, result.output
    assert [(name, config["rounds"]) for name, _, _, config in engines.calls] == [
        ("in-process", 5)
    ] * 4
    asked = [(config["compressor"], config["step-size"]) for *_, config in engines.calls]
    assert asked == [(c, s) for c in ("topk:1", "topk:2") for s in ("auto", "theory")]
    folders = [Path(config["out"]) for *_, config in engines.calls]
    assert folders[0] == out / "001_compressor-topk-1_step-size-auto"
    assert all((folder / "summary.json").exists() for folder in folders)
    assert states(out) == ["finished"] * 4
    assert "[1/4] 001_compressor-topk-1_step-size-auto" in result.stderr
    assert "[4/4] 004_compressor-topk-2_step-size-theory, about" in result.stderr


def test_at_the_end_all_runs_are_laid_over_each_other(study, engines, tmp_path):
    out = tmp_path / "out"
    engines.run = lambda config: write_run({**config, "rounds": 5 + len(engines.calls)})
    result = sweep(study, "--out", out)
    assert f"Report   {out}/report.html" in result.stdout
    assert "EF21 topk:1 ·" in result.stdout
    assert "EF21 topk:1 · rounds=9" in (out / "table.md").read_text()
    assert (out / "figures" / "against-rounds.svg").exists()
    page = (out / "report.html").read_text()
    assert "4 runs" in page
    assert f"--out {out}" in page
    result = sweep(study, "--out", out, "--table", "csv")
    assert result.stdout == (out / "table.csv").read_text()


def test_the_same_command_goes_on_in_the_same_folder(
    study, engines, undrawn, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert sweep("toy").exit_code == sweep("toy").exit_code == 0
    assert len(engines.calls) == 4
    (folder,) = tmp_path.glob("results/toy/*")
    assert folder.name.startswith("sweep-")
    assert sweep("toy", "--seed", 1).exit_code == 0
    assert len(engines.calls) == 8
    assert len(list(tmp_path.glob("results/toy/sweep-*"))) == 2


def test_a_grid_may_grow(study, engines, undrawn, tmp_path):
    out = tmp_path / "out"
    assert sweep(study, "--out", out, grid="seed=1,2").exit_code == 0
    result = sweep(study, "--out", out, grid="seed=0,1,2")
    assert "2 runs of 3 finished before" in result.stderr
    assert [config["seed"] for *_, config in engines.calls] == [1, 2, 0]
    result = sweep(study, "--out", out, grid="seed=0,1")
    assert result.exit_code == 2
    assert "holds another sweep" in words(result.stderr)


def test_a_failed_run_does_not_end_the_sweep_and_is_tried_again(study, engines, undrawn, tmp_path):
    def fail(config):
        if config["seed"] == 1:
            raise RuntimeError("client 3 has no data")
        write_run(config)

    out = tmp_path / "out"
    engines.run = fail
    result = sweep(study, "--out", out, grid="seed=0,1,2")
    assert result.exit_code == 1
    assert "1 run failed; the command again tries them again" in result.stderr
    assert f"{out}/002_seed-1: RuntimeError: client 3 has no data" in result.stderr
    assert states(out) == ["finished", "failed", "finished"]
    assert "Traceback" in (out / "002_seed-1" / "log.txt").read_text()
    assert "2 runs" in (out / "report.html").read_text()
    engines.run = write_run
    assert sweep(study, "--out", out, grid="seed=0,1,2").exit_code == 0
    assert [config["seed"] for *_, config in engines.calls] == [0, 1, 2, 1]
    assert states(out) == ["finished"] * 3


# Refusals, before the first round


@pytest.mark.parametrize(
    ("grid", "flags", "message"),
    [
        ("speed=1,2", [], "--grid: study 'toy' has no setting 'speed'; it has data, clients"),
        ("rounds=5,many", [], "--grid: rounds='many' is no whole number, as the default 20 is"),
        ("out=a,b", [], "--grid: the folder is given by the flag --out"),
        ("rounds=5", ["--rounds", 6], "--grid: rounds is in the grid and given by a flag"),
        ("compressor=topk:1", ["--compressor", "topk:2"], "compressor is in the grid and given"),
        (
            "compressor=topk:1,zip,topk:0",
            [],
            "2 combinations of 3 cannot be run: compressor=zip: unknown compressor 'zip'",
        ),
        ("a", [], "--grid: 'a' in the grid has no setting"),
    ],
)
def test_a_bad_grid_is_refused_with_the_fix(study, engines, tmp_path, grid, flags, message):
    result = sweep(study, *flags, "--out", tmp_path / "out", grid=grid)
    assert result.exit_code == 2
    assert message in words(result.stderr)
    assert engines.calls == []
    assert not (tmp_path / "out").exists()


def test_methods_that_need_other_compressors_come_in_grids_of_their_own():
    grids = ("--grid", "method=ef21,diana compressor=topk:2 rounds=1")
    result = command("sweep", "quickstart", *grids, "--out", "/dev/null/x")
    assert "method=diana compressor=topk:2 rounds=1: " in words(result.stderr)
    assert "Give several --grid, which are added up" in words(result.stderr)
    grids = ("--grid", "method=ef21 compressor=topk:2", "--grid", "method=diana")
    result = command("sweep", "quickstart", *grids, "--out", "/dev/null/x")
    assert "cannot write to" in words(result.stderr)


def test_an_unwritable_folder_is_found_before_the_first_round(study, engines, undrawn, tmp_path):
    out = tmp_path / "out"
    assert sweep(study, "--out", out, grid="seed=0").exit_code == 0
    (out / "002_seed-1").write_text("a file in the way")
    result = sweep(study, "--out", out, grid="seed=0,1")
    assert result.exit_code == 2
    assert "002_seed-1 (File exists)" in words(result.stderr)
    assert len(engines.calls) == 1


def test_a_damaged_record_is_named(study, engines, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sweep.json").write_text("{")
    result = sweep(study, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "sweep.json is no record of a sweep" in words(result.stderr)


# Stopped, and on again

STAND_IN = """
import sys, time
sys.path.insert(0, {tests!r})
from toy_study import write_run
from fl_ef21.cli import app
from fl_ef21.engine import study
from fl_ef21.report.run_folder import RunFolder
def run(path, *, clients, run_config):
    if run_config["seed"] == 1:
        RunFolder.create(run_config["out"], run_config).append(
            {{"method": "EF21", "round": 0, "uplink_payload_bytes": 0}}
        )
        print("started", flush=True)
        time.sleep(60)
    write_run(run_config)
study.run_study = run
app()
"""


def start(study, out):
    """Start a sweep of three runs, of which the second never ends, and wait until it is there."""
    code = STAND_IN.format(tests=str(Path(__file__).parent))
    words = ["sweep", study, "--grid", "seed=0,1,2", "--out", out]
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=pipe, stderr=pipe)
    assert process.stdout.readline() == b"started\n"
    return process


@pytest.mark.parametrize(
    ("sent", "code", "state"),
    [
        (signal.SIGKILL, -9, "running"),
        (signal.SIGINT, 130, "waiting"),
        (signal.SIGTERM, 143, "waiting"),
    ],
)
def test_a_sweep_that_was_stopped_goes_on(study, engines, undrawn, tmp_path, sent, code, state):
    out = tmp_path / "out"
    with start(study, out) as process:
        process.send_signal(sent)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in errors
    if sent == signal.SIGINT:
        again = f"Stopped. To go on: fl-ef21 sweep {study} --grid seed=0,1,2 --out {out}"
        assert again in errors.decode()
    assert states(out) == ["finished", state, "waiting"]
    first = (out / "001_seed-0" / "history.jsonl").stat()
    result = sweep(study, "--out", out, grid="seed=0,1,2")
    assert result.exit_code == 0, result.output
    assert "1 run of 3 finished before" in result.stderr
    assert [config["seed"] for *_, config in engines.calls] == [1, 2]
    assert states(out) == ["finished"] * 3
    assert (out / "001_seed-0" / "history.jsonl").stat() == first
    rows = (out / "002_seed-1" / "history.jsonl").read_text().splitlines()
    assert len(rows) == 2 * 21


def test_two_sweeps_do_not_share_a_folder(study, engines, tmp_path):
    out = tmp_path / "out"
    with start(study, out) as process:
        result = sweep(study, "--out", out, grid="seed=0,1,2")
        process.kill()
    assert result.exit_code == 1
    assert f"Another sweep is at work in {out}" in result.stderr
    assert engines.calls == []


# The quickstart itself


def test_the_quickstart_can_be_swept_in_process(undrawn, tmp_path):
    out = tmp_path / "out"
    flags = ("--data", "wine", "--clients", 3, "--rounds", 2, "--set", "regularisation=0.01")
    result = sweep("quickstart", *flags, "--out", out, grid="method=ef21-sgdm:0.5,gd")
    assert result.exit_code == 0, result.output
    table = (out / "table.md").read_text()
    assert table.count("\n| ") == 2  # uncompressed is the same in both runs
    assert "EF21-SGDM" in table
    first, second = sorted(path.parent for path in out.glob("*/summary.json"))
    assert second.name == "002_method-gd_compressor-identity"
    assert json.loads((second / "config.json").read_text())["regularisation"] == 0.01
    assert (first / "report.html").exists()
    shown = next(line for line in (out / "report.html").read_text().splitlines() if "<pre>" in line)
    assert "regularisation=0.01" in shown
