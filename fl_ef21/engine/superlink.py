"""A SuperLink of one's own, and runs of Flower apps on it through the ``flwr`` command."""

import json
import logging
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tomli_w

from fl_ef21.engine.certificates import Certificates
from fl_ef21.engine.launch import LOOPBACK, Launch, free_port, is_listening
from fl_ef21.engine.run_log import RunFailed, failure, refusal, tail

RunConfig = Mapping[str, bool | int | float | str]

STARTUP = 180.0  # seconds that a process of Flower may take before it counts as stuck
POLL = 0.2  # seconds between two calls of on_poll

_logger = logging.getLogger("fl_ef21")


@dataclass(frozen=True)
class SuperLink:
    """A SuperLink on loopback that belongs to a launch.

    Attributes
    ----------
    launch : Launch
        Whose environment and end it shares. The ``flwr`` command of that environment talks to it.
    address : str
        Host and port.
    process : subprocess.Popen
        The SuperLink itself.
    log : pathlib.Path
        Its log.
    certificates : Certificates or None
        Of TLS, if it speaks that; then it takes in only SuperNodes with a registered key.
    """

    launch: Launch
    address: str
    process: subprocess.Popen[bytes]
    log: Path
    certificates: Certificates | None = None

    @classmethod
    def start(
        cls,
        launch: Launch,
        log: Path,
        *,
        simulation: bool,
        port: int = 0,
        certificates: Certificates | None = None,
    ) -> Self:
        """Start a SuperLink and wait until it answers.

        Parameters
        ----------
        launch : Launch
            To own it.
        log : pathlib.Path
            Where its output goes.
        simulation : bool
            Whether it runs apps in the Simulation Engine, or on SuperNodes that connect to it.
        port : int
            Where it listens; 0 for any port that is free.
        certificates : Certificates, optional
            For TLS and SuperNode authentication, which Flower has only together with TLS.

        Raises
        ------
        RunFailed
            If it ends, or does not answer within ``STARTUP`` seconds.
        ValueError
            If the port cannot be had.
        """
        port = free_port(port)
        address = f"{LOOPBACK}:{port}"
        command = ["flower-superlink", "--host", LOOPBACK, "--port", str(port)]
        command += ["--simulation"] if simulation else []
        process = launch.start([*command, *_server_options(certificates)], log)
        superlink = cls(launch, address, process, log, certificates)
        connection = {"default": "launch", "launch": superlink.connection}
        config = launch.folder / "config.toml"
        config.write_text(tomli_w.dumps({"superlink": connection}), encoding="utf-8")
        superlink.wait_until(lambda: is_listening(port), "to answer")
        _logger.debug("SuperLink of launch %s at %s", launch.mark, address)
        return superlink

    @property
    def connection(self) -> dict[str, str | bool]:
        """What ``flwr`` has to know, as a table ``[superlink.NAME]`` of its config.toml."""
        if self.certificates is None:
            return {"address": self.address, "insecure": True}
        return {
            "address": self.address,
            "root-certificates": str(self.certificates.authority),
        }

    @property
    def client_options(self) -> list[str]:
        """How a SuperNode is told what the connection is."""
        if self.certificates is None:
            return ["--insecure"]
        return ["--root-certificates", str(self.certificates.authority)]

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Wait for something that the SuperLink should soon see.

        Raises
        ------
        RunFailed
            If the SuperLink ends, or ``STARTUP`` seconds pass.
        """
        deadline = time.monotonic() + STARTUP
        while not ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise RunFailed(f"waited {STARTUP:.0f} s for the SuperLink {what}", tail(self.log))
            time.sleep(POLL / 2)

    def query(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON answer of a ``flwr`` command.

        Raises
        ------
        RunFailed
            If there is none.
        """
        try:
            answer = json.loads(self.launch.output(["flwr", *arguments, "--format", "json"]))
        except (subprocess.SubprocessError, json.JSONDecodeError) as error:
            raise RunFailed(f"no answer from the SuperLink: {error}", tail(self.log)) from error
        return dict(answer)

    def run(
        self,
        study: Path,
        run_config: RunConfig,
        log: Path,
        *,
        options: Sequence[str] = (),
        timeout: float | None = None,
        on_poll: Callable[[], None] | None = None,
    ) -> None:
        """Run a Flower app to its end.

        Parameters
        ----------
        study : pathlib.Path
            The app's folder.
        run_config : mapping
            Settings that replace those of its pyproject.toml.
        log : pathlib.Path
            Where the run's log goes.
        options : sequence of str
            More options of ``flwr run``.
        timeout : float, optional
            Seconds after which the run is stopped.
        on_poll : callable, optional
            Called about five times a second.

        Raises
        ------
        RunFailed
            If it is refused, fails, is stopped, or takes too long.
        Exception
            Whatever `on_poll` raises; the run is stopped then.
        """
        config = self.launch.folder / "run-config.toml"
        config.write_text(tomli_w.dumps(dict(run_config)), encoding="utf-8")
        command = ["flwr", "run", str(study.resolve()), "--stream", "--run-config", str(config)]
        process = self.launch.start([*command, *options], log)
        # `flwr run` streams the log to the run's end, and then succeeds whatever that end was.
        try:
            self._follow(process, timeout, on_poll)
        except TimeoutError as error:
            self._stop_run()
            raise RunFailed(str(error), tail(log)) from error
        except RunFailed:  # there is no SuperLink that could stop it
            raise
        except Exception:
            self._stop_run()
            raise
        finally:
            process.terminate()
        if process.returncode != 0:
            given = ", ".join(f"{key}={value!r}" for key, value in run_config.items())
            message = refusal(tail(log))
            reason = f"flwr run refused {study}: {message} The run config given: {given or 'none'}"
            raise RunFailed(reason, tail(log))
        outcome = self.last_run()
        if outcome["status"] != "finished:completed":
            text = tail(log)
            details = f"{outcome['status']}: {outcome['status-details']}"
            raise RunFailed(failure(text) or details, text)

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        timeout: float | None,
        on_poll: Callable[[], None] | None,
    ) -> None:
        started = time.monotonic()
        while True:
            try:
                process.wait(POLL)
                return
            except subprocess.TimeoutExpired:
                self.check_alive()
            if on_poll is not None:
                on_poll()
            if timeout is not None and time.monotonic() - started > timeout:
                raise TimeoutError(f"the run was stopped: not finished after {timeout:g} s")

    def check_alive(self) -> None:
        """Raise RunFailed if the SuperLink has ended."""
        if (code := self.process.poll()) is not None:
            raise RunFailed(f"the SuperLink ended with exit code {code}", tail(self.log))

    def last_run(self) -> dict[str, Any]:
        """Return what ``flwr ls`` says of the last run: its id, status, traffic and times.

        Raises
        ------
        RunFailed
            If the SuperLink does not answer.
        LookupError
            If there was no run.
        """
        runs = self.query("ls", "--limit", "1")["runs"]
        return dict(runs[0])

    def _stop_run(self) -> None:
        """Stop the last run, so that the SuperNodes are free for the next."""
        try:
            self.query("stop", self.last_run()["run-id"])
        except (RunFailed, LookupError) as error:
            _logger.warning("could not stop the run: %s", error)


def _server_options(certificates: Certificates | None) -> list[str]:
    if certificates is None:
        return ["--insecure"]
    options = ["--ssl-ca-certfile", str(certificates.authority)]
    options += ["--ssl-certfile", str(certificates.certificate)]
    options += ["--ssl-keyfile", str(certificates.key)]
    return [*options, "--enable-supernode-auth"]
