"""Tables and the figure of benchmarks/wire.py; its rows are passed in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from _report import LITERATURE, milliseconds, new_table, power, save_figure
from _wire_data import PUBLISHED_RECORDED, PUBLISHED_TIMES, PUBLISHED_UNIFORM
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from fl_ef21.report.figures import COLOURS, paper_style

NO_ZSTD: Final = "pip install zstandard"
USUAL_BITS: Final = 64
"""An int32 position and a float32 value: what is sent where nothing is coded."""


def uniform_table(rows: Sequence[Any]) -> Table:
    """Lay out bits per index of uniformly random sets."""
    best = ", ".join(f"{code} {ratio}" for code, ratio in PUBLISHED_UNIFORM.items())
    table = new_table(
        "Uniformly random sets: bits per index",
        *("d", "k", "log₂C(d,k)/k", "fl-ef21", "× limit", "int32", "× limit", "zstd of int32"),
        *("× limit", "range coder*"),
        caption=f"* Published bytes / limit, {LITERATURE}: {best}.",
    )
    for row in (row for row in rows if row.shape.step is None):
        shape = row.shape
        quoted = shape.size >= 10**6 and shape.share in (0.001, 0.01)
        table.add_row(
            *(power(shape.size), shape.amount, f"{row.limit:.2f}", f"{row.coded:.2f}"),
            *(f"{row.coded / row.limit:.3f}", "32", f"{32 / row.limit:.2f}", *_zstd(row)),
            PUBLISHED_UNIFORM["range coder on gaps"] if quoted else "",
        )
    return table


def recorded_table(rows: Sequence[Any]) -> Table:
    """Lay out bits per index of recorded differences."""
    table = new_table(
        "Recorded EF21 differences: bits per index",
        *("step", "k", "uniform limit", "fl-ef21", "/ limit", "target", "int32 / limit"),
        *("zstd", "/ limit", "Rice*", "Rice, 128 gaps*", "pcodec*"),
        caption=f"* Published, {LITERATURE}.",
    )
    for row in (row for row in rows if row.shape.step is not None):
        shape = row.shape
        quoted = PUBLISHED_RECORDED.get((shape.step, shape.share), ())
        table.add_row(
            *(str(shape.step), shape.amount, f"{row.limit:.2f}", f"{row.coded:.2f}"),
            f"{row.coded / row.limit:.3f}",
            f"≤ {row.target}" if row.target else "",
            *(f"{32 / row.limit:.2f}", *_zstd(row), *(f"{bits:.2f}" for bits in quoted)),
        )
    return table


def payload_table(rows: Sequence[Any]) -> Table:
    """Lay out bits per kept coordinate of whole payloads."""
    table = new_table(
        "Whole payloads: bits per kept coordinate, by the rounding of the values",
        *("Top-k of", "d", "k", "float32", "bfloat16", "natural"),
        *("64 bits / natural", "natural: index", "value", "framing, B"),
        caption="64 bits: an int32 position and a float32 value. Uniform sets: normal values.",
    )
    for first, *others in _by_shape(rows):
        shape, natural = first.shape, others[-1]
        table.add_row(
            *(shape.source, power(shape.size), shape.amount),
            *(f"{row.bits:.2f}" for row in (first, *others)),
            f"{USUAL_BITS / natural.bits:.1f}×",
            f"{8 * natural.index / shape.count:.2f}",
            f"{8 * natural.value / shape.count:.2f}",
            str(max(row.framing for row in (first, *others))),
        )
    return table


def tiny_table(rows: Sequence[Any]) -> Table:
    """Lay out the bytes of tiny payloads."""
    table = new_table(
        "Tiny payloads: bytes of the longest",
        *("d", "k", "values", "payload", "index", "value", "framing", "int32 + float32"),
    )
    for row in rows:
        parts = (row.payload, row.index, row.value, row.framing, 8 * row.shape.count)
        table.add_row(
            str(row.shape.size), str(row.shape.count), row.rounding, *(str(part) for part in parts)
        )
    return table


def time_table(rows: Sequence[Any]) -> Table:
    """Lay out milliseconds to encode and to decode."""
    quoted = ", ".join(f"{code} {one} + {two}" for code, (one, two) in PUBLISHED_TIMES.items())
    table = new_table(
        "CPU time to code, one thread",
        *("what", "coordinates", "best, ms", "median, ms", "best, ns per coordinate"),
        caption=f"Encode + decode of 10⁵ indices where an abs-max pass takes 2.4 ms, in ms, "
        f"{LITERATURE}: {quoted}.",
    )
    for row in rows:
        each = row.times.best * 1e9 / row.count
        table.add_row(row.name, power(row.count), *milliseconds(row.times), f"{each:.1f}")
    return table


def draw(indices: Sequence[Any], payloads: Sequence[Any], path: Path, machine: str) -> None:
    """Draw bits per index against the limit, and what payloads consist of."""
    recorded = [row for row in indices if row.shape.step is not None]
    uniform = [row for row in indices if row.shape.step is None]
    with paper_style():
        figure = Figure(figsize=(13, 10 if recorded else 6), layout="constrained")
        figure.get_layout_engine().set(rect=(0, 0.06, 1, 0.94), h_pad=0.1, w_pad=0.1)
        left, right = figure.subfigures(1, 2)
        if recorded:
            upper, lower = left.subplots(2, 1, height_ratios=(len(uniform), len(recorded) + 2))
            _draw_recorded(lower, recorded)
        else:
            upper = left.subplots()
        _draw_uniform(upper, uniform)
        _draw_payloads(right.subplots(), payloads)
        caption = (
            "Filled marks and bars: measured here, by the length of the encoded bytes. Hollow "
            f"marks, grey band: {LITERATURE}. Limit: log₂ C(d, k) bits. {machine}."
        )
        save_figure(figure, path, caption)


def _draw_uniform(axes: Axes, rows: Sequence[Any]) -> None:
    places = range(len(rows))
    shown = rows[::-1]
    axes.axvspan(1.000, 1.013, color="#bbbbbb", label="range coder to Rice (quoted)")
    axes.axvline(1.02, color=COLOURS[1], linestyle="--", label="target 1.02 (d ≥ 10⁶)")
    axes.plot([32 / row.limit for row in shown], places, "s", color=COLOURS[3], label="int32")
    if shown[0].zstd is not None:
        ratios = [row.zstd / row.limit for row in shown]
        axes.plot(ratios, places, "^", color=COLOURS[2], label="zstd of int32")
    ratios = [row.coded / row.limit for row in shown]
    axes.plot(ratios, places, "o", color=COLOURS[0], label="fl-ef21")
    axes.set_yticks(places, [row.shape.name.removeprefix("uniform, ") for row in shown])
    axes.set_xscale("log")
    ticks = (1, 1.5, 2, 3, 5, 10, 20)
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.minorticks_off()
    axes.set_title("Uniformly random sets: index bytes / limit", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.06), ncols=3, frameon=False)


def _draw_recorded(axes: Axes, rows: Sequence[Any]) -> None:
    shown = rows[::-1]
    for place, row in enumerate(shown):
        labels = place == 0
        axes.plot(row.limit, place, "|", color="black", ms=16, mew=2, label=labels * "limit")
        if row.target:
            name = labels * "target"
            bits = row.target * row.limit
            axes.plot(bits, place, "|", color=COLOURS[1], ms=16, mew=2, label=name)
        quoted = PUBLISHED_RECORDED.get((row.shape.step, row.shape.share), ())
        for bits, mark in zip(quoted, "vD^", strict=False):
            axes.plot(bits, place, mark, mfc="none", color="#555555", ms=7)
        axes.plot(row.coded, place, "o", color=COLOURS[0], label=labels * "fl-ef21")
    for mark, code in zip("vD^", ("Rice", "Rice per 128 gaps", "pcodec"), strict=True):
        axes.plot([], [], mark, mfc="none", color="#555555", label=f"{code} (quoted)")
    axes.set_yticks(range(len(shown)), [row.shape.name for row in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(0)
    axes.set_title("Recorded EF21 differences: bits per index", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.12), ncols=3, frameon=False)


def _draw_payloads(axes: Axes, rows: Sequence[Any]) -> None:
    recorded = [row for row in rows if row.shape.step is not None]
    shown = recorded or [row for row in rows if row.shape.size >= 10**6]
    roundings = list(dict.fromkeys(row.rounding for row in shown))
    shown = sorted(shown, key=lambda row: roundings.index(row.rounding))[::-1]
    left = [0.0] * len(shown)
    for part, colour in zip(("index", "value", "framing"), COLOURS[:1] + COLOURS[4:6], strict=True):
        widths = [8 * getattr(row, part) / row.shape.count for row in shown]
        name = part if part != "framing" else "framing (hardly visible)"
        axes.barh(range(len(shown)), widths, left=left, color=colour, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.axvline(USUAL_BITS, color="black", linewidth=1.2, label="int32 + float32: 64 bits")
    natural = [place for place, row in enumerate(shown) if row.rounding == "natural"]
    if recorded:
        ends = natural[0] - 0.5, natural[-1] + 0.5
        axes.plot((9, 9), ends, "--", color=COLOURS[1], label="target for natural: 9 bits")
    for place, bits in enumerate(left):
        beyond = 9 if recorded and place in natural else 0
        axes.text(max(bits, beyond) + 0.8, place, f"{bits:.1f}", va="center")
    axes.set_yticks(range(len(shown)), [f"{row.rounding}: {row.shape.name}" for row in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_title("Whole payloads: bits per kept coordinate, by rounding", loc="left")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.04), ncols=2, frameon=False)


def _zstd(row: Any) -> tuple[str, str]:
    if row.zstd is None:
        return NO_ZSTD, ""
    return f"{row.zstd:.2f}", f"{row.zstd / row.limit:.2f}"


def _by_shape(rows: Sequence[Any]) -> Iterator[list[Any]]:
    for shape in dict.fromkeys(row.shape for row in rows):
        yield [row for row in rows if row.shape == shape]
