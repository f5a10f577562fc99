"""The command line, over a study and engines that are stand-ins of a few lines."""

import io
import json
import logging
import math
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from rich.console import Console
from toy_study import PROJECT, command, words, write_run

from fl_ef21._version import __version__
from fl_ef21.cli import app, showing
from fl_ef21.cli.options import SETTINGS
from fl_ef21.engine.simulation import RunFailed
from fl_ef21.flower.strategies.kinds import KINDS
from fl_ef21.report import words as report_words
from fl_ef21.report.draw import figures_of
from fl_ef21.report.report import report_of


def simulate(*arguments):
    return command("simulate", *arguments)


# What a run says and passes on


def test_a_run_ends_with_table_figures_and_folder(study, engines, tmp_path, monkeypatch):
    monkeypatch.setattr(showing, "figures_of", figures_of)
    monkeypatch.setattr(showing, "report_of", report_of)
    out = tmp_path / "out"
    result = simulate(study, "--out", out, "--rounds", 10)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("toy · 4 clients")
    assert "Problem  4 parameters, L = 1" in result.stdout
    assert "4.0×" in result.stdout
    assert "160 B" in result.stdout
    assert f"Report   {out}/report.html" in result.stdout
    assert "</html>" in (out / "report.html").read_text()
    assert f"Figure   {out}/figures/against-bytes.png" in result.stdout
    assert (out / "figures" / "against-rounds.svg").exists()
    assert f"Records  {out}" in result.stdout
    assert "fl-ef21 simulate toy" in result.stdout.splitlines()[-1]
    assert "EF21 topk:1: round 10/10 loss" in result.stderr


@pytest.mark.parametrize("engine", ["simulation", "in-process"])
def test_only_given_flags_are_passed_on(study, engines, tmp_path, engine):
    out = tmp_path / "out"
    flags = ("--engine", engine, "--out", out)
    assert simulate(study, *flags, "--compressor", "topk:1", "--seed", 3).exit_code == 0
    config = {"clients": 4, "out": str(out), "compressor": "topk:1", "seed": 3}
    assert engines.calls == [(engine, study, 4, config)]


def test_a_study_says_where_it_usually_runs(study, engines, tmp_path):
    project = study / "pyproject.toml"
    project.write_text(project.read_text() + '[tool.fl-ef21]\nengine = "in-process"\n')
    assert simulate(study, "--out", tmp_path / "a").exit_code == 0
    assert simulate(study, "--engine", "simulation", "--out", tmp_path / "b").exit_code == 0
    assert [engine for engine, *_ in engines.calls] == ["in-process", "simulation"]


def test_the_papers_size_gives_way_to_other_flags(study, engines, tmp_path):
    assert "has no full.toml" in simulate(study, "--full", "--out", tmp_path / "a").stderr
    (study / "full.toml").write_text('clients = 9\nrounds = 70\ndata = "digits,wine"\n')
    out = tmp_path / "out"
    assert simulate(study, "--full", "--rounds", 20, "--out", out).exit_code == 0
    ((_, _, clients, config),) = engines.calls
    assert clients == 9
    assert config == {"clients": 9, "rounds": 20, "data": "digits,wine", "out": str(out)}


def test_progress_is_shown_while_a_run_in_this_process_lives(study, engines, tmp_path, capfd):
    def write_slowly(run_config):
        write_run(run_config)
        time.sleep(1)
        sys.stderr.write("the study ends\n")

    engines.run = write_slowly
    with pytest.raises(SystemExit, match="0"):
        app(["simulate", str(study), "--engine", "in-process", "--out", str(tmp_path / "out")])
    shown = capfd.readouterr().err
    assert 0 < shown.index("EF21 topk:1: round 20/20") < shown.index("the study ends")


def test_paths_are_made_absolute(study, engines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.svm").write_text("1 1:1\n")
    assert simulate("toy", "--data", "mine.svm", "--clients", 7, "--out", "runs/a").exit_code == 0
    ((_, path, clients, config),) = engines.calls
    assert (path, clients) == (study, 7)
    assert config["data"] == str(tmp_path / "mine.svm")
    assert config["out"] == str(tmp_path / "runs" / "a")


def test_the_default_folder_is_named_after_study_and_time(study, engines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert simulate(study).exit_code == 0
    (config,) = tmp_path.glob("results/toy/*/config.json")
    assert time.strptime(config.parent.name, "%Y-%m-%d_%H-%M-%S")


def test_any_setting_of_the_study_can_be_set(study, engines, tmp_path):
    (study / "pyproject.toml").write_text(PROJECT + "regularisation = 0.1\nfast = false\n")
    out = tmp_path / "out"
    more = ("--set", "regularisation=2", "--set", "fast=true", "--set", "rounds=7")
    assert simulate(study, *more, "--out", out).exit_code == 0
    ((*_, config),) = engines.calls
    assert config == {
        "clients": 4,
        "out": str(out),
        "regularisation": 2.0,
        "fast": True,
        "rounds": 7,
    }
    assert type(config["regularisation"]) is float


def test_the_report_knows_which_settings_are_flags():
    assert [key.replace("_", "-") for key in SETTINGS] == list(report_words.FLAGS)


# Refusals, before an engine is started


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compressor", "topk:1.5"], "--compressor: .*1.5"),
        (["--compressor", "zip"], "--compressor: unknown compressor 'zip'; known are bernoulli"),
        (["--partition", "nonsense"], "--partition: .*nonsense"),
        (["--step-size", "-1"], "--step-size: step size -1 is outside .0, ∞.; give a positive"),
        (["--step-size", "nan"], "--step-size: step size nan is outside"),
        (["--rounds", "0"], "'--rounds': 0 is not in the range x>=1"),
        (["--clients", "0"], "'--clients': 0 is not in the range x>=1"),
        (["--set", "speed=9"], "--set: study 'toy' has no setting 'speed'; it has data, clients"),
        (["--set", "rounds=many"], "--set: rounds='many' is no whole number, as the default 20 is"),
        (["--set", "rounds"], "--set: 'rounds' has no '='; give KEY=VALUE"),
        (["--set", "out=x"], "--set: the folder is given by the flag --out"),
        (["--set", "seed=1", "--seed", "2"], "--set: seed is given twice, by its flag too"),
        (["--set", "compressor=zip"], "--compressor: unknown compressor 'zip'"),
        (["--engine", "ray"], "'--engine': 'ray' is not one of 'simulation', 'in-process'"),
    ],
)
def test_a_bad_value_is_refused_with_the_fix(study, engines, tmp_path, arguments, message):
    result = simulate(study, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert re.search(message, words(result.stderr)), result.stderr
    assert "Traceback" not in result.stderr
    assert engines.calls == []
    assert not (tmp_path / "out").exists()


def test_an_unknown_study_is_refused(engines):
    result = simulate("nowhere")
    assert result.exit_code == 2
    assert "no study 'nowhere'; give one of" in words(result.stderr)


def test_an_app_without_the_settings_that_every_study_has_is_refused(study, engines):
    (study / "pyproject.toml").write_text(PROJECT.replace("out", "folder"))
    result = simulate(study)
    assert result.exit_code == 2
    assert "does not declare out; give it a default in its [tool.flwr" in words(result.stderr)


def test_a_setting_that_the_study_does_not_have_is_refused(study, engines):
    project = study / "pyproject.toml"
    project.write_text(PROJECT.replace('compressor = "topk:0.25"\n', ""))
    result = simulate(study, "--compressor", "topk:1")
    assert result.exit_code == 2
    assert "study 'toy' has no setting 'compressor'; it has data, clients" in words(result.stderr)


def test_a_folder_that_holds_a_run_is_refused(study, engines, tmp_path):
    assert simulate(study, "--out", tmp_path / "out").exit_code == 0
    result = simulate(study, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "already holds a run; give another --out" in words(result.stderr)
    assert len(engines.calls) == 1


# Failures


def test_a_failed_run_gives_the_reason_and_keeps_the_log(study, engines, tmp_path):
    def fail(run_config):
        raise RunFailed("client 3 has no data", "line 1\nline 2\n")

    engines.run = fail
    result = simulate(study, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "The run failed: client 3 has no data" in result.stderr
    assert f"Its log: {tmp_path}/out/log.txt" in result.stderr
    assert (tmp_path / "out" / "log.txt").read_text() == "line 1\nline 2\n"


def test_an_exception_in_process_is_a_failed_run(study, engines, tmp_path):
    def fail(run_config):
        logging.getLogger("flwr").warning("round 1")
        raise ZeroDivisionError("no samples")

    engines.run = fail
    result = simulate(study, "--out", tmp_path / "out", "--engine", "in-process")
    assert result.exit_code == 1
    assert "The run failed: ZeroDivisionError: no samples" in result.stderr
    log = (tmp_path / "out" / "log.txt").read_text()
    assert log.startswith("round 1\nTraceback")
    assert "round 1" not in result.stderr


def test_a_missing_engine_is_named(study, engines, tmp_path):
    def fail(run_config):
        raise FileNotFoundError("no command 'flwr'; install Flower")

    engines.run = fail
    result = simulate(study, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "The run failed: no command 'flwr'; install Flower" in result.stderr


def test_a_run_without_a_summary_is_a_failed_run(study, engines, tmp_path):
    engines.run = lambda run_config: None
    result = simulate(study, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "ended without writing a summary" in result.stderr


SLEEPER = """
import pathlib, time
from fl_ef21.cli import app, showing
from fl_ef21.engine import simulation
def run(study, *, clients, run_config, on_poll):
    try:
        print("started", flush=True)
        time.sleep(60)
    finally:
        pathlib.Path(run_config["out"], "cleaned").touch()
simulation.run = run
app()
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_unwinds_the_engine(study, tmp_path, sent, code):
    command = [sys.executable, "-c", SLEEPER, "simulate", study, "--out", tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        process.send_signal(sent)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert (tmp_path / "out" / "cleaned").exists()


# The quickstart itself, with every method


FLAGS = {
    "ef21-sgd": ["--minibatch", 8],
    "ef21-sgdm": ["--minibatch", 8],
    "ef21-page": ["--minibatch", 8],
    "ef21-pp": ["--participation", 0.5],
    "ef21-prox": ["--server", "prox:l1:0.01"],
    "ef21-bc": ["--downlink", "topk:0.1"],
    "ef21-p": ["--downlink", "topk:0.1"],
}
MORE = {
    "ef21-w:reported": [],
    "ef21+": ["--step-size", "auto"],
    "ef21-page:0.5": ["--minibatch", 8, "--step-size", "theory"],
    "econtrol:0.05": ["--initialisation", "full", "--step-size", "theory"],
    "ef21": ["--server", "regularised:l2:0.1", "--downlink", "ef21-p:topk:0.1"],
    "ef21-rf": ["--step-size", "theory", "--participation", 0.5],
    "dasha:0.1": ["--scope", "layer", "--compressor", "natural", "--step-size", 0.05],
}
CASES = [(name, FLAGS.get(name, [])) for name in KINDS] + list(MORE.items())


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """Run the quickstart in this process on a small data set, without figures."""
    monkeypatch.setattr("fl_ef21.report.report.write_report", lambda folder: None)  # the study's
    monkeypatch.setattr(showing, "report_of", lambda folder: folder.path / "report.html")
    monkeypatch.setattr(showing, "figures_of", lambda folder: [])

    def run(method, *flags, rounds=3):
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        small = ("--engine", "in-process", "--data", "wine", "--clients", 4, "--rounds", rounds)
        result = simulate("--method", method, *small, *flags, "--out", out)
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        return result.stdout, [row for row in rows if row["method"] == rows[-1]["method"]]

    return run


@pytest.mark.parametrize(("method", "flags"), CASES, ids=[" ".join(map(str, c)) for c in CASES])
def test_the_quickstart_runs_every_method(quickstart, method, flags):
    shown, rows = quickstart(method, *flags)
    assert [row["round"] for row in rows] == [0, 1, 2, 3]
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert all(row["rejections"] == row["failures"] == 0 for row in rows)
    taking_part = 2 if 0.5 in flags else 4
    assert [row["clients"] for row in rows[1:]] == [taking_part] * 3
    assert f"4 clients · {method}" in shown
    title = "uncompressed" if method == "gd" else KINDS[method.partition(":")[0]].title
    assert rows[0]["method"].startswith(title)


def test_weights_by_smoothness_take_the_same_path(quickstart):
    """Top-k is positively homogeneous: EF21-W and cloning differ in the step that theory allows."""
    expected = quickstart("ef21", "--compressor", "topk:2", rounds=8)[1][-1]
    for method in ("ef21-w", "cloning"):
        found = quickstart(method, "--compressor", "topk:2", rounds=8)[1][-1]
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_a_regulariser_on_the_server_leaves_the_objective_as_it_is(quickstart):
    plain = quickstart("gd")[1]
    rare = quickstart("ef21-rf", "--compressor", "identity")[1]
    losses = [row["loss"] for row in plain]
    assert [row["loss"] for row in rare] == pytest.approx(losses, rel=1e-5)


def test_clients_report_their_loss_on_all_rows(quickstart):
    _, rows = quickstart("ef21-sgdm:0.5", "--minibatch", 8)
    for before, row in pairwise(rows):
        assert row["train_loss"] == pytest.approx(before["loss"], rel=1e-6)


def test_minibatches_are_drawn_and_may_be_all_rows(quickstart):
    whole = [row["loss"] for row in quickstart("ef21")[1]]
    assert [row["loss"] for row in quickstart("ef21", "--minibatch", 1000)[1]] == whole
    assert [row["loss"] for row in quickstart("ef21", "--minibatch", 8)[1]] != whole
    # With probability 1 EF21-PAGE asks for all rows whatever the minibatch.
    assert [row["loss"] for row in quickstart("ef21-page:1", "--minibatch", 8)[1]] == whole


def test_a_theorems_step_is_that_of_the_library(quickstart):
    steps = {
        rule: quickstart("ef21", "--step-size", rule)[1][-1]["step_size"]
        for rule in ("2021", "published", "theory", "1/L")
    }
    assert list(steps.values()) == sorted(steps.values())
    assert steps["2021"] < 0.01 < steps["1/L"] < 1


# Help


def python(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_version():
    shown = python("from fl_ef21.cli import app; app()", "--version")
    assert shown == f"fl-ef21 {__version__}\n"


def test_help_shows_every_flag():
    shown = simulate("--help").stdout
    flags = ["data", "clients", "partition", "compressor", "step-size", "rounds", "engine", "out"]
    flags += ["set", "seed", "method", "server", "downlink", "participation", "scope", "minibatch"]
    assert all(f"--{flag} " in shown for flag in [*flags, "initialisation"])
    assert "[default: (simulation)]" in shown


def test_the_command_starts_without_what_only_a_run_needs():
    heavy = "{'matplotlib', 'ray', 'sklearn', 'torch', 'flwr_datasets'}"
    assert python(f"import sys, fl_ef21.cli; print({heavy} & set(sys.modules))") == "set()\n"


def test_checks_are_shown_with_their_verdicts():
    checks = [
        {"claim": "fewer bytes", "measured": 111.7, "target": 100.0, "holds": True},
        {"claim": "as accurate", "measured": 0.4567, "target": 0.2, "holds": False},
    ]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(showing.checks_table(checks))
    text = words(console.export_text())
    assert "fewer bytes 111.7 100 holds" in text
    assert "as accurate 0.4567 0.2 NOT REACHED" in text
