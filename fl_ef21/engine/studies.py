"""Where the studies are, and the settings that each declares."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Setting = bool | int | float | str


@dataclass(frozen=True)
class Study:
    """A Flower app folder and the settings that it declares, with their defaults."""

    path: Path
    settings: Mapping[str, Setting]
    engine: str = ""
    """Where it usually runs, from its ``[tool.fl-ef21]``; empty if it does not say."""

    @property
    def full(self) -> Mapping[str, Setting]:
        """The settings of the paper's size, from ``full.toml``.

        Raises
        ------
        ValueError
            If there is no such file, or it sets what the study does not have.
        """
        file = self.path / "full.toml"
        if not file.is_file():
            raise ValueError(f"study {self.name!r} has no full.toml: its default size is the only")
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        if unknown := sorted(found.keys() - self.settings.keys()):
            raise ValueError(f"{file} sets {', '.join(unknown)}, which the study does not declare")
        return found

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


def studies_folder() -> Path:
    """Return the folder of the studies that come with fl-ef21: of the wheel or of the checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "simulations"
    return installed if installed.is_dir() else package.parent / "simulations"


def find_study(name_or_path: str, needs: Sequence[str] = ("clients", "out")) -> Study:
    """Return a study by its name in ``simulations/`` or by the path of its folder.

    Parameters
    ----------
    name_or_path : str
        Which one.
    needs : sequence of str
        Settings that it has to declare, as this command gives them; of an app that a person runs
        by ``flwr run``, none.

    Raises
    ------
    ValueError
        If there is no such folder, or it holds no Flower app that this command can run.
    """
    known = studies_folder()
    for path in (known / name_or_path, Path(name_or_path)):
        project = path / "pyproject.toml"
        if project.is_file():
            tool = tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {})
            if "app" not in tool.get("flwr", {}):
                raise ValueError(f"{project} describes no Flower app: it has no [tool.flwr.app]")
            settings = tool["flwr"]["app"].get("config", {})
            if missing := [key for key in needs if key not in settings]:
                raise ValueError(
                    f"{project} does not declare {' and '.join(missing)};"
                    " give it a default in its [tool.flwr.app.config]"
                )
            usual = str(tool.get("fl-ef21", {}).get("engine", ""))
            return Study(path.resolve(), settings, usual)
    names = sorted(project.parent.name for project in known.glob("*/pyproject.toml"))
    raise ValueError(
        f"no study {name_or_path!r}; give one of {', '.join(names)},"
        " or the path of a Flower app folder with a pyproject.toml"
    )
