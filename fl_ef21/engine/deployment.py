"""Run studies in Flower's Deployment Engine on this machine: a SuperLink and its SuperNodes."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from fl_ef21.engine.launch import LOOPBACK, Launch, free_port
from fl_ef21.engine.run_log import RunFailed, tail
from fl_ef21.engine.superlink import RunConfig, SuperLink

__all__ = ["LocalFederation", "RunFailed"]

RESTARTS = 3  # of a SuperNode that ends before it is online


class LocalFederation:
    """A SuperLink and SuperNodes in processes of their own, talking over loopback, as a context.

    SuperNode `i` of `n` has the node config ``partition-id=i num-partitions=n``. When the context
    ends, or this process does, all of them end.

    Parameters
    ----------
    supernodes : int
        How many SuperNodes.
    folder : pathlib.Path, optional
        Where the logs go; by default a temporary folder, removed at the end.

    Raises
    ------
    ValueError
        If `supernodes` is below 1.
    RunFailed
        On entry, if one does not come online; the text has the end of its log.
    """

    def __init__(self, supernodes: int, folder: Path | None = None) -> None:
        if supernodes < 1:
            raise ValueError(f"supernodes is {supernodes}; give at least 1")
        self.supernodes = supernodes
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._runs = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._launch = stack.enter_context(Launch())
            self.folder = self._folder or self._launch.folder / "logs"
            self.folder.mkdir(parents=True, exist_ok=True)
            log = self.folder / "superlink.log"
            self._superlink = SuperLink.start(self._launch, log, simulation=False)
            self._start(range(self.supernodes))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(
        self,
        study: Path,
        run_config: RunConfig,
        *,
        timeout: float | None = None,
        on_poll: Callable[[], None] | None = None,
    ) -> None:
        """Run a Flower app on the federation and come back when it is over.

        Parameters
        ----------
        study, run_config, timeout, on_poll
            As in :func:`fl_ef21.engine.simulation.run`. The log is ``run-1.log`` in `folder`,
            then ``run-2.log``.

        Raises
        ------
        RunFailed
            If Flower refuses the run, or it fails, or it takes too long.
        """
        self._runs += 1
        log = self.folder / f"run-{self._runs}.log"
        self._superlink.run(study, run_config, log, timeout=timeout, on_poll=on_poll)

    def stop_supernode(self, index: int, *, kill: bool = False) -> None:
        """Stop a SuperNode: politely, so that it signs off, or as a power cut would.

        After a power cut the SuperLink believes it online for up to a minute.
        """
        process = self._processes.pop(index)
        if kill:
            process.kill()
        else:
            process.terminate()
        process.wait()

    def start_supernode(self, index: int) -> None:
        """Start a stopped SuperNode again, as a new node without state, and wait until online.

        Raises
        ------
        RunFailed
            If it does not come online; the text has the end of its log.
        ValueError
            If it is running, or the federation has no such SuperNode.
        """
        if index in self._processes or index not in range(self.supernodes):
            stopped = sorted(set(range(self.supernodes)) - set(self._processes))
            raise ValueError(f"SuperNode {index} cannot be started; stopped are {stopped}")
        self._start([index])

    def _start(self, indices: range | list[int]) -> None:
        before = self._online()
        for index in indices:
            self._processes[index] = self._start_process(index)
        restarts = dict.fromkeys(indices, RESTARTS)

        def all_online() -> bool:
            for index in indices:
                if self._processes[index].poll() is not None:
                    self._start_again(index, restarts)
            return len(self._online() - before) >= len(indices)

        self._superlink.wait_until(
            all_online, f"to see SuperNodes {list(indices)} online; their logs are in {self.folder}"
        )

    def _start_again(self, index: int, restarts: dict[int, int]) -> None:
        """Start a SuperNode that has ended at once, as it does if its port was taken meanwhile."""
        if not restarts[index]:
            raise RunFailed(f"SuperNode {index} does not start", tail(self._log(index)))
        restarts[index] -= 1
        self._processes[index] = self._start_process(index)

    def _start_process(self, index: int) -> subprocess.Popen[bytes]:
        # Nodes would install the app at the same time in a common FLWR_HOME.
        home = self._launch.folder / f"supernode-{index}"
        home.mkdir(exist_ok=True)
        command = ["flower-supernode", "--insecure", "--superlink", self._superlink.address]
        command += ["--host", LOOPBACK, "--port", str(free_port())]
        command += ["--node-config", f"partition-id={index} num-partitions={self.supernodes}"]
        return self._launch.start(command, self._log(index), {"FLWR_HOME": str(home)})

    def _log(self, index: int) -> Path:
        return self.folder / f"supernode-{index}.log"

    def _online(self) -> set[str]:
        nodes = self._superlink.query("supernode", "list")["nodes"]
        return {node["node-id"] for node in nodes if node["status"] == "online"}
