"""What stops processes at exact points, once each, by a schedule in the run config.

``ROUND:CLIENT:POINT`` is one fault, ``ROUND:server:kill`` one of the server. Processes tell each
other what has happened by files in the folder `marks`, so that nothing depends on time.

=========  ===========================================================================
``before``   the SuperNode is killed before the app computes
``after``    it is killed when the reply is made, and the client's log is on disk, but not sent
``between``  it is killed when the server has the reply, and Flower's context is not stored yet
``app``      like `between`, but the app's process alone is killed
``late``     the app waits until the round is over
``raise``    the app raises after it has touched its state
``kill``     the server is killed when the replies of the round are in, and none is applied
=========  ===========================================================================
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from flwr.app import Context, MetricRecord
from flwr.serverapp import Grid

KILLS = ("before", "after", "between")
PATIENCE = 200.0  # seconds, on a machine with many other things to do


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.1)


@dataclass(frozen=True)
class Schedule:
    faults: frozenset[str]
    marks: Path

    @classmethod
    def of(cls, context) -> "Schedule":
        config = context.run_config
        return cls(frozenset(str(config["faults"]).split()), Path(str(config["marks"])))

    def kills(self) -> list[str]:
        """Return the faults after which a SuperNode has to be started again."""
        return [fault for fault in self.faults if fault.rpartition(":")[2] in KILLS]

    def mark(self, name: str) -> bool:
        """Leave a mark; say whether it is the first of its name."""
        try:
            (self.marks / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def has(self, name: str) -> bool:
        return (self.marks / name).exists()

    def forget_the_dead(self) -> None:
        """Take back that nodes are dead: they are back as the same ones."""
        for mark in self.marks.glob("dead-*"):
            mark.unlink()

    def strike_client(self, server_round: int, client: int, context: Context) -> None:
        node_id = context.node_id
        for fault in sorted(self.faults):
            number, who, point = fault.split(":")
            if (int(number), who) != (server_round, str(client)) or not self.mark(fault):
                continue
            if point == "before":
                self._kill_supernode(node_id)
            elif point == "raise":
                context.state["mine"] = MetricRecord({"calls": 1})
                raise RuntimeError("out of battery")
            elif point == "late":
                wait_until(lambda: self.has(f"over-{server_round}"), "the end of the round")
            else:
                self._strike_around_push(point, server_round, node_id)

    def _strike_around_push(self, point: str, server_round: int, node_id: int) -> None:
        """Let Flower's own process end this client just before or after it sends the reply."""
        from flwr.supernode.runtime import run_clientapp

        push = run_clientapp.push_message

        def push_and_die(*args, **kwargs):
            if point == "after":
                self._kill_supernode(node_id)
            push(*args, **kwargs)
            received = f"received-{server_round}-{node_id}"
            wait_until(lambda: self.has(received), "the server to have the reply")
            if point == "app":
                os.kill(os.getpid(), signal.SIGKILL)
            self._kill_supernode(node_id)

        run_clientapp.push_message = push_and_die

    def _kill_supernode(self, node_id: int) -> None:
        self.mark(f"dead-{node_id}")
        above = psutil.Process().parents()
        supernode = next(p for p in above if any("flower-supernode" in w for w in p.cmdline()))
        supernode.kill()
        os.kill(os.getpid(), signal.SIGKILL)

    def wait_for_restarts(self, server_round: int, grid: Grid) -> None:
        """Wait until the nodes that were killed in a round are back, and the old ones gone."""
        if not self.faults:
            return
        self.mark(f"over-{server_round}")
        if any(fault.startswith(f"{server_round}:") for fault in self.kills()):
            wait_until(lambda: self.has(f"restarted-{server_round}"), "SuperNodes to be back")
            wait_until(lambda: not self._dead(grid.get_node_ids()), "killed nodes to be gone")

    def _dead(self, nodes) -> list[int]:
        return [node for node in nodes if self.has(f"dead-{node}")]

    def watching(self, grid: Grid) -> Grid:
        return WatchingGrid(grid, self) if self.faults else grid


class WatchingGrid(Grid):
    """Flower's Grid, which does not wait for nodes that were killed until a timeout ends it."""

    def __init__(self, grid: Grid, schedule: Schedule) -> None:
        self._grid, self._schedule = grid, schedule

    @property
    def run(self):
        return self._grid.run

    def set_run(self, run):
        self._grid.set_run(run)

    def create_message(self, *args, **kwargs):
        return self._grid.create_message(*args, **kwargs)

    def get_node_ids(self):
        return self._grid.get_node_ids()

    def push_messages(self, messages):
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids):
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if not messages:
            return []
        server_round = messages[0].content["config"]["server-round"]
        if self._schedule.kills():
            replies = self._from_the_living(messages, server_round, timeout)
        else:
            replies = list(self._grid.send_and_receive(messages, timeout=timeout))
        if f"{server_round}:server:kill" in self._schedule.faults and self._schedule.mark("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        return replies

    def _from_the_living(self, messages, server_round, timeout):
        ids = self.push_messages(messages)
        nodes = {i: m.metadata.dst_node_id for i, m in zip(ids, messages, strict=True)}
        deadline = time.monotonic() + timeout
        replies = []
        while time.monotonic() < deadline and not all(map(self._is_dead, nodes.values())):
            for reply in self.pull_messages(list(nodes)):
                replies.append(reply)
                node = nodes.pop(reply.metadata.reply_to_message_id)
                self._schedule.mark(f"received-{server_round}-{node}")
            time.sleep(0.2)
        return replies

    def _is_dead(self, node: int) -> bool:
        return self._schedule.has(f"dead-{node}")
