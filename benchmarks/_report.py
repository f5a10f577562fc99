"""What the benchmarks share: timing, targets, tables, figures and the machine's facts."""

import gc
import json
import os
import platform
import textwrap
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from fl_ef21 import __version__

WIDTH: Final = 118
"""Columns of the output where it is no terminal."""

LITERATURE: Final = "quoted from the literature by way of the project's notes, not measured here"

ABS_MAX_BLOCK: Final = 2**17


@dataclass(frozen=True)
class Case:
    """Something to time; ``prepare`` runs before every repeat and is not timed."""

    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Times:
    """Seconds of CPU time of one case."""

    best: float
    median: float


def time_interleaved(cases: Sequence[Case], repeats: int) -> dict[str, Times]:
    """Run all cases in turn, ``repeats`` times, after one turn that warms caches and allocator.

    Interleaved, so that a drift of the machine's speed hits all alike. CPU time of the process,
    page faults included: on a quiet machine it is the elapsed time, and on a busy one it does not
    punish the long cases, which are interrupted more. Freeing what a case returns is part of its
    time; Python's garbage collection is not.
    """
    _warm_allocator()
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats + 1):
            for case in cases:
                case.prepare()
                started = process_time()
                case.run()
                seconds[case.name].append(process_time() - started)
    finally:
        gc.enable()
    return {name: Times(min(taken[1:]), median(taken[1:])) for name, taken in seconds.items()}


def _warm_allocator() -> None:
    """Let glibc keep freed memory from here on, as it does in any process that has run a while.

    It asks the system for every block above a threshold, whose pages then cost a fault each. The
    threshold rises to the largest block freed so far, up to 32 MiB; larger ones always cost it.
    """
    np.ones(2**25 - 2**16, np.uint8)


def abs_max_pass(vector: np.ndarray) -> float:
    """Return the largest magnitude by one pass in blocks: the floor of every search for the top.

    The block's scratch stays in the second-level cache; of 2^12 to 2^19 entries this is as fast
    as any.
    """
    scratch, largest = np.empty(ABS_MAX_BLOCK, vector.dtype), 0.0
    for start in range(0, vector.size, ABS_MAX_BLOCK):
        block = vector[start : start + ABS_MAX_BLOCK]
        largest = max(largest, np.abs(block, out=scratch[: block.size]).max())
    return largest


@dataclass(frozen=True)
class Target:
    """A measured value and the limit that it has to keep."""

    name: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the value keeps the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def target_table(targets: Sequence[Target]) -> Table:
    """Lay out all targets with their values, and how far those are from the limits."""
    met = sum(target.met for target in targets)
    table = new_table(f"Targets: {met} of {len(targets)} met")
    for name in ("target", "measured", "limit", "measured / limit", ""):
        table.add_column(name, justify="left" if name == "target" else "right")
    for target in targets:
        sign = "≥" if target.at_least else "≤"
        table.add_row(
            target.name,
            f"{number(target.value)} {target.unit}".strip(),
            f"{sign} {number(target.limit)} {target.unit}".strip(),
            f"{target.value / target.limit:.3f}" if target.limit else "",
            "[green]met[/]" if target.met else "[bold red]MISSED[/]",
        )
    return table


def new_table(title: str, *columns: str, caption: str = "") -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(
        title=title,
        caption=caption or None,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    return table


def number(value: float) -> str:
    """Write a number with as many digits as a reader wants."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 10 else f"{value:.3f}"


def power(value: int) -> str:
    """Write 10000000 as 10⁷, and what is no power of ten with separators."""
    exponent = len(str(value)) - 1
    if exponent >= 3 and value == 10**exponent:
        return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(exponent))
    return f"{value:,}"


def milliseconds(times: Times) -> list[str]:
    """Return the cells for best and median."""
    return [f"{times.best * 1e3:.2f}", f"{times.median * 1e3:.2f}"]


def new_parser(docstring: str | None) -> ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    parser = ArgumentParser(description=(docstring or "").split("\n")[0])
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all rows to a file")
    parser.add_argument("--figure", type=Path, metavar="PATH.png", help="draw a figure")
    return parser


def new_console() -> Console:
    """Return a console that is wide enough for the tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def machine() -> dict[str, Any]:
    """Return the facts that a timing depends on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fl-ef21": __version__,
    }


def machine_line(facts: Mapping[str, Any]) -> str:
    """Write the facts on one line."""
    return (
        f"{facts['date']}, {facts['processor']}, {facts['cores']} cores, {facts['system']}, "
        f"Python {facts['python']}, numpy {facts['numpy']}, fl-ef21 {facts['fl-ef21']}"
    )


class Stopwatch:
    """Elapsed and CPU time since it was made: how busy others have kept the machine."""

    def __init__(self) -> None:
        self.elapsed, self.cpu = perf_counter(), process_time()

    def line(self) -> str:
        """Say both in a sentence."""
        elapsed, cpu = perf_counter() - self.elapsed, process_time() - self.cpu
        busy = "; the machine was busy, so trust only the ratios" if elapsed > 1.3 * cpu else ""
        return f"{elapsed:.0f} s, {cpu:.0f} s of CPU time{busy}"


def write_json(
    path: Path,
    facts: Mapping[str, Any],
    rows: Mapping[str, Any],
    targets: Sequence[Target],
) -> None:
    """Write the machine's facts, all rows and all targets."""
    verdicts = [asdict(target) | {"met": target.met} for target in targets]
    content = {"machine": facts, **rows, "targets": verdicts}
    path.write_text(json.dumps(content, indent=2, default=float), encoding="utf-8")


def save_figure(figure: Figure, path: Path, caption: str) -> None:
    """Put a caption below a figure and write it."""
    width = round(figure.get_size_inches()[0] * 13)
    figure.text(0.01, 0.005, textwrap.fill(caption, width), fontsize=8, va="bottom", color="#444")
    figure.savefig(path)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
