"""The failure of a run, and what its log says about it."""

import re
from pathlib import Path

LONGEST = 64 * 1024  # bytes of a log that are worth showing

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BOX = re.compile(r"^[╭╰].*[╮╯]$|[│]", re.MULTILINE)
_RECORD = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s*:", re.MULTILINE)
_ENDING = re.compile(r"\s*(?:Simulation|ServerApp) raised an exception")
_TRACEBACK = "Traceback (most recent call last):\n"
# Frames are indented; what was raised is not, and ends where Python tells of the next exception.
_RAISED = re.compile(
    r"^(\S.*?)(?=^The above exception|^During handling|\Z)", re.MULTILINE | re.DOTALL
)


class RunFailed(Exception):  # noqa: N818 (a failed run is an outcome, not a mistake of the caller)
    """A run that was refused, failed, was stopped, or took too long.

    Attributes
    ----------
    reason : str
        What went wrong, with the app's own exception where there is one.
    log : str
        The end of the run's log, tracebacks included.
    """

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.log = log


def tail(log: Path) -> str:
    """Return the end of a log file as plain text, without the colours."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LONGEST))
        text = file.read().decode("utf-8", errors="replace")
    return _COLOUR.sub("", text)


def refusal(log: str) -> str:
    r"""Return what ``flwr run`` said when it refused to start a run.

    Examples
    --------
    >>> log = "Using SuperLink: launch\n╭─ Error ────╮\n│ Invalid app. │\n╰──────╯\n"
    >>> refusal(log)
    'Invalid app.'
    """
    # The box is the command's own rendering of an error; what stands above it are remarks.
    _, box, message = log.rpartition("╭─ Error")
    plain = _BOX.sub("", box + message) if box else log
    return " ".join(plain.split())


def failure(log: str) -> str | None:
    r"""Return the exception that ended a run, with its type, or None if the log has none.

    What ClientApps raise is logged too, but does not end a run. What one raises while it is
    loaded does, wrapped in an exception of Flower: then the one that it came from is added.

    Examples
    --------
    >>> log = "ERROR :     Simulation raised an exception\nTraceback (most recent call last):\n"
    >>> failure(log + "  File 'a.py', line 1\nKeyError: 'out'\nERROR :     Exit Code: 700\n")
    "KeyError: 'out'"
    """
    records = [record for record in _RECORD.split(log) if _ENDING.match(record)]
    tracebacks = records[-1].split(_TRACEBACK)[1:] if records else []
    raised = [found.group(1).strip() for found in map(_RAISED.search, tracebacks) if found]
    if len(raised) < 2:
        return raised[0] if raised else None
    return f"{raised[-1]} (from {raised[0]})"
