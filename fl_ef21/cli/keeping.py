"""What a run keeps beside its records, to be resumed and audited; and going on with one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fl_ef21.cli.options import Flags
from fl_ef21.engine.studies import Setting, Study

if TYPE_CHECKING:
    from fl_ef21.report.run_folder import RunFolder

CHECKPOINT: Final = "checkpoint"
RESUME: Final = "resume"
STATE_DIR: Final = "state-dir"
JOURNAL_DIR: Final = "journal-dir"


def kept_beside(folder: Path, *, checkpoint: bool, journal: bool) -> dict[str, Setting]:
    """Return the settings that make a run keep checkpoints and journals in its folder."""
    settings: dict[str, Setting] = {}
    if checkpoint:
        settings |= {CHECKPOINT: True, STATE_DIR: str(folder / "state")}
    if journal:
        settings[JOURNAL_DIR] = str(folder / "journal")
    return settings


def resumed_settings(study: Study, folder: "RunFolder", flags: Flags) -> dict[str, Setting]:
    """Return the settings with which a run goes on: its own, and maybe more rounds.

    Raises
    ------
    ValueError
        If the folder holds no run of the study with checkpoints, or the run is over, or a flag
        would change what it is.
    """
    named = {*flags.given, *(text.split("=")[0] for text in flags.more)} - {"rounds"}
    if named:
        raise ValueError(
            f"a run goes on with the settings that it was started with; leave out "
            f"{', '.join(sorted(named))}"
        )
    config = _config(folder)
    if not config.get(CHECKPOINT):
        raise ValueError(
            f"the run in {folder.path} keeps no checkpoints; only runs with --checkpoint can go on"
        )
    own = {key: config[key] for key in study.settings if key in config and key != "out"}
    rounds = flags.given.get("rounds", own.get("rounds"))
    if folder.is_finished() and rounds == own.get("rounds"):
        raise ValueError(f"the run in {folder.path} is over; for more give --rounds")
    return {**own, "rounds": rounds, RESUME: True} if rounds is not None else {**own, RESUME: True}


def _config(folder: "RunFolder") -> Mapping[str, Setting]:
    try:
        return folder.config()
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{folder.path} holds no run; give the folder of one: {error}") from error
