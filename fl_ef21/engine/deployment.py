"""Run studies in Flower's Deployment Engine on this machine: a SuperLink and its SuperNodes."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fl_ef21.engine.certificates import make_certificates
from fl_ef21.engine.launch import LOOPBACK, Launch
from fl_ef21.engine.node_keys import NodeKeys
from fl_ef21.engine.run_log import RunFailed, tail
from fl_ef21.engine.superlink import RunConfig, SuperLink
from fl_ef21.engine.supernode import NodeConfig, SuperNode

__all__ = ["LocalFederation", "RunFailed"]

RESTARTS = 3  # of a SuperNode that ends before it is online
PAUSE = 3.0  # seconds between two starts of one SuperNode


class LocalFederation:
    """A SuperLink and SuperNodes in processes of their own, talking over loopback, as a context.

    SuperNode `i` of `n` has the node config ``partition-id=i num-partitions=n`` and what
    `node_configs` adds. When the context ends, or this process does, all of them end.

    Parameters
    ----------
    supernodes : int
        How many SuperNodes.
    folder : pathlib.Path, optional
        Where the logs go; by default a temporary folder, removed at the end.
    tls : bool
        Whether they speak TLS, and every SuperNode has a key that is registered with the
        SuperLink. With its key a SuperNode keeps its node id over a restart.
    node_configs : sequence of mapping, optional
        More of each SuperNode's config.
    port : int
        Of the SuperLink; 0 for any that is free.

    Attributes
    ----------
    superlink : SuperLink
        As long as the context lives.
    folder : pathlib.Path
        Where the logs are.

    Raises
    ------
    ValueError
        If `supernodes` is below 1, or there is another number of `node_configs`, or, on entry, if
        the port cannot be had.
    RunFailed
        On entry, if one does not come online; the text has the end of its log.
    """

    superlink: SuperLink
    folder: Path

    def __init__(
        self,
        supernodes: int,
        folder: Path | None = None,
        *,
        tls: bool = False,
        node_configs: Sequence[NodeConfig] | None = None,
        port: int = 0,
    ) -> None:
        if supernodes < 1:
            raise ValueError(f"supernodes is {supernodes}; give at least 1")
        more = [{}] * supernodes if node_configs is None else node_configs
        if len(more) != supernodes:
            raise ValueError(f"{len(more)} node_configs for {supernodes} SuperNodes; give one each")
        self.supernodes = supernodes
        self._configs = [
            {"partition-id": index, "num-partitions": supernodes, **config}
            for index, config in enumerate(more)
        ]
        self._wanted_folder, self._tls, self._port = folder, tls, port
        self._nodes: dict[int, SuperNode] = {}
        self._keys: NodeKeys | None = None
        self._started_at: dict[int, float] = {}
        self._runs = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            launch = stack.enter_context(Launch())
            self.folder = self._wanted_folder or launch.folder / "logs"
            self.folder.mkdir(parents=True, exist_ok=True)
            self.superlink = SuperLink.start(
                launch,
                self.folder / "superlink.log",
                simulation=False,
                port=self._port,
                certificates=make_certificates(launch.folder, LOOPBACK) if self._tls else None,
            )
            if self._tls:
                self._keys = NodeKeys(self.superlink)
                for index in range(self.supernodes):
                    self._keys.take(index)
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
    ) -> dict[str, Any]:
        """Run a Flower app on the federation and come back when it is over.

        Parameters
        ----------
        study, run_config, timeout, on_poll
            As in :func:`fl_ef21.engine.simulation.run`. The log is ``run-1.log`` in `folder`,
            then ``run-2.log``. What `on_poll` raises stops the run and goes on to the caller.

        Returns
        -------
        dict
            What ``flwr ls`` says of the run. ``network-traffic`` has the bytes that Flower itself
            has counted.

        Raises
        ------
        RunFailed
            If Flower refuses the run, or it fails, or it takes too long.
        """
        self._runs += 1
        log = self.folder / f"run-{self._runs}.log"
        self.superlink.run(study, run_config, log, timeout=timeout, on_poll=on_poll)
        return self.superlink.last_run()

    def stop_supernode(self, index: int, *, kill: bool = False) -> None:
        """Stop a SuperNode: politely, so that it signs off, or as a power cut would.

        After a power cut the SuperLink believes it online for up to a minute.
        """
        process = self._nodes.pop(index).process
        if kill:
            process.kill()
        else:
            process.terminate()
        process.wait()

    def start_supernode(self, index: int, *, new_key: bool = False, register: bool = True) -> None:
        """Start a stopped SuperNode again, without Flower's state, and wait until it is online.

        It comes back with the node id that it had if it has a key, and with a new one if not.

        Parameters
        ----------
        index : int
            Which one.
        new_key : bool
            Whether it takes another key, and with it another node id.
        register : bool
            Whether that key is registered with the SuperLink.

        Raises
        ------
        RunFailed
            If it does not come online; the text has the end of its log.
        ValueError
            If it is running, or the federation has no such SuperNode, or no keys.
        """
        if index in self._nodes or index not in range(self.supernodes):
            stopped = sorted(set(range(self.supernodes)) - set(self._nodes))
            raise ValueError(f"SuperNode {index} cannot be started; stopped are {stopped}")
        if new_key:
            if self._keys is None:
                raise ValueError("without TLS a SuperNode has no key; give the federation tls=True")
            self._keys.take(index, register=register)
        self._start([index])

    def start_ended(self) -> list[int]:
        """Start those SuperNodes again that have ended by themselves, without waiting for them.

        One that was killed may be refused for a minute. It is tried again at every call.

        Returns
        -------
        list of int
            Those that were online before they ended.
        """
        ended = {index: node for index, node in self._nodes.items() if node.has_ended}
        return [
            index
            for index, node in ended.items()
            if self._start_process(index) and node.has_been_online
        ]

    def _start(self, indices: Iterable[int]) -> None:
        indices = list(indices)
        for index in indices:
            self._start_process(index)
        restarts = dict.fromkeys(indices, RESTARTS)

        def all_online() -> bool:
            for index in indices:
                if self._nodes[index].has_ended:
                    self._start_again(index, restarts)
            nodes = [self._nodes[index] for index in indices]
            return all(node.has_been_online and not node.has_ended for node in nodes)

        try:
            self.superlink.wait_until(
                all_online, f"to see SuperNodes {indices} online; their logs are in {self.folder}"
            )
        except RunFailed:
            for index in indices:
                if self._nodes[index].has_ended:
                    del self._nodes[index]
            raise

    def _start_again(self, index: int, restarts: dict[int, int]) -> None:
        """Start a SuperNode that has ended at once, as it does if its port was taken meanwhile.

        One whose key is registered is refused for up to a minute after it was killed, and that is
        no reason to give up.
        """
        node = self._nodes[index]
        if node.was_refused and self._keys and not self._keys.is_registered(index):
            raise RunFailed(
                f"SuperNode {index} was refused: the SuperLink does not know its key. Register it:"
                f" flwr supernode register {self._keys.public(index)}",
                tail(node.log),
            )
        if not node.was_refused and not restarts[index]:
            raise RunFailed(f"SuperNode {index} does not start", tail(node.log))
        if self._start_process(index) and not node.was_refused:
            restarts[index] -= 1

    def _start_process(self, index: int) -> bool:
        """Start a SuperNode, unless that was done a moment ago."""
        now = time.monotonic()
        if index in self._nodes and now - self._started_at[index] < PAUSE:
            return False
        self._started_at[index] = now
        log = self.folder / f"supernode-{index}.log"
        key = self._keys.private(index) if self._keys else None
        self._nodes[index] = SuperNode.start(
            self.superlink, f"supernode-{index}", self._configs[index], log, key
        )
        return True
