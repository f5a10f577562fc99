"""Real processes in tests: what is alive, and the rule that nothing outlives a test."""

import os
import time
import uuid
from collections.abc import Callable, Iterator

import psutil
import pytest

NAME = "FL_EF21_TEST"


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test starts inherits a variable, and must be gone when the test is over."""
    monkeypatch.setenv(NAME, uuid.uuid4().hex)
    yield
    assert alive() == []


def alive() -> list[str]:
    """Return the processes with the test's variable in their environment, and their children."""
    everything = list(psutil.process_iter())
    marked = set()
    for process in everything:
        try:
            if process.environ().get(NAME) == os.environ[NAME]:
                marked.add(process.pid)
        except (psutil.Error, OSError):
            continue
    found = []
    for process in everything:
        try:
            if process.status() != psutil.STATUS_ZOMBIE and {process.pid, process.ppid()} & marked:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
