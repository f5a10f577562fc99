"""Tables and the figure of benchmarks/step_sizes.py; its rows are passed in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from _report import Target, new_table, save_figure
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from fl_ef21.report.figures import COLOURS, paper_style

SHOWN: Final = 9.0


def full_table(rows: Sequence[Any], title: str) -> Table:
    """Lay out rounds of every case with full participation."""
    table = new_table(
        f"Rounds to ‖∇f‖² ≤ 10⁻⁵, {title}",
        *("data, split", "λ", "k", "best constant", "theory ×", "auto 10⁻⁶/L", "auto 1/L"),
        *("ratio", "GD 1/L", "floats /"),
        caption="Auto's rounds include the rejected ones. Ratio: the worse of both to the best "
        "constant step. Floats: GD's uplink a client over auto's, the first dense message and a "
        "loss a round included, the worse of both.",
    )
    for row in rows:
        table.add_row(
            *(row.name, f"{row.lam:g}", str(row.k), f"{row.best:.0f}", f"2^{row.multiple}"),
            *(f"{row.tiny:.0f}", f"{row.unit:.0f}", f"{row.ratio:.2f}", f"{row.gd:,}"),
            f"{row.saving:.0f}×",
        )
    return table


def sampled_table(rows: Sequence[Any], title: str) -> Table:
    """Lay out the losses under sampling and with minibatches."""
    table = new_table(
        f"Loss f and excess loss f − f*, auto relative to the best constant, {title}",
        *("data, split", "setting", "λ", "k", "seed", "best constant: f", "f − f*", "theory ×"),
        *("auto 10⁻⁶/L: f", "f − f*", "auto 1/L: f", "f − f*"),
    )
    for row in rows:
        (tiny, unit), (tiny_excess, unit_excess) = row.loss_ratios, row.excess_ratios
        table.add_row(
            *(row.name, row.setting, f"{row.lam:g}", str(row.k), str(row.seed)),
            *(f"{row.best_loss:.5f}", f"{row.best_loss - row.lowest:.5f}", f"2^{row.multiple}"),
            *(f"{tiny:.2f}", f"{tiny_excess:.2f}", f"{unit:.2f}", f"{unit_excess:.2f}"),
        )
    return table


def methods_table(rows: Sequence[Any]) -> Table:
    """Lay out the excess losses of all methods with whole gradients."""
    table = new_table(
        "Excess loss f − f* after 300 rounds of whole gradients, auto relative to the best step",
        *("data, split", "method", "compressor", "best constant", "its step"),
        *("auto 10⁻⁶/L", "auto 1/L"),
        caption="DIANA is measured here only: a strategy refuses it with step_size='auto'.",
    )
    for row in rows:
        table.add_row(
            *(row.name, row.method, row.compressor, f"{row.best:.5f}"),
            *(f"{row.step:g}/L", f"{row.tiny:.2f}", f"{row.unit:.2f}"),
        )
    return table


def theory_table(rows: Sequence[Any]) -> Table:
    """Lay out measured rounds of theory steps beside those of the reference."""
    table = new_table(
        "Rounds with theory steps, n = 100: to 10⁻³ ‖∇f(0)‖², k = 4, sorted by norm; synthetic "
        "data to 10⁻⁴, k = 4 and 1",
        *("data", "step", "rounds", "reference", "deviation"),
        caption="Of synthetic data the reference does not say all: compare the steps' order only.",
    )
    for row in rows:
        reference = "" if row.reference is None else f"{row.reference:,}"
        deviation = "" if row.deviation is None else f"{100 * row.deviation:+.2f} %"
        table.add_row(row.name, row.form, f"{row.rounds:,.0f}", reference, deviation)
    return table


def all_targets(full: Sequence[Any], sampled: Sequence[Any], theory: Sequence[Any]) -> list[Target]:
    """Return every target of what was measured."""
    targets = []
    if full:
        ratios = np.array([ratio for row in full for ratio in (row.tiny_ratio, row.unit_ratio)])
        saving = median(row.saving for row in full)
        targets += [
            Target("auto within 1.5× of the best constant", np.mean(ratios <= 1.5), 0.9, "", True),
            Target("auto, worst", float(ratios.max()), 3, "×"),
            Target("fewer floats than GD, median", saving, 100, "×", True),
        ]
    for setting, kind in _settings(sampled):
        losses = np.array([ratio for row in kind for ratio in row.loss_ratios])
        excess = np.array([ratio for row in kind for ratio in row.excess_ratios])
        targets += [
            Target(f"loss, {setting}, share within 2×", np.mean(losses <= 2), 1, "", True),
            Target(f"loss, {setting}, worst", float(losses.max()), 2, "×"),
            Target(f"excess loss, {setting}, share within 2×", np.mean(excess <= 2), 1, "", True),
            Target(f"excess loss, {setting}, worst", float(excess.max()), 2, "×"),
        ]
    exact = [row for row in theory if row.exact]
    if exact:
        worst = max(abs(row.deviation) for row in exact)
        targets.append(Target("theory rows, largest deviation", 100 * worst, 1, "%"))
    return targets


def draw(full: Sequence[Any], sampled: Sequence[Any], path: Path, about: str) -> None:
    """Draw performance profiles: the share of cases within a factor of the oracle."""
    with paper_style():
        figure = Figure(figsize=(12, 5), layout="constrained")
        figure.get_layout_engine().set(rect=(0, 0.07, 1, 0.93), w_pad=0.1)
        left, right = figure.subplots(1, 2)
        curves = {
            "auto from 10⁻⁶/L": [row.tiny_ratio for row in full],
            "auto from 1/L": [row.unit_ratio for row in full],
            "GD with 1/L": [row.gd / row.best for row in full],
        }
        _profile(left, curves, 1.5, "rounds / those of the best constant step")
        left.set_title("Full participation: rounds to ‖∇f‖² ≤ 10⁻⁵", loc="left")
        noisy = {
            setting: [ratio for row in kind for ratio in row.excess_ratios]
            for setting, kind in _settings(sampled)
        }
        _profile(right, noisy, 2.0, "excess loss / that of the best constant step")
        right.set_title("Noisy rounds: f − f* after as many rounds", loc="left")
        caption = (
            "Share of cases within a factor of the best constant step of a power-of-two grid, "
            f"which is found by trying all: higher is better. All measured here, on {about}."
        )
        save_figure(figure, path, caption)


def _settings(rows: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    for setting in dict.fromkeys(row.setting for row in rows):
        yield setting, [row for row in rows if row.setting == setting]


def _profile(axes: Axes, curves: dict[str, list[float]], target: float, label: str) -> None:
    for colour, (name, ratios) in zip(COLOURS, curves.items(), strict=False):
        places = np.sort(np.clip(ratios, 0.1, None))
        shares = np.arange(1, len(places) + 1) / len(places)
        places = np.concatenate([[0.1], places, [2 * SHOWN]])
        axes.step(places, [0, *shares, shares[-1]], where="post", label=name, color=colour)
    axes.axvline(1, color="#999999", linewidth=1)
    axes.axvline(target, color="black", linestyle="--", linewidth=1)
    axes.text(target, 1.03, "target", ha="center", va="bottom", fontsize="small")
    axes.set_xscale("log")
    ticks = (0.1, 0.2, 0.5, 1, target, 5, 9)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.1, SHOWN)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(label)
    axes.set_ylabel("share of cases")
    axes.legend(frameon=False, loc="best")
