"""What the log of a run says about its failure."""

import re
from pathlib import Path

LONGEST = 64 * 1024  # bytes of a log that are worth showing

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BOX = re.compile(r"^[╭╰].*[╮╯]$|[│]", re.MULTILINE)
_RECORD = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s*:", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):\n"


def tail(log: Path) -> str:
    """Return the end of a log file as plain text, without the colours."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LONGEST))
        text = file.read().decode("utf-8", errors="replace")
    return _COLOUR.sub("", text)


def refusal(log: str) -> str:
    """Return what ``flwr run`` said when it refused to start a run.

    Examples
    --------
    >>> log = "Using SuperLink: launch\\n╭─ Error ────╮\\n│ Invalid app. │\\n╰──────╯\\n"
    >>> refusal(log)
    'Invalid app.'
    """
    # The box is the command's own rendering of an error; what stands above it are remarks.
    _, box, message = log.rpartition("╭─ Error")
    plain = _BOX.sub("", box + message) if box else log
    return " ".join(plain.split())


def exception_text(log: str) -> str | None:
    """Return the exception of the last traceback in a log, with its type, or None.

    Examples
    --------
    >>> log = "Traceback (most recent call last):\\n  File 'a.py', line 1\\nKeyError: 'out'\\n"
    >>> exception_text(log + "ERROR :     Exit Code: 700\\n")
    "KeyError: 'out'"
    """
    _, found, after = log.rpartition(_TRACEBACK)
    traceback = _RECORD.split(after, maxsplit=1)[0]
    said = re.search(r"^\S.*", traceback, re.MULTILINE | re.DOTALL)
    return said.group().strip() if found and said else None
