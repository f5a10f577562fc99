"""The processes of one launch of Flower: their folder, their environment and their end."""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fl_ef21.engine import reaper

LOOPBACK = "127.0.0.1"

# What a launch needs, whatever the user's shell says.
_REQUIRED = {
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",  # else `uv sync` against an index per run
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_LOG_LEVEL": "INFO",  # what a log tells is read
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",  # seconds; the default of one is paid per message
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONUNBUFFERED": "1",  # a log is complete whenever it is read
    "PYTHONUTF8": "1",  # Flower prints what a Latin-1 locale cannot
}

# What the user may want otherwise. Clients run side by side, one thread each; the order of sums,
# and so the last bits of a model, depends on the number of threads.
_DEFAULTS = {
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}

# Ray puts sockets 69 characters below its folder, and a socket's path has at most 107.
_LONGEST_PARENT = 107 - 69 - len("/ef21-xxxxxxxx")


class Launch:
    """Own the processes of one launch, as a context: when it ends, they have ended.

    They run in a temporary folder's FLWR_HOME, so that neither ``~/.flwr`` nor a SuperLink of the
    user is touched. They end also when the owner is killed: see :mod:`fl_ef21.engine.reaper`.

    Attributes
    ----------
    folder : pathlib.Path
        Temporary, removed at the end.
    mark : str
        The value of ``FL_EF21_LAUNCH`` in the environment of every process of the launch.
    """

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="ef21-", dir=_short_temporary_folder()))
        self._environment = environment(self.mark, self.folder)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reaper = subprocess.Popen(
            # -P: this file's folder is no place to import from.
            [sys.executable, "-P", reaper.__file__, self.mark, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reaper.communicate(b"end\n")
        if self._reaper.returncode != 0:
            reaper.finish(self.mark, self.folder)
        for process in self._processes:
            process.wait()

    def start(
        self, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command of Flower.

        Parameters
        ----------
        command : sequence of str
            Its name and arguments.
        log : pathlib.Path
            Where its output goes, appended.
        variables : mapping, optional
            More of its environment.

        Raises
        ------
        FileNotFoundError
            If the command is not installed beside the running interpreter, nor on PATH.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                [self._executable(command[0]), *command[1:]],
                env={**self._environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the owner; the owner ends the rest
            )
        self._processes.append(process)
        return process

    def output(self, command: Sequence[str]) -> str:
        """Run a short command of Flower and return its standard output.

        Raises
        ------
        FileNotFoundError
            As :meth:`start`.
        subprocess.SubprocessError
            If it fails, or takes more than three minutes.
        """
        return subprocess.run(
            [self._executable(command[0]), *command[1:]],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=180,
            check=True,
            start_new_session=True,
        ).stdout

    def _executable(self, name: str) -> str:
        path = self._environment["PATH"]
        found = shutil.which(name, path=path)
        if found is None:
            raise FileNotFoundError(
                f"no command {name!r} in {path}; install Flower for {sys.executable}:"
                " pip install 'fl-ef21[simulation]'"
            )
        return found


def environment(mark: str, folder: Path) -> dict[str, str]:
    """Return the environment of a launch: the user's, and what FLWR_HOME in `folder` needs."""
    loopback = ",".join(filter(None, [os.environ.get("NO_PROXY"), LOOPBACK, "localhost"]))
    return {
        **_DEFAULTS,
        **os.environ,
        **_REQUIRED,
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]),
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "FLWR_HOME": str(folder),
        "RAY_TMPDIR": str(folder),
        reaper.MARK: mark,
    }


def free_port(wanted: int = 0) -> int:
    """Return a port of the loopback interface that nobody listens on.

    Parameters
    ----------
    wanted : int
        The one to return, or 0 for any.

    Raises
    ------
    ValueError
        If `wanted` is no port, or cannot be had.
    """
    if wanted not in range(65536):
        raise ValueError(f"port {wanted} is outside 1 to 65535")
    with socket.socket() as probe:
        # As the server will: a port whose last connections are still closing down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError as error:
            raise ValueError(
                f"port {wanted} of {LOOPBACK} cannot be had ({error.strerror}); give another,"
                " or 0 for any that is free"
            ) from error
        port: int = probe.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    """Say whether somebody listens on a port of the loopback interface."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def _short_temporary_folder() -> str:
    usual = tempfile.gettempdir()
    return usual if os.name != "posix" or len(usual) <= _LONGEST_PARENT else "/tmp"
