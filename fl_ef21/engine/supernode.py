"""One SuperNode: its process, and what it has said since it was started."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import tomli_w

from fl_ef21.engine.launch import LOOPBACK, free_port
from fl_ef21.engine.run_log import LONGEST
from fl_ef21.engine.superlink import SuperLink

NodeConfig = Mapping[str, bool | int | float | str]

# Flower's own words. flower/compatibility.py refuses every series of Flower but this one.
_ONLINE = "SuperNode ID:"
_NOT_ACTIVATED = "[code: 2004]"


@dataclass(frozen=True)
class SuperNode:
    """A process of ``flower-supernode`` that belongs to a launch.

    Attributes
    ----------
    process : subprocess.Popen
        The SuperNode itself.
    log : pathlib.Path
        Its log, and that of those that had its place before.
    begin : int
        Where in the log its own part begins, in bytes.
    """

    process: subprocess.Popen[bytes]
    log: Path
    begin: int

    @classmethod
    def start(
        cls, superlink: SuperLink, name: str, config: NodeConfig, log: Path, key: Path | None
    ) -> Self:
        """Start a SuperNode, without waiting for it.

        Parameters
        ----------
        superlink : SuperLink
            Where it connects to.
        name : str
            Of its folder in the launch's. Nodes would install an app at the same time in a common
            one.
        config : mapping
            Its node config.
        log : pathlib.Path
            Where its output goes, appended.
        key : pathlib.Path or None
            Its private key, if the SuperLink asks for one.
        """
        home = superlink.launch.folder / name
        home.mkdir(exist_ok=True)
        settings = home / "node-config.toml"
        settings.write_text(tomli_w.dumps(dict(config)), encoding="utf-8")
        command = ["flower-supernode", "--superlink", superlink.address]
        command += ["--host", LOOPBACK, "--port", str(free_port())]
        command += ["--node-config", str(settings), *superlink.client_options]
        command += ["--auth-supernode-private-key", str(key)] if key else []
        begin = log.stat().st_size if log.exists() else 0
        process = superlink.launch.start(command, log, {"FLWR_HOME": str(home)})
        return cls(process, log, begin)

    @property
    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self.process.poll() is not None

    @property
    def has_been_online(self) -> bool:
        """Whether the SuperLink has taken it in."""
        return _ONLINE in self._said()

    @property
    def was_refused(self) -> bool:
        """Whether it ended because the SuperLink would not take it in.

        It does not know the node's key, or believes that the node is online already: for up to a
        minute after a power cut.
        """
        return self.has_ended and _NOT_ACTIVATED in self._said()

    def _said(self) -> str:
        """Return the beginning of its part of the log."""
        with self.log.open("rb") as file:
            file.seek(self.begin)
            return file.read(LONGEST).decode("utf-8", errors="replace")
