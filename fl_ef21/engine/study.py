"""Run a Flower app folder in this process, as ``flwr run`` would in the Simulation Engine."""

import importlib
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from flwr.app import Context, RecordDict
from flwr.app.user_config import UserConfig, UserConfigValue
from flwr.clientapp import ClientApp
from flwr.common.config import flatten_dict
from flwr.serverapp import ServerApp

from fl_ef21.engine.in_process import SERVER_NODE_ID, InProcessGrid, partition_configs

App = TypeVar("App", ClientApp, ServerApp)


def run_study(study: Path, *, clients: int, run_config: Mapping[str, UserConfigValue]) -> None:
    """Run a study to its end on the in-process Grid.

    Parameters
    ----------
    study : Path
        A Flower app folder with a ``pyproject.toml``.
    clients : int
        Number of nodes.
    run_config : mapping
        Overrides of the keys in ``[tool.flwr.app.config]``.

    Raises
    ------
    ValueError
        If the folder is no Flower app, or a key is not declared there.
    Exception
        Whatever the ServerApp raises.
    """
    app = _read_app(study)
    config = _merge(flatten_dict(app.get("config", {})), run_config)
    components = app["components"]
    with importable(study):
        client_app = _load(components["clientapp"], ClientApp)
        server_app = _load(components["serverapp"], ServerApp)
        grid = InProcessGrid(client_app, partition_configs(clients), run_config=config)
        context = Context(
            run_id=grid.run.run_id,
            node_id=SERVER_NODE_ID,
            node_config={},
            state=RecordDict(),
            run_config=config,
        )
        server_app(grid, context)


def _read_app(study: Path) -> dict[str, Any]:
    project = study / "pyproject.toml"
    try:
        app: dict[str, Any] = tomllib.loads(project.read_text("utf-8"))["tool"]["flwr"]["app"]
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{project} does not describe a Flower app ({error}); "
            f"give a folder whose pyproject.toml has [tool.flwr.app.components]"
        ) from error
    return app


def _merge(defaults: UserConfig, overrides: Mapping[str, UserConfigValue]) -> UserConfig:
    unknown = sorted(set(overrides) - set(defaults))
    if unknown:
        raise ValueError(
            f"run config has no key {', '.join(unknown)}; known are {', '.join(sorted(defaults))}"
        )
    return {**defaults, **overrides}


@contextmanager
def importable(study: Path) -> Iterator[None]:
    """Make the study's modules importable, and forget them afterwards.

    Studies use the same module names, as Flower's examples do; forgetting keeps one study from
    getting the modules of another.
    """
    folder = str(study.resolve())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(folder):
                del sys.modules[name]


def _load(reference: str, kind: type[App]) -> App:
    module, _, attribute = reference.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    if not isinstance(app, kind):
        raise ValueError(f"{reference} is a {type(app).__name__} instead of a {kind.__name__}")
    return app
