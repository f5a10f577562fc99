"""Real processes, killed at exact points: the journals agree, and no bit of the model is lost.

Every run is held against the same schedule in process: which replies the server has applied, and
which clients joined again, is read from its journal, as nothing here depends on time.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.engine.deployment import LocalFederation
from fl_ef21.flower.audit import audit
from fl_ef21.flower.storage import read_journal

STUDY = Path(__file__).parent / "deployed_study"
CLIENTS = 3
PATIENCE = 500  # seconds that a run may take where all is slow

# How soon a killed SuperNode counts as gone depends on how often it says that it lives: every 30
# seconds, or every 10, the least that a SuperLink takes.
HEARTBEAT = """
import sys
if any("flower-supernode" in word for word in sys.orig_argv):
    import flwr.common.constant
    flwr.common.constant.HEARTBEAT_DEFAULT_INTERVAL = 10
"""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3 * PATIENCE)]


@pytest.fixture(scope="module")
def federation(tmp_path_factory) -> Iterator[LocalFederation]:
    """Three SuperNodes with keys, the last one without a place for its state."""
    site, state = tmp_path_factory.mktemp("site"), str(tmp_path_factory.mktemp("state"))
    (site / "sitecustomize.py").write_text(HEARTBEAT)
    configs = [{"state-dir": state}, {"state-dir": state}, {}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site), prepend=":")
        logs = tmp_path_factory.mktemp("logs")
        with LocalFederation(CLIENTS, logs, tls=True, node_configs=configs) as started:
            yield started


@pytest.fixture
def apps(monkeypatch):
    """The study's modules, as Flower would import them."""
    monkeypatch.syspath_prepend(str(STUDY))
    from deployed import client_app, faults, server_app

    yield {"client": client_app.app, "server": server_app.app, "Schedule": faults.Schedule}
    for name in [name for name in sys.modules if name.partition(".")[0] == "deployed"]:
        del sys.modules[name]


class ServerKilledError(Exception):
    """The ServerApp was killed, so its run has to be stopped."""


class Run:
    """One run of the study on a federation, with its folder and its schedule of faults."""

    def __init__(self, folder: Path, apps: dict, faults: str = "", **settings) -> None:
        self.folder, self.apps = folder, apps
        for name in ("marks", "journal"):
            (folder / name).mkdir()
        self.settings = {
            "clients": CLIENTS,
            "faults": faults,
            "marks": str(folder / "marks"),
            "journal-dir": str(folder / "journal"),
            **settings,
        }
        self.schedule = apps["Schedule"](frozenset(faults.split()), folder / "marks")

    def start(self, federation: LocalFederation, on_poll, out: str = "out", **more) -> None:
        settings = {**self.settings, "out": str(self.folder / out), **more}
        federation.run(STUDY, settings, timeout=PATIENCE, on_poll=on_poll)

    def restarting(self, federation: LocalFederation, new_keys: dict[int, bool]):
        """Return what starts all SuperNodes again after the rounds in which they were killed.

        Whether they come back with new keys is given by round.
        """

        def on_poll() -> None:
            for server_round, new_key in new_keys.items():
                name = f"restarted-{server_round}"
                if not self.schedule.has(f"over-{server_round}") or self.schedule.has(name):
                    continue
                for index in range(CLIENTS):
                    federation.stop_supernode(index, kill=True)
                    federation.start_supernode(index, new_key=new_key)
                if not new_key:
                    self.schedule.forget_the_dead()
                self.schedule.mark(name)

        return on_poll

    def applied(self) -> dict[int, dict[int, int]]:
        """Return by round and client the number of the message that was applied."""
        found: dict[int, dict[int, int]] = defaultdict(dict)
        for event in read_journal(self.folder / "journal" / "server.jsonl"):
            if event["event"] == "accepted":
                client = int(event["client"].removeprefix("partition-id="))
                found[event["round"]][client] = event["seq"]
        return dict(found)

    def model(self, server_round: int, out: str = "out") -> bytes:
        return np.load(self.folder / out / f"model-{server_round}.npy").tobytes()

    def model_in_process(self, server_round: int) -> bytes:
        """Return the model of the same schedule in process, without a crash of the server."""
        schedule = self.applied()

        class Grid(InProcessGrid):
            def deliver(self, message):
                number = message.content["config"]["server-round"]
                context = self.contexts[message.metadata.dst_node_id]
                seq = schedule[number].get(context.node_config["partition-id"])
                if seq is None:
                    return None
                if seq == 1:
                    context.state = RecordDict()
                return super().deliver(message)

        config = {
            **{"size": 12, "compressor": "topk:3", "timeout": 1.0, "state-dir": "", "marks": ""},
            **{"checkpoint-dir": "", "resume": False, "rounds": server_round, "clients": CLIENTS},
            **{"faults": "", "journal-dir": "", "out": str(self.folder / "in-process")},
        }
        grid = Grid(self.apps["client"], partition_configs(CLIENTS), run_config=config)
        state = RecordDict()
        self.apps["server"](grid, Context(grid.run.run_id, 1, {}, state, config))
        return self.model(server_round, "in-process")

    def check(self, server_round: int, out: str = "out") -> None:
        """Hold what must be true after every schedule."""
        found = audit(self.folder / "journal")
        assert found.violations == ()
        assert found.clients == CLIENTS
        assert found.compared > 0
        assert self.model(server_round, out) == self.model_in_process(server_round)


def test_supernodes_killed_at_three_points_with_the_same_keys_and_with_new_ones(
    federation: LocalFederation, apps, tmp_path: Path
) -> None:
    faults = "2:0:between 2:1:after 2:2:before 4:0:before 4:1:between 4:2:after 5:2:app"
    run = Run(tmp_path, apps, faults, rounds=6)
    run.start(federation, run.restarting(federation, {2: False, 4: True}))
    assert run.applied() == {
        1: {0: 1, 1: 1, 2: 1},
        2: {0: 2},
        # The same nodes: those with a state-dir go on, whether their reply came through or not.
        3: {0: 3, 1: 2, 2: 1},
        4: {1: 3},
        # Other nodes join again.
        5: {0: 1, 1: 1, 2: 1},
        # The last one's process was killed between its reply and Flower's context.
        6: {0: 2, 1: 2, 2: 1},
    }
    run.check(6)


def test_a_late_reply_and_a_killed_server_that_goes_on_from_its_checkpoint(
    federation: LocalFederation, apps, tmp_path: Path
) -> None:
    folder = {"checkpoint-dir": str(tmp_path / "checkpoints")}
    run = Run(tmp_path, apps, "2:1:late 3:server:kill", rounds=4, timeout=25.0, **folder)

    def on_poll() -> None:
        if run.schedule.has("killed"):
            raise ServerKilledError

    with pytest.raises(ServerKilledError):
        run.start(federation, on_poll)
    run.start(federation, None, out="resumed", resume=True, timeout=float(PATIENCE))
    applied = run.applied()
    assert 1 not in applied.get(2, {})
    assert len(applied[4]) == CLIENTS
    # A run that goes on is a new one to Flower, so only a state-dir has what was before it.
    assert applied[4][0] > 2
    assert applied[4][2] <= 2
    assert audit(tmp_path / "journal").resumed == 1
    run.check(4, "resumed")
