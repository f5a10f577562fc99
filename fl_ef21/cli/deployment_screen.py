"""What ``fl-ef21 deploy local`` says once all is running: what runs where, and how to use it."""

import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from fl_ef21.engine.studies import Study

if TYPE_CHECKING:
    from fl_ef21.engine.deployment import LocalFederation

CONNECTION: Final = "ef21-local"
"""Its name in the ``config.toml`` of a user who wants to keep it there."""


def show_federation(
    federation: "LocalFederation", study: Study, settings: Mapping[str, int], console: Console
) -> None:
    """Say what runs where, and how an app is run on it."""
    superlink = federation.superlink
    security = "TLS, registered keys" if superlink.certificates else "no TLS"
    table = Table.grid(padding=(0, 2))
    table.add_row("SuperLink", f"{superlink.address}, {security}", "superlink.log")
    for index in range(federation.supernodes):
        table.add_row(f"SuperNode {index}", f"partition-id={index}", f"supernode-{index}.log")
    console.print(table)
    console.print(f"Logs in    {federation.folder}\n", soft_wrap=True)

    flwr = f"FLWR_HOME={shlex.quote(str(superlink.launch.folder))} {_command('flwr')}"
    config = shlex.quote(" ".join(f"{key}={value}" for key, value in settings.items()))
    where = shlex.quote(_short(study.path))
    lines = [
        "To run an app on it, in another terminal:",
        f"  {flwr} run {where} --stream" + (f" --run-config {config}" if settings else ""),
        "To see its nodes and its runs:",
        f"  {flwr} supernode list",
        f"  {flwr} list",
        f"Or put this into your ~/.flwr/config.toml, and `{CONNECTION}` behind those commands:",
        f"  [superlink.{CONNECTION}]",
        *(f"  {key} = {_toml(value)}" for key, value in superlink.connection.items()),
        "",
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print("Ctrl-C stops everything.\n")


def _command(name: str) -> str:
    """Return how a shell finds a command of this environment."""
    return name if shutil.which(name) else str(Path(sysconfig.get_path("scripts"), name))


def _short(path: Path) -> str:
    """Return a path as seen from here, if it lies below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _toml(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
