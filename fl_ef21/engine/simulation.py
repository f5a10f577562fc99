"""Run a study in Flower's Simulation Engine."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from fl_ef21.engine.launch import Launch
from fl_ef21.engine.run_log import RunFailed
from fl_ef21.engine.superlink import RunConfig, SuperLink

__all__ = ["RunFailed", "run"]


def run(
    study: Path,
    *,
    clients: int,
    run_config: RunConfig,
    cpus: int | None = None,
    on_poll: Callable[[], None] | None = None,
    timeout: float | None = None,
) -> None:
    """Run a Flower app through ``flwr run`` and come back when it is over.

    It has a SuperLink of its own: nothing of the user's ``~/.flwr`` is read or changed, and no
    process is left behind, however this one ends.

    Parameters
    ----------
    study : pathlib.Path
        The app's folder.
    clients : int
        How many SuperNodes are simulated.
    run_config : mapping
        Settings that replace those of its pyproject.toml. Paths in it should be absolute.
    cpus : int, optional
        How many clients run side by side, one CPU each; by default all CPUs of the machine.
    on_poll : callable, optional
        Called about five times a second while the run lives.
    timeout : float, optional
        Seconds after which the run is stopped.

    Raises
    ------
    RunFailed
        If Ray is missing, or Flower refuses the run, or it fails, or it takes too long. An app
        that ends early but without an exception, by ``sys.exit`` for example, has not failed in
        Flower's eyes: check what it should have written.
    ValueError
        If `clients` or `cpus` is below 1.
    """
    available = os.cpu_count() or 1 if cpus is None else cpus
    for name, value in {"clients": clients, "cpus": available}.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1")
    if importlib.util.find_spec("ray") is None:
        raise RunFailed("Ray is not installed; pip install 'fl-ef21[simulation]'", log="")
    resources = {
        "num-supernodes": clients,
        "client-resources-num-cpus": 1,
        "init-args-num-cpus": min(available, clients),  # an actor without a client only costs time
    }
    federation = " ".join(f"{key}={value}" for key, value in resources.items())
    with Launch() as launch:
        superlink = SuperLink.start(launch, launch.folder / "superlink.log", simulation=True)
        superlink.run(
            study,
            run_config,
            launch.folder / "run.log",
            options=["--federation-config", federation],
            timeout=timeout,
            on_poll=on_poll,
        )
