"""Deployments on this machine: keys, what Flower counts, and the command that starts them."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from processes import nothing_stays, wait_for
from typer.testing import CliRunner

from fl_ef21.cli import app
from fl_ef21.engine.deployment import LocalFederation
from fl_ef21.engine.run_log import RunFailed

STUDY = Path(__file__).parent / "deployed_study"
PATIENCE = 200  # seconds

__all__ = ["nothing_stays"]  # a fixture for every test here


def online(federation: LocalFederation) -> set[str]:
    nodes = federation.superlink.query("supernode", "list")["nodes"]
    return {node["node-id"] for node in nodes if node["status"] == "online"}


@pytest.mark.engine
def test_registered_keys_take_part_and_flower_counts_what_we_count(tmp_path: Path) -> None:
    with LocalFederation(2, tmp_path / "logs", tls=True) as federation:
        beyond = []
        for size, compressor in ((12, "topk:3"), (20_000, "identity")):
            out = tmp_path / str(size)
            told = {"clients": 2, "rounds": 1, "size": size, "compressor": compressor}
            run = federation.run(STUDY, {**told, "out": str(out)}, timeout=PATIENCE)
            ours = json.loads((out / "summary.json").read_text())["message_bytes"]
            traffic = run["network-traffic"]
            beyond.append(
                (
                    (traffic["inbound-bytes"] - ours["uplink"]) / 2,
                    (traffic["outbound-bytes"] - ours["downlink"]) / 2,
                )
            )
        # Flower adds what announces a message, which does not depend on what the message holds.
        small, large = beyond
        assert small == pytest.approx(large, abs=10)
        assert 500 < small[0] < 800
        assert 900 < small[1] < 1400

        before = online(federation)
        federation.stop_supernode(1)
        (other,) = online(federation)
        federation.start_supernode(1)
        assert online(federation) == before

        federation.stop_supernode(1)
        with pytest.raises(RunFailed, match=r"not know its key.*flwr supernode register .*pub"):
            federation.start_supernode(1, new_key=True, register=False)
        assert online(federation) == {other}
        federation.start_supernode(1, new_key=True)
        assert len(online(federation) - before) == 1


def test_a_federation_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="1 node_configs for 2 SuperNodes"):
        LocalFederation(2, node_configs=[{"client-id": "hospital-a"}])
    with pytest.raises(ValueError, match="tls=True"):
        LocalFederation(1).start_supernode(0, new_key=True)


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--clients", "0"], r"--clients.*0 is not in the range"),
        (["--rounds", "0"], r"--rounds.*0 is not in the range"),
        (["--port", "65536"], r"--port.*65536 is not in the range"),
        (["--study", "no-such"], r"--study.*no study 'no-such'"),
        (["--port", "TAKEN"], r"--port.*cannot be had.*0 for any that is free"),
        (["--out", "old"], r"--out.*already holds the logs of a deployment"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    arguments, said, taken_port, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old" / "logs").mkdir(parents=True)
    arguments = [str(taken_port) if word == "TAKEN" else word for word in arguments]
    result = CliRunner().invoke(app, ["deploy", "local", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert re.search(said, result.output, re.DOTALL)
    assert not (tmp_path / "results").exists()


def fl_ef21(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from fl_ef21.cli import app; app()", *arguments]


@pytest.mark.engine
def test_deploy_local_serves_apps_until_it_is_told_to_stop(tmp_path: Path) -> None:
    study, screen = tmp_path / "a study's folder", tmp_path / "screen"
    shutil.copytree(STUDY, study)
    arguments = ["--clients", "1", "--study", str(study), "--rounds", "1", "--out", "out"]
    with screen.open("wb") as output:
        command = fl_ef21("deploy", "local", *arguments)
        deployment = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    try:
        wait_for(lambda: "Ctrl-C stops everything" in screen.read_text(), PATIENCE)
        run = re.search(r"^  (FLWR_HOME=\S+ \S*flwr run .*)$", screen.read_text(), re.MULTILINE)
        # As a person would: in a shell, in the same folder, word for word.
        subprocess.run(run.group(1), shell=True, cwd=tmp_path, check=True, timeout=PATIENCE)
        summary = json.loads((tmp_path / "deployed" / "summary.json").read_text())
        assert summary["methods"][0]["rounds"] == 1
        assert list((tmp_path / "out" / "state" / "supernode-0").iterdir())

        children = psutil.Process(deployment.pid).children()
        next(p for p in children if any("flower-supernode" in w for w in p.cmdline())).kill()
        wait_for(lambda: "SuperNode 0 ended and was started again" in screen.read_text())
    finally:
        deployment.send_signal(signal.SIGTERM)
        code = deployment.wait(PATIENCE)
    assert code == 0
    assert "Stopping. The logs are in" in screen.read_text()
    names = {log.name for log in (tmp_path / "out" / "logs").iterdir()}
    assert names == {"superlink.log", "supernode-0.log"}


@pytest.mark.engine
def test_deploy_local_runs_a_study_and_shows_what_came_out(tmp_path: Path) -> None:
    arguments = ["--clients", "1", "--study", str(STUDY), "--tls", "--run", "--rounds", "1"]
    command = fl_ef21("deploy", "local", *arguments, "--out", "out")
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TLS, registered keys" in done.stdout
    assert "EF21: round 1/1" in done.stderr
    records = tmp_path / "out" / "deployed_study"
    assert f"Records  {records}" in done.stdout
    assert json.loads((records / "summary.json").read_text())["status"] == "completed"
