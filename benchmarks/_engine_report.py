"""Tables and the figure of benchmarks/engine.py; its rows are passed in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _report import new_table, save_figure
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from fl_ef21.report.figures import COLOURS, paper_style


def rounds_table(rows: Sequence[Any]) -> Table:
    """Lay out the seconds of a round, and rounds a second."""
    table = new_table(
        "EF21 Top-1, phishing, 20 clients",
        *("what", "best, µs a round", "median, µs", "rounds a second, at best"),
        caption="CPU time; FedAvg, and fl-ef21 beside it, by elapsed time.",
    )
    for row in rows:
        table.add_row(
            row.name, f"{row.best * 1e6:,.0f}", f"{row.median * 1e6:,.0f}", f"{row.rate:,.0f}"
        )
    return table


def scaling_table(rows: Sequence[Any]) -> Table:
    """Lay out the cost of a message by the number of clients."""
    table = new_table(
        "CPU time of one client's message, d = 20",
        *("clients", "first half of the run, µs", "second half, µs"),
    )
    for row in rows:
        halves = (f"{half * 1e6:.0f}" for half in (row.first_half, row.second_half))
        table.add_row(f"{row.clients:,}", *halves)
    return table


def memory_table(rows: Sequence[Any], size: int) -> Table:
    """Lay out how the peak of memory grows with the clients."""
    table = new_table(
        f"Growth of the peak of memory with each client, d = {size:,}",
        *("initialisation", "model vectors", "bytes beside them"),
    )
    for row in rows:
        table.add_row(row.initialisation, f"{row.vectors:.3f}", f"{row.beside:,.0f}")
    return table


def draw(rounds: Sequence[Any], scale: Sequence[Any], path: Path, about: str) -> None:
    """Draw rounds a second, and the cost of a message by the number of clients."""
    with paper_style():
        figure = Figure(figsize=(12, 4.4), layout="constrained")
        figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9), w_pad=0.1)
        left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
        _draw_rounds(left, rounds)
        _draw_scaling(right, scale)
        caption = (
            "EF21 Top-1 on phishing, λ = 0.1, one thread; the engine runs strategy, mod and log "
            "with their bytes. All measured here in one run; the loops were written here. CPU "
            f"time, but elapsed time where it says so and for FedAvg. {about}."
        )
        save_figure(figure, path, caption)


def _draw_rounds(axes: Axes, rows: Sequence[Any]) -> None:
    shown = sorted(rows, key=lambda row: row.rate)
    for place, row in enumerate(shown):
        axes.barh(place, row.rate, color=_colour(row.name))
        axes.text(row.rate * 1.08, place, f"{row.rate:,.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.set_xscale("log")
    axes.set_xlim(min(row.rate for row in shown) / 2, max(row.rate for row in shown) * 3)
    axes.set_xlabel("rounds a second")
    axes.set_title("20 clients", loc="left")
    axes.grid(axis="y", visible=False)


def _draw_scaling(axes: Axes, rows: Sequence[Any]) -> None:
    clients = [row.clients for row in rows]
    for half, label, line, marker in (
        ("first_half", "first half of the run", "-", "o"),
        ("second_half", "second half", "--", "s"),
    ):
        costs = [getattr(row, half) * 1e6 for row in rows]
        axes.plot(clients, costs, line, marker=marker, color=COLOURS[0], label=label)
    axes.set_xscale("log")
    highest = max(cost for row in rows for cost in (row.first_half, row.second_half))
    axes.set_ylim(0, 1.15 * highest * 1e6)
    axes.set_xlabel("clients")
    axes.set_ylabel("µs of a client's message")
    axes.set_title("Cost of a message: level where growth is linear", loc="left")
    axes.legend(frameon=False, fontsize=9)


def _colour(name: str) -> str:
    if name.startswith("fl-ef21"):
        return COLOURS[0]
    return COLOURS[3] if "FedAvg" in name else "#999999"
