"""Run records, totals, table, progress and figures, on the history of a small real run."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from rich.console import Console

from fl_ef21.report.draw import draw_run
from fl_ef21.report.figures import figure_against_bytes, figure_against_rounds, save
from fl_ef21.report.partition_figure import label_distribution_figure
from fl_ef21.report.progress import RunProgress
from fl_ef21.report.run_folder import HistoryReader, RunFolder
from fl_ef21.report.summary import headline, summarise
from fl_ef21.report.table import summary_table

ROUNDS, CLIENTS, SIZE, KEPT = 40, 5, 30, 2


def run_method(method, kept):
    """Train a logistic regression with EF21 Top-``kept``; ``kept == SIZE`` is gradient descent."""
    rng = np.random.default_rng(0)
    shards = rng.normal(size=(CLIENTS, 20, SIZE)) * np.linspace(0.5, 2, CLIENTS)[:, None, None]
    labels = np.sign(shards @ rng.normal(size=SIZE))
    x, estimates = np.zeros(SIZE), np.zeros((CLIENTS, SIZE))
    for number in range(ROUNDS + 1):
        margins = labels * (shards @ x)
        weights = -labels / (1 + np.exp(margins)) / margins.shape[1]
        gradients = np.einsum("ns,nsd->nd", weights, shards)
        payload = CLIENTS * (4 * SIZE if kept == SIZE else 6 * kept + 12) if number else 0
        yield {
            "method": method,
            "round": number,
            "uplink_payload_bytes": payload,
            "uplink_bytes": payload + 900 * CLIENTS if number else 0,
            "downlink_bytes": CLIENTS * (4 * SIZE + 700) if number else 0,
            "clients": CLIENTS if number else 0,
            "failures": 0,
            "rejections": 1 if number == 7 else 0,
            "step_size": 0.5,
            "loss": np.log1p(np.exp(-margins)).mean(),
            "gradient_norm_squared": np.square(gradients.mean(axis=0)).sum(),
            "accuracy": np.mean(margins > 0),
            "estimate_error": np.exp(-number) if kept < SIZE and number else None,
            "wall_seconds": 0.01,
        }
        for estimate, gradient in zip(estimates, gradients, strict=True):
            largest = np.argsort(-np.abs(gradient - estimate))[:kept]
            estimate[largest] = gradient[largest]
        x = x - 0.5 * estimates.mean(axis=0)


@pytest.fixture(scope="module")
def rows():
    return [*run_method("uncompressed", SIZE), *run_method("EF21 topk:2", KEPT)]


@pytest.fixture
def folder(tmp_path, rows):
    config = {"data": "/data/w8a.bz2", "partition": "dirichlet:0.3", "rounds": ROUNDS}
    folder = RunFolder.create(tmp_path / "run", config)
    for row in rows:
        folder.append(row)
    counts = np.random.default_rng(1).poisson(8, (CLIENTS, 2))
    problem = {"clients": CLIENTS, "label_counts": counts, "class_names": ["-1", "+1"]}
    folder.write_summary(
        {"study": "quickstart", "problem": problem, "methods": summarise(rows), "L": np.nan}
    )
    return folder


def screen(width, force_terminal=False):
    return Console(file=io.StringIO(), record=True, width=width, force_terminal=force_terminal)


# Run folder


def test_history_and_config_come_back_as_written(folder, rows):
    assert folder.rows() == rows
    assert folder.config()["rounds"] == ROUNDS
    assert set(folder.config()["versions"]) == {"fl_ef21", "flwr", "numpy", "python"}
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "config.json",
        "history.jsonl",
        "summary.json",
    ]


def test_what_json_cannot_say_becomes_null(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {})
    values = {"loss": math.nan, "bound": np.float32("inf"), "k": np.int64(3), "v": np.ones(2)}
    folder.append(values)

    def refuse(constant):
        raise AssertionError(constant)

    line = folder.history_path.read_text()
    expected = {"loss": None, "bound": None, "k": 3, "v": [1.0, 1.0]}
    assert json.loads(line, parse_constant=refuse) == expected


def test_a_line_being_written_is_read_once_it_is_complete(tmp_path):
    reader = HistoryReader(tmp_path / "history.jsonl")
    assert reader.read() == []
    with (tmp_path / "history.jsonl").open("w") as history:
        history.write('{"round": 0}\n{"rou')
        history.flush()
        assert reader.read() == [{"round": 0}]
        assert reader.read() == []
        history.write('nd": 1}\n')
        history.flush()
        assert reader.read() == [{"round": 1}]


def test_a_failed_summary_leaves_the_old_one(folder):
    with pytest.raises(TypeError):
        folder.write_summary({"study": object()})
    assert folder.summary()["study"] == "quickstart"


def test_a_second_run_is_refused(folder):
    with pytest.raises(FileExistsError, match="already holds a run; give another --out"):
        RunFolder.create(folder.path, {})


def test_a_relative_folder_is_refused():
    with pytest.raises(ValueError, match=r"'results/x' is relative.*give an absolute path"):
        RunFolder.create("results/x", {})


def test_an_unwritable_folder_is_found_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to the run folder .*Not a directory.*--out"):
        RunFolder.create(tmp_path / "file" / "run", {})


# Totals and table


def test_totals_are_the_sums_of_the_rows(rows):
    baseline, compressed = summarise(rows)
    assert compressed["method"] == "EF21 topk:2"
    assert compressed["rounds"] == ROUNDS
    assert compressed["uplink_payload_bytes"] == ROUNDS * CLIENTS * (6 * KEPT + 12)
    assert compressed["downlink_bytes"] == ROUNDS * CLIENTS * (4 * SIZE + 700)
    assert compressed["rejections"] == 1
    assert compressed["loss"] == rows[-1]["loss"] < rows[0]["loss"]
    assert baseline["reduction"] == 1
    assert compressed["reduction"] == pytest.approx(4 * SIZE / (6 * KEPT + 12))


def test_without_a_baseline_there_is_no_reduction(rows):
    assert [row["reduction"] for row in summarise(rows, baseline="GD")] == [None, None]


@pytest.mark.parametrize("width", [80, 120])
def test_table_fits_the_screen_and_says_everything(rows, width):
    console = screen(width)
    console.print(summary_table(summarise(rows), headline("quickstart", {}, 5), width))
    text = console.export_text()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    assert "quickstart · 5 clients" in text
    words = text.split()
    assert {"24.0", "kB", "1.0×", "5.0×", "185", "164", "1,", "0"} <= set(words)
    assert f"{rows[-1]['loss']:.4f}" in words
    assert f"{rows[-1]['gradient_norm_squared']:.1e}" in words
    assert f"{rows[-1]['accuracy']:.1%}" in words
    assert ("24,000" in words) == (width == 120)


def test_table_shows_a_dash_for_what_was_not_measured():
    console = screen(80)
    console.print(summary_table([{"method": "EF21", "uplink_payload_bytes": 12}]))
    row = next(line for line in console.export_text().splitlines() if "EF21" in line)
    assert row.split() == ["EF21", "12", "B", *["–"] * 6, "–,", "–"]


# Progress


def test_plain_progress_is_a_line_every_tenth_of_the_rounds(tmp_path, rows):
    folder = RunFolder.create(tmp_path / "run", {})
    now = [0.0]
    console = screen(200, force_terminal=False)
    with RunProgress(folder.history_path, ROUNDS, console, lambda: now[0]) as progress:
        for row in rows:
            folder.append(row)
            now[0] += 1
            progress.poll()
    lines = console.export_text().splitlines()
    assert len(lines) == 1 + 2 * 10
    loss = rows[20]["loss"]
    assert lines[5] == (f"uncompressed: round 20/40 loss {loss:.4f} 12.0 kB up, 20 s, 20 s left")


def test_terminal_progress_has_a_bar_per_method_and_fits_80_columns(tmp_path, rows):
    folder = RunFolder.create(tmp_path / "run", {})
    console = screen(80, force_terminal=True)
    with RunProgress(folder.history_path, ROUNDS, console):
        for row in rows:
            folder.append(row)
    text = console.export_text()
    assert f"40/40 loss {rows[-1]['loss']:.4f} 4.8 kB up" in text
    assert "uncompressed" in text
    assert "…" not in text


# Figures


def ink(path: Path) -> float:
    """Return the share of an image that is not white."""
    return float((imread(path)[..., :3].min(axis=-1) < 0.9).mean())


def test_draw_run_writes_every_figure_twice(folder):
    pngs = draw_run(folder)
    assert [path.name for path in pngs] == [
        "against-bytes.png",
        "against-rounds.png",
        "estimate-and-step.png",
        "partition.png",
    ]
    assert all(ink(path) > 0.01 for path in pngs)
    assert all("<svg" in path.with_suffix(".svg").read_text() for path in pngs)


def test_lines_end_at_the_total_bytes_and_the_last_loss(rows):
    figure = figure_against_bytes(rows, "title")
    loss, gradient, accuracy = figure.axes
    line = loss.get_lines()[1]
    assert line.get_label() == "EF21 topk:2"
    assert line.get_xdata()[-1] == summarise(rows)[1]["uplink_payload_bytes"]
    assert line.get_ydata()[-1] == rows[-1]["loss"]
    assert (loss.get_xscale(), loss.get_yscale()) == ("log", "linear")
    assert gradient.get_yscale() == "log"
    assert accuracy.get_title() == "Accuracy"
    first, second = loss.get_lines()
    assert first.get_linestyle() != second.get_linestyle()


def test_ticks_are_human_byte_counts(rows):
    figure = figure_against_bytes(rows)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "1 kB" in labels


def test_what_was_not_measured_has_no_panel(rows):
    without = [{**row, "accuracy": None} for row in rows]
    assert len(figure_against_rounds(without).axes) == 2


def test_a_run_of_one_round_and_a_gradient_of_zero_can_be_drawn(rows, tmp_path):
    short = [{**row, "gradient_norm_squared": 0.0} for row in rows if row["round"] <= 1]
    assert ink(save(figure_against_bytes(short), tmp_path / "short.png")[0]) > 0.01


def test_a_run_in_which_nothing_arrived_can_be_drawn(rows, tmp_path):
    silent = [{**row, "uplink_payload_bytes": 0} for row in rows]
    assert save(figure_against_bytes(silent), tmp_path / "silent.png")[0].exists()


def test_the_same_run_draws_the_same_file(rows, tmp_path):
    figures = [figure_against_rounds(rows), figure_against_rounds(rows)]
    first, second = (save(f, tmp_path / f"{i}.png")[1] for i, f in enumerate(figures))
    assert first.read_bytes() == second.read_bytes()


def test_partition_figure_has_a_bubble_for_every_label_held():
    figure = label_distribution_figure([[5, 0, 1], [0, 9, 0]], ["a", "b", "c"], "title")
    assert isinstance(figure, Figure)
    bars, bubbles = figure.axes
    assert [bar.get_height() for bar in bars.patches] == [6, 9]
    areas = bubbles.collections[0].get_sizes()
    assert areas / areas.max() == pytest.approx(np.array([5, 1, 9]) / 9)


def test_partition_figure_refuses_counts_that_do_not_fit_the_names():
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 class names; give one row"):
        label_distribution_figure([[1, 2, 3], [4, 5, 6]], ["a", "b"])
