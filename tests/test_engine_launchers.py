"""The Simulation and Deployment Engines, started as real processes, and their end."""

import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from processes import alive, nothing_stays, wait_for

from fl_ef21.engine import reaper, simulation, supernode
from fl_ef21.engine.deployment import LocalFederation
from fl_ef21.engine.launch import Launch, environment, is_listening
from fl_ef21.engine.run_log import LONGEST, failure, refusal, tail
from fl_ef21.engine.simulation import RunFailed

PROJECT = """
[project]
name = "averaging-app"
version = "1.0.0"
description = "Averages the clients' numbers."
license = "Apache-2.0"
dependencies = ["flwr"]
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "averaging.server_app:app"
clientapp = "averaging.client_app:app"
[tool.flwr.app.config]
out = ""
nodes = 1
rounds = 1
text = ""
rate = 0.0
flag = false
error = ""
"""

CLIENT_APP = """
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message, context):
    number = context.node_config["partition-id"] + message.content["metrics"]["round"]
    return Message(RecordDict({"metrics": MetricRecord({"number": number})}), reply_to=message)
"""

SERVER_APP = """
import json
import os
import time
from pathlib import Path

from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()


@app.main()
def main(grid, context):
    config = context.run_config
    out = Path(config["out"])
    out.with_suffix(".started").write_text(os.environ["FLWR_HOME"])
    if config["error"]:
        raise LookupError(config["error"])
    while len(nodes := list(grid.get_node_ids())) < config["nodes"]:
        time.sleep(0.1)
    means = []
    for number in range(config["rounds"]):
        content = RecordDict({"metrics": MetricRecord({"round": number})})
        replies = grid.send_and_receive(
            [Message(content, dst_node_id=node, message_type="train") for node in nodes]
        )
        numbers = [reply.content["metrics"]["number"] for reply in replies]
        means.append(sum(numbers) / len(numbers))
        out.with_suffix(".running").touch()
    result = {"means": means, "config": dict(config), "environment": dict(os.environ)}
    out.write_text(json.dumps(result))
"""

FOREVER = 10**9  # rounds

__all__ = ["nothing_stays"]  # a fixture for every test here


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "a study's folder"
    package = folder / "averaging"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").touch()
    (package / "client_app.py").write_text(CLIENT_APP)
    (package / "server_app.py").write_text(SERVER_APP)
    return folder


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def interrupt_when(path: Path) -> Callable[[], None]:
    def on_poll() -> None:
        if path.exists():
            raise KeyboardInterrupt

    return on_poll


@pytest.mark.engine
def test_simulation_runs_every_client_with_the_settings_as_given(study: Path, out: Path) -> None:
    text = "it's \"quoted\" \\ with spaces = and\nlines, ünïcode, 'nodes=3'"
    settings = {"out": str(out), "nodes": 20, "rounds": 2, "text": text, "rate": 1e-9, "flag": True}
    polls: list[float] = []
    simulation.run(
        study, clients=20, run_config=settings, on_poll=lambda: polls.append(time.monotonic())
    )
    result = json.loads(out.read_text())
    assert result["means"] == [9.5, 10.5]
    assert result["config"] == {**settings, "error": ""}
    assert 3 <= len(polls) / (polls[-1] - polls[0]) <= 6
    home = Path(result["environment"]["FLWR_HOME"])
    assert home != Path.home() / ".flwr"
    assert not home.exists()


@pytest.mark.engine
def test_a_failing_server_app_gives_its_own_exception(study: Path, out: Path) -> None:
    settings = {"out": str(out), "error": "no such client: 'seven'"}
    with pytest.raises(RunFailed) as caught:
        simulation.run(study, clients=2, run_config=settings)
    assert caught.value.reason == "LookupError: no such client: 'seven'"
    assert 'raise LookupError(config["error"])' in caught.value.log
    assert "\x1b" not in caught.value.log


@pytest.mark.engine
def test_an_unknown_setting_is_refused_at_once(study: Path, out: Path) -> None:
    with pytest.raises(RunFailed, match=r"Invalid run configuration.*learning-rate=0\.1"):
        simulation.run(study, clients=2, run_config={"out": str(out), "learning-rate": 0.1})
    assert not out.with_suffix(".started").exists()


@pytest.mark.engine
def test_an_interrupt_ends_everything(study: Path, out: Path) -> None:
    settings = {"out": str(out), "nodes": 2, "rounds": FOREVER}
    on_poll = interrupt_when(out.with_suffix(".running"))
    with pytest.raises(KeyboardInterrupt):
        simulation.run(study, clients=2, run_config=settings, on_poll=on_poll)


@pytest.mark.engine
def test_a_killed_owner_leaves_nothing(study: Path, out: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from fl_ef21.engine import simulation;"
        "settings = {'out': sys.argv[2], 'nodes': 2, 'rounds': 10**9};"
        "simulation.run(Path(sys.argv[1]), clients=2, run_config=settings)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(study), str(out)])
    started = out.with_suffix(".started")
    try:
        wait_for(lambda: started.exists() and started.read_text() != "")
        home = Path(started.read_text())
        assert home.exists()
    finally:
        owner.kill()
        owner.wait()
    wait_for(lambda: not alive())
    assert not home.exists()


@pytest.mark.engine
def test_deployment_runs_apps_one_after_another(
    study: Path, out: Path, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first SuperNode finds its port taken, as it may by another program, and starts again.
    ports = itertools.chain([taken_port], iter(supernode.free_port, None))
    monkeypatch.setattr(supernode, "free_port", lambda: next(ports))
    logs = tmp_path / "logs"
    settings = {"out": str(out), "nodes": 2}
    with LocalFederation(2, logs) as federation:
        federation.run(study, {**settings, "rounds": 2})
        assert json.loads(out.read_text())["means"] == [0.5, 1.5]

        with pytest.raises(RunFailed, match="LookupError: broken"):
            federation.run(study, {**settings, "error": "broken"})

        with pytest.raises(RunFailed, match="not finished after 4 s"):
            federation.run(study, {**settings, "nodes": 3}, timeout=4)

        federation.stop_supernode(1)
        with pytest.raises(ValueError, match=r"SuperNode 0 .* stopped are \[1\]"):
            federation.start_supernode(0)
        federation.start_supernode(1)
    names = {log.name for log in logs.iterdir() if log.stat().st_size}
    assert names == {
        "superlink.log",
        "supernode-0.log",
        "supernode-1.log",
        "run-1.log",
        "run-2.log",
        "run-3.log",
    }


@pytest.mark.engine
def test_a_dead_superlink_fails_the_run(study: Path, out: Path) -> None:
    def kill_superlink() -> None:
        for child in psutil.Process().children():
            if any("flower-superlink" in word for word in child.cmdline()):
                child.kill()

    with pytest.raises(RunFailed, match="SuperLink ended with exit code -9"):
        simulation.run(study, clients=2, run_config={"out": str(out)}, on_poll=kill_superlink)


@pytest.mark.parametrize(("clients", "cpus", "name"), [(0, 1, "clients"), (3, 0, "cpus")])
def test_numbers_below_one_are_refused(study: Path, clients: int, cpus: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0; give at least 1"):
        simulation.run(study, clients=clients, cpus=cpus, run_config={})


def test_a_federation_needs_a_supernode() -> None:
    with pytest.raises(ValueError, match="supernodes is -1; give at least 1"):
        LocalFederation(-1)


def test_a_missing_ray_is_named(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunFailed, match=r"fl-ef21\[simulation\]"):
        simulation.run(study, clients=2, run_config={})


def test_a_missing_command_is_named() -> None:
    with (
        Launch() as launch,
        pytest.raises(FileNotFoundError, match=r"'no-flower' in .*pip install"),
    ):
        launch.start(["no-flower"], launch.folder / "log")


# A parent that starts a detached child, as Flower does; neither obeys SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("reaper_killed", [False, True])
def test_a_launch_ends_detached_and_stubborn_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reaper_killed: bool
) -> None:
    monkeypatch.setattr(reaper, "PATIENCE", 0.2)
    script, log = tmp_path / "stubborn.py", tmp_path / "log"
    script.write_text(STUBBORN)
    with Launch() as launch:
        process = launch.start([sys.executable, str(script)], log)
        wait_for(lambda: log.read_text().count("ready") == 2)
        assert {each.pid for each in reaper.owned(launch.mark)} > {process.pid}
        if reaper_killed:
            launch._reaper.kill()
    assert process.returncode == -signal.SIGKILL
    assert reaper.owned(launch.mark) == []
    assert not launch.folder.exists()


def test_a_launch_leaves_other_launches_alone(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Launch() as first:
        process = first.start(sleep, tmp_path / "log")
        with Launch() as second:
            second.start(sleep, tmp_path / "log")
        assert process.poll() is None
    assert process.poll() is not None


def test_sockets_of_ray_fit_below_a_long_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with Launch() as launch:
        socket = launch.folder / "ray/session_2026-11-24_00-30-13_463801_4194304/sockets"
        assert len(str(socket / "plasma_store")) <= 107


def test_the_environment_keeps_what_the_user_may_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("FLWR_HOME", "/home/somebody/.flwr")
    monkeypatch.setenv("NO_PROXY", "example.org")
    made = environment("a-mark", tmp_path)
    assert made["OMP_NUM_THREADS"] == "3"
    assert made["OPENBLAS_NUM_THREADS"] == "1"
    assert made["FLWR_TELEMETRY_ENABLED"] == "0"
    assert made["FLWR_HOME"] == str(tmp_path)
    assert made["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert made[reaper.MARK] == "a-mark"


def test_nobody_listens_on_a_closed_port() -> None:
    assert not is_listening(1)


def test_a_log_is_shown_from_its_end_and_without_colours(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old" * LONGEST + b"\x1b[91mERROR \x1b[0m:  \xff here\n")
    text = tail(log)
    assert text.endswith("ERROR :  \N{REPLACEMENT CHARACTER} here\n")
    assert len(text) <= LONGEST


def test_a_refusal_is_read_from_the_box_below_the_remarks() -> None:
    log = "⚠️ remark\n╭─ Error ──╮\n│ first line │\n│ second     │\n╰──────────╯\n"
    assert refusal(log) == "first line second"
    assert refusal("plain words\n") == "plain words"


TRACEBACK = "Traceback (most recent call last):\n  File 'a.py', line 1, in f\n    f()\n"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("INFO :  fine\n", None),
        (f"ERROR :  ClientApp raised\n{TRACEBACK}ValueError: a client's\n", None),
        (
            f"ERROR :  ServerApp raised an exception\n{TRACEBACK}ValueError: two\n  lines\n"
            "ERROR :  Exit Code: 201\n",
            "ValueError: two\n  lines",
        ),
        (
            f"ERROR :  Simulation raised an exception\n{TRACEBACK}KeyError: 'a'\n\n"
            "The above exception was the direct cause of the following exception:\n\n"
            f"{TRACEBACK}RuntimeError: ended\nINFO :  bye\n",
            "RuntimeError: ended (from KeyError: 'a')",
        ),
    ],
)
def test_the_exception_that_ended_a_run_is_found(log: str, said: str | None) -> None:
    assert failure(log) == said
