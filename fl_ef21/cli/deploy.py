"""The command ``fl-ef21 deploy local``: Flower's Deployment Engine on this machine."""
# ruff: noqa: PLC0415

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from fl_ef21.cli import options
from fl_ef21.cli.deployment_screen import show_federation
from fl_ef21.cli.running import INTERRUPTED, Terminated, leave, stopping_on_terminate
from fl_ef21.cli.settings import refusing
from fl_ef21.engine.studies import Study, find_study

if TYPE_CHECKING:
    from fl_ef21.engine.deployment import LocalFederation
    from fl_ef21.report.run_folder import RunFolder

LOOK: Final = 1.0  # seconds between two looks at the processes

app = typer.Typer(
    no_args_is_help=True,
    help="Flower's Deployment Engine: a SuperLink, and SuperNodes that connect to it.",
)


@app.callback()
def _group() -> None:
    """Keep `local` a word of its own while there is no other command."""


@app.command()
def local(
    *,
    clients: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="How many SuperNodes; each takes about 260 MB of memory.",
        ),
    ] = 3,
    study: Annotated[
        str,
        typer.Option(
            metavar="STUDY",
            help="What to run: a folder in simulations/, or the path of any Flower app folder.",
        ),
    ] = options.DEFAULT_STUDY,
    run: Annotated[
        bool, typer.Option("--run", help="Run the study, show its outcome, and stop.")
    ] = False,
    rounds: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Rounds of each method; each takes six seconds or more.",
        ),
    ] = 5,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="Speak TLS, and take in only SuperNodes whose key is registered."
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Port of the SuperLink.",
            show_default="any that is free",
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A new folder for the logs, the clients' states and the study's records.",
            show_default="results/deploy/TIME",
        ),
    ] = None,
) -> None:
    """Start a SuperLink and SuperNodes on this machine, and stop them at the end.

    They talk over loopback and are seen from this machine alone. Ctrl-C ends them; so does every
    other end of this command. A SuperNode that ends by itself is started again.

    For hosts of their own see docs/deployment.md.
    """
    from fl_ef21.engine.launch import free_port

    with refusing("--study"):
        chosen = find_study(study, ("clients", "out") if run else ())
    with refusing("--port"):
        port = free_port(port)
    with refusing("--out"):
        folder = _new_folder(out)
    _deploy(chosen, clients, rounds, folder, run=run, tls=tls, port=port)


def _new_folder(out: Path | None) -> Path:
    from fl_ef21.report.run_folder import claim

    started = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    path = out if out is not None else Path("results", "deploy", started)
    path = claim(path.expanduser().absolute())
    if (path / "logs").exists():
        raise FileExistsError(
            f"{path} already holds the logs of a deployment; give another --out,"
            " or remove that folder first"
        )
    return path


def _deploy(
    study: Study, clients: int, rounds: int, folder: Path, *, run: bool, tls: bool, port: int
) -> None:
    from fl_ef21.engine.deployment import LocalFederation, RunFailed

    console = Console(highlight=False, markup=False)
    states = [folder / "state" / f"supernode-{index}" for index in range(clients)]
    for state in states:
        state.mkdir(parents=True)
    federation = LocalFederation(
        clients,
        folder / "logs",
        tls=tls,
        port=port,
        node_configs=[{"state-dir": str(state)} for state in states],
    )
    records = None
    try:
        with stopping_on_terminate():
            console.print(f"Starting a SuperLink and {_supernodes(clients)}", soft_wrap=True)
            with federation:
                asked = {"clients": clients, "rounds": rounds}
                settings = {key: asked[key] for key in asked if key in study.settings}
                show_federation(federation, study, settings, console)
                if run:
                    records = _run(federation, study, settings, folder)
                else:
                    _serve(federation, console)
    except KeyboardInterrupt:
        leave(f"Stopped. The logs are in {folder / 'logs'}", INTERRUPTED)
    except (RunFailed, OSError, ValueError) as failure:  # ValueError: a port that was taken since
        leave(f"The deployment failed: {failure}\nIts logs: {folder / 'logs'}", 1)
    if records is not None:
        from fl_ef21.cli.showing import show

        show(study, records)


def _serve(federation: "LocalFederation", console: Console) -> None:
    """Come back when somebody wants an end, by Ctrl-C or a polite kill: that is its usual one."""
    try:
        while True:
            time.sleep(LOOK)
            federation.superlink.check_alive()
            for index in federation.start_ended():
                console.print(f"SuperNode {index} ended and was started again", soft_wrap=True)
    except (KeyboardInterrupt, Terminated):
        console.print(f"Stopping. The logs are in {federation.folder}", soft_wrap=True)


def _run(
    federation: "LocalFederation", study: Study, settings: Mapping[str, int], folder: Path
) -> "RunFolder":
    from fl_ef21.engine.deployment import RunFailed
    from fl_ef21.report.progress import RunProgress
    from fl_ef21.report.run_folder import RunFolder, claim

    records = RunFolder(claim(folder / study.name))
    progress = RunProgress(records.history_path, settings.get("rounds"), Console(stderr=True))
    with progress:
        out = {"out": str(records.path)}
        federation.run(study.path, {**settings, **out}, on_poll=progress.poll)
    if not records.is_finished():
        raise RunFailed(f"the study ended without writing a summary to {records.path}", "")
    return records


def _supernodes(number: int) -> str:
    return f"{number} SuperNode" + ("s" if number > 1 else "")
