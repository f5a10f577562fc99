"""A process that ends a launch when its owner ends it, or is no more.

A launch of Flower is a dozen processes, some of them detached on purpose, so neither a process
group nor a parent holds them all. They inherit one environment variable, and that names them.

:class:`fl_ef21.engine.launch.Launch` starts this file as a script, holding its standard input.
When that says a line, or closes because the owner was killed, every process of the launch is ended
and its folder removed. Ctrl-C does not reach it: it has a session of its own.
"""

import shutil
import sys
import time
from pathlib import Path

import psutil

MARK = "FL_EF21_LAUNCH"
PATIENCE = 2.0  # seconds between asking a process to end and killing it
PAUSE = 0.05  # seconds between two looks


def owned(mark: str) -> list[psutil.Process]:
    """Return the living processes of a launch.

    Parameters
    ----------
    mark : str
        The launch's value of the environment variable ``FL_EF21_LAUNCH``.

    Returns
    -------
    list of psutil.Process
        Those that carry the mark, and their children: Flower's SuperExec forbids reading its
        environment, and Ray's workers overwrite theirs.
    """
    processes = list(psutil.process_iter())
    marked = {process.pid for process in processes if _mark(process) == mark}
    return [process for process in processes if process.pid in marked or _parent(process) in marked]


def _mark(process: psutil.Process) -> str | None:
    try:
        environment: dict[str, str] = process.environ()
    except (psutil.Error, OSError):  # ended meanwhile, a zombie, or somebody else's
        return None
    return environment.get(MARK)


def _parent(process: psutil.Process) -> int | None:
    try:
        parent: int = process.ppid()
        return None if process.status() == psutil.STATUS_ZOMBIE else parent
    except psutil.Error:
        return None


def sweep(mark: str) -> None:
    """End every process of a launch: ask, then kill what is still there after `PATIENCE`."""
    asked: set[psutil.Process] = set()
    deadline = time.monotonic() + PATIENCE
    while alive := owned(mark):
        for process in alive:
            try:
                if time.monotonic() > deadline:
                    process.kill()
                elif process not in asked:
                    process.terminate()
            except psutil.NoSuchProcess:
                continue
        asked.update(alive)
        time.sleep(PAUSE)


def finish(mark: str, folder: Path) -> None:
    """End the processes of a launch, then remove its folder."""
    sweep(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.readline()
    finish(sys.argv[1], Path(sys.argv[2]))
