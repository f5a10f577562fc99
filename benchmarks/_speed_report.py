"""Tables and the figure of benchmarks/speed.py; its rows are passed in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from _report import milliseconds, new_table, power, save_figure
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from fl_ef21.report.figures import COLOURS, paper_style

LIMITS: Final = {"TopK.compress": 3.5, "client step": 3.5, "server, per client": 1 / 3}
"""Targets as ratios to the row's floor."""

_FLOORS: Final = ("abs-max pass", "np.subtract", "copy")
_OTHERS: Final = ("np.", "torch", "Flower")


def time_table(rows: Sequence[Any], title: str) -> Table:
    """Lay out best and median times and their ratios to the floors."""
    table = new_table(
        f"CPU times, {title}",
        *("what", "best, ms", "median, ms", "ratio of best", "of medians", "to", "target"),
        caption="The first three rows are the floors. Indented: parts of the row above. Flower's "
        "mean: its own function, per client of four. Clustered: positions in dense stretches, "
        "which take the adaptive code; no target.",
    )
    for row in rows:
        limit = LIMITS.get(row.name)
        ratios = (f"{row.ratio:.2f}×", f"{row.median_ratio:.2f}×", row.floor) if row.floor else ()
        goal = (f"≤ {limit:.3g}× {_verdict(row.ratio <= limit)}",) if limit else ()
        table.add_row(row.name, *milliseconds(row.times), *ratios, *goal)
    return table


def memory_table(rows: Sequence[Any]) -> Table:
    """Lay out peaks of memory."""
    table = new_table(
        "Memory that decode, checks and fold allocate",
        *("positions", "d", "k", "peak, MB", "B per kept coordinate", "4·d, MB"),
        caption="Peak by tracemalloc. 4·d: one dense float32 vector, for comparison.",
    )
    for row in rows:
        table.add_row(
            *(row.name, power(row.size), power(row.count), f"{row.peak / 1e6:.2f}"),
            *(f"{row.peak / row.count:.0f}", f"{4 * row.size / 1e6:.1f}"),
        )
    return table


def compressor_table(rows: Sequence[Any]) -> Table:
    """Lay out the times of every compressor."""
    table = new_table(
        f"Compressors on d = {power(rows[0].size)} normal float32 values: best CPU times",
        *("compressor", "compress, ms", "encode, ms", "decode, ms", "all, ms", "payload, B"),
        *("bits / d", "32 / that"),
    )
    for row in rows:
        parts = [part.best * 1e3 for part in (row.compress, row.encode, row.decode)]
        bits = 8 * row.payload / row.size
        table.add_row(
            *(row.text, *(f"{part:.2f}" for part in parts), f"{sum(parts):.2f}"),
            *(f"{row.payload:,}", f"{bits:.3f}", f"{32 / bits:.1f}×"),
        )
    return table


def draw(times: Sequence[Any], compressors: Sequence[Any], path: Path, about: str) -> None:
    """Draw all times on logarithmic axes, with floors and targets."""
    with paper_style():
        figure = Figure(figsize=(13, 7), layout="constrained")
        figure.get_layout_engine().set(rect=(0, 0.06, 1, 0.94), w_pad=0.1)
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _draw_times(left, [row for row in times if not row.name.startswith(" ")])
        _draw_compressors(right, compressors)
        caption = (
            "All measured here, in one run on one thread; bars: best CPU time, thin lines: to the "
            f"median. Nothing is quoted but the targets. {about}."
        )
        save_figure(figure, path, caption)


def _draw_times(axes: Axes, rows: Sequence[Any]) -> None:
    shown = list(rows)[::-1]
    for place, row in enumerate(shown):
        best, middle = row.times.best * 1e3, row.times.median * 1e3
        axes.barh(place, best, color=_colour(row.name))
        axes.plot((best, middle), (place, place), color="black", linewidth=1)
        limit, ratio = LIMITS.get(row.name), ""
        if row.floor:
            ratio = f"   {row.ratio:.1f}×" if row.ratio >= 1 else f"   1/{1 / row.ratio:.1f}"
        end = max(best, middle)
        if limit:
            goal = limit * row.floor_times.best * 1e3
            axes.plot((goal, goal), (place - 0.45, place + 0.45), color=COLOURS[1], linewidth=2.5)
            end = max(end, goal)
        axes.text(end * 1.08, place, f"{best:.1f} ms{ratio}", va="center", fontsize=9)
    axes.barh(0, 0, color="#999999", label="floor: one pass of numpy")
    axes.barh(0, 0, color=COLOURS[0], label="fl-ef21")
    axes.barh(0, 0, color=COLOURS[3], label="what is used today")
    axes.plot([], [], color=COLOURS[1], linewidth=2.5, label="target: at most")
    axes.set_yticks(range(len(shown)), [_label(row) for row in shown])
    axes.set_xscale("log")
    axes.set_xlim(min(row.times.best for row in shown) * 400, axes.get_xlim()[1] * 4)
    axes.set_xlabel("milliseconds")
    axes.set_title("A round's work, and its ratio to a floor", loc="left")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.1), ncols=4, frameon=False, fontsize=9)


def _draw_compressors(axes: Axes, rows: Sequence[Any]) -> None:
    shown = list(rows)[::-1]
    for offset, part, colour in zip((0.27, 0, -0.27), _PARTS, _PART_COLOURS, strict=True):
        places = [place + offset for place in range(len(shown))]
        widths = [getattr(row, part).best * 1e3 for row in shown]
        axes.barh(places, widths, 0.25, color=colour, label=part)
    labels = [f"{row.text}  ({8 * row.payload / row.size:.2f} bits)" for row in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds")
    axes.set_title(f"Compressors, d = {power(shown[0].size)} (bits per coordinate)", loc="left")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.1), ncols=3, frameon=False, fontsize=9)


_PARTS: Final = ("compress", "encode", "decode")
_PART_COLOURS: Final = (COLOURS[0], COLOURS[4], COLOURS[2])


def _label(row: Any) -> str:
    return f"{row.name}\n(ratio to {row.floor})" if row.floor else row.name


def _colour(name: str) -> str:
    if name in _FLOORS:
        return "#999999"
    return COLOURS[3] if name.startswith(_OTHERS) else COLOURS[0]


def _verdict(met: bool) -> str:
    return "[green]met[/]" if met else "[bold red]MISSED[/]"
