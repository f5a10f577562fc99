"""Runs read back, laid over each other, tabulated and put on axes."""

import csv
import io
import json

import numpy as np
import pytest
from toy_run import make_run, rows_of

from fl_ef21.report.comparison import compare
from fl_ef21.report.figures import figure_of
from fl_ef21.report.partition_figure import partition_caption, partition_figure
from fl_ef21.report.quantities import SHORT, known_names, quantity
from fl_ef21.report.report import write_comparison
from fl_ef21.report.runs import Run, read_runs
from fl_ef21.report.summary import reasons, with_common_loss
from fl_ef21.report.sweep_folder import State, SweepFolder
from fl_ef21.report.table import csv_table, markdown_table
from fl_ef21.report.thinning import thinned


def read(folder):
    return Run.read(folder.path)


# Reading


def test_an_unfinished_run_is_read_as_far_as_it_is(tmp_path):
    folder = make_run(tmp_path / "run", rows_of("EF21", 10, rounds=3), finished=False)
    with folder.history_path.open("a") as history:
        history.write('{"method": "EF21", "rou')
    run = read(folder)
    assert not run.is_finished
    assert [row["round"] for row in run.rows] == [0, 1, 2, 3]
    (total,) = run.totals()
    assert total["uplink_payload_bytes"] == 30


def break_run(folder, name):
    """Break a run in the way of a name."""
    if name == "no folder":
        return folder.path.rename(folder.path.with_name("gone"))
    if name == "no config":
        return (folder.path / "config.json").unlink()
    if name == "no history":
        return folder.history_path.unlink()
    if name == "no rows":
        return folder.history_path.write_text("")
    if name == "half a config":
        return (folder.path / "config.json").write_text('{"data":')
    if name == "a list as summary":
        return (folder.path / "summary.json").write_text("[]")
    lines = folder.history_path.read_text().splitlines()
    lines[4] = '{"method": 1' if name == "damaged line" else '{"loss": 1}'
    return folder.history_path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no folder", "there is no folder .*/run; give one that"),
        ("no config", "/run is no run folder: its config.json cannot be read .No such file"),
        ("no history", "/run is no run folder: its history.jsonl cannot be read .No such file"),
        ("no rows", "history.jsonl has no row yet; wait for the run's first round, or run it ag"),
        ("half a config", "config.json is damaged .Expecting value.*leave .*/run out, or run it"),
        ("a list as summary", "summary.json is damaged .it is no JSON object.; leave"),
        ("damaged line", "history.jsonl is damaged .line 5: Expecting"),
        ("strange line", "history.jsonl is damaged .line 5 is no row with method, round, uplink"),
    ],
)
def test_a_broken_run_is_named_with_the_fix(tmp_path, name, message):
    folder = make_run(tmp_path / "run")
    break_run(folder, name)
    with pytest.raises(ValueError, match=message):
        read(folder)


# Comparing


def test_names_are_kept_where_they_tell_the_methods_apart(tmp_path):
    runs = [
        make_run(tmp_path / "a", rows_of("EF21 topk:1", 10), compressor="topk:1"),
        make_run(tmp_path / "b", rows_of("EF21 topk:5", 50), compressor="topk:5", seed=3),
    ]
    comparison = compare([read(run) for run in runs])
    assert [total["method"] for total in comparison.totals] == ["EF21 topk:1", "EF21 topk:5"]
    assert comparison.varied == ("compressor", "seed")


def test_methods_of_one_name_are_told_apart_by_their_settings(tmp_path):
    baseline = rows_of("uncompressed", 4000)
    runs = [
        make_run(
            tmp_path / f"{k}-{rule}",
            [*baseline, *rows_of(f"EF21 topk:{k}", 10 * k, rate=rate)],
            compressor=f"topk:{k}",
            **{"step-size": rule},
        )
        for k in (1, 5)
        for rule, rate in (("auto", 0.5), ("theory", 0.9))
    ]
    comparison = compare([read(run) for run in runs])
    assert [total["method"] for total in comparison.totals] == [
        "uncompressed",
        "EF21 topk:1 · step-size=auto",
        "EF21 topk:1 · step-size=theory",
        "EF21 topk:5 · step-size=auto",
        "EF21 topk:5 · step-size=theory",
    ]
    assert {row["method"] for row in comparison.rows} == {t["method"] for t in comparison.totals}
    assert len(comparison.rows) == 5 * 7
    assert comparison.totals[0]["compressor"] == "topk:1 or topk:5"
    assert comparison.totals[1]["reduction"] == 400


def test_a_baseline_shared_by_some_runs_says_by_which(tmp_path):
    runs = [
        make_run(tmp_path / rule, rows_of("uncompressed", 10, rate=rate), **{"step-size": rule})
        for rule, rate in (("auto", 0.5), ("theory", 0.9), ("1/L", 0.9))
    ]
    names = [total["method"] for total in compare([read(run) for run in runs]).totals]
    assert names == [
        "uncompressed · step-size=auto",
        "uncompressed · step-size=theory or 1/L",
    ]


def test_no_more_settings_are_named_than_are_needed(tmp_path):
    runs = [
        make_run(tmp_path / f"{i}", rows_of("EF21", 10 + i), data=data, clients=c, seed=seed)
        for i, (data, c, seed) in enumerate([("a", 5, 0), ("b", 9, 0), ("b", 9, 1)])
    ]
    names = [total["method"] for total in compare([read(run) for run in runs[:2]]).totals]
    assert names == ["EF21 · data=a", "EF21 · data=b"]
    names = [total["method"] for total in compare([read(run) for run in runs]).totals]
    assert names == ["EF21 · data=a seed=0", "EF21 · data=b seed=0", "EF21 · data=b seed=1"]


def test_runs_of_equal_settings_are_told_apart_by_their_folders(tmp_path):
    """Another version of the code, perhaps: the settings do not explain the difference."""
    runs = [
        make_run(tmp_path / "old", rows_of("EF21", 10)),
        make_run(tmp_path / "new", rows_of("EF21", 11)),
    ]
    names = [total["method"] for total in compare([read(run) for run in runs]).totals]
    assert names == ["EF21 · old", "EF21 · new"]
    other = make_run(tmp_path / "deeper" / "old", rows_of("EF21", 12))
    names = [t["method"] for t in compare([read(run) for run in (runs[0], other)]).totals]
    assert names == [f"EF21 · {tmp_path}/old", f"EF21 · {tmp_path}/deeper/old"]


def test_wall_times_do_not_make_a_run_another(tmp_path):
    slow = [{**row, "wall_seconds": 9.0} for row in rows_of("EF21", 10)]
    runs = [make_run(tmp_path / "a", rows_of("EF21", 10)), make_run(tmp_path / "b", slow)]
    assert len(compare([read(run) for run in runs]).totals) == 1


def test_runs_of_different_lengths_and_studies_are_laid_over_each_other(undrawn, tmp_path):
    runs = [
        make_run(tmp_path / "a", rows_of("EF21", 10, rounds=3), rounds=3),
        make_run(tmp_path / "b", rows_of("FedAvg", 99, rounds=9), study="mine", momentum=0.9),
    ]
    comparison = compare([read(run) for run in runs])
    assert [total["rounds"] for total in comparison.totals] == [3, 9]
    page = write_comparison(comparison, tmp_path, "compare.html", "again")
    assert "momentum" in page.read_text()
    assert (tmp_path / "table.csv").exists()


def test_a_sweep_stands_for_its_finished_runs(tmp_path):
    sweep = SweepFolder.continued(tmp_path, "/study", [{"seed": 0}, {"seed": 1}])
    sweep.write()
    with pytest.raises(ValueError, match="has no finished run; start its command again"):
        read_runs([tmp_path])
    make_run(sweep.folder_of(sweep.entries[1]))
    (run,) = read_runs([tmp_path, tmp_path / "002_seed-1"])
    assert run.folder.path == tmp_path / "002_seed-1"


# Tables


def test_the_payload_to_a_common_loss():
    rows = [*rows_of("a", 100, rate=0.5), *rows_of("b", 10, rate=0.8)]
    a, b = with_common_loss([{"method": "a"}, {"method": "b"}], rows)
    assert a["common_loss"] == b["common_loss"] == pytest.approx(0.8**6)
    assert a["uplink_payload_bytes_to_common_loss"] == 200  # 0.5² < 0.8⁶ < 0.5
    assert b["uplink_payload_bytes_to_common_loss"] == 60


@pytest.mark.parametrize("rate", [1.0, 1.1])
def test_there_is_no_common_loss_with_a_method_that_does_not_descend(rate):
    rows = [*rows_of("a", 100), *rows_of("b", 10, rate=rate)]
    totals = [{"method": "a"}, {"method": "b"}]
    assert with_common_loss(totals, rows) == totals


def test_a_csv_table_gives_every_number_exactly(tmp_path):
    totals = read(make_run(tmp_path / "run")).totals()
    rows = list(csv.DictReader(io.StringIO(csv_table(totals))))
    assert [row["method"] for row in rows] == ["uncompressed", "EF21 topk:2"]
    assert float(rows[1]["loss"]) == totals[1]["loss"]
    assert int(rows[1]["uplink_payload_bytes"]) == 600
    commas = 'EF21 "a,b"'
    assert next(csv.reader(io.StringIO(csv_table([{"method": commas}]).split("\n", 1)[1]))) == [
        commas
    ]


def test_a_markdown_table_has_only_columns_with_something_in_them():
    table = markdown_table([{"method": "a|b", "uplink_payload_bytes": 5, "loss": None}])
    assert table.splitlines()[0] == "| Method | Payload up |"
    assert table.splitlines()[2] == r"| a\|b | 5 B |"


def test_reasons_are_counted_and_the_most_frequent_come_first():
    class Record:
        def __init__(self, round, *reasons):
            self.round, self.reasons = round, reasons

    records = [Record(1, "late"), Record(2, "digest", "digest"), Record(3, "digest")]
    records += [Record(i, f"number {i}") for i in range(4, 60)]
    found = reasons(records)
    assert found[0] == {"reason": "digest", "count": 3, "first_round": 2}
    assert found[1]["reason"] == "late"
    assert len(found) == 20


# Axes


def test_short_names_are_totals_so_far():
    rows = rows_of("EF21", 100, rounds=3)
    assert quantity("bytes", rows).values(rows) == pytest.approx([0, 100, 200, 300])
    assert quantity("seconds", rows).values(rows) == pytest.approx([0, 0.25, 0.5, 0.75])
    assert set(SHORT) - {"bits"} <= set(known_names(rows))


def test_bits_per_client_are_a_name_where_a_study_counts_them():
    rows = [row | {"uplink_payload_bits_per_client": 8.0} for row in rows_of("EF21", 100, rounds=3)]
    assert set(SHORT) <= set(known_names(rows))
    assert quantity("bits", rows).values(rows) == pytest.approx(8.0 * np.arange(len(rows)) + 8.0)


def test_counts_are_added_up_across_and_as_they_are_upwards():
    rows = rows_of("EF21", 100, rounds=3)
    assert quantity("downlink_bytes", rows, across=True).values(rows)[-1] == 3000
    assert quantity("downlink_bytes", rows).values(rows)[-1] == 1000
    assert quantity("clients", rows, across=True).values(rows)[-1] == 5


@pytest.mark.parametrize("name", ["speed", "method", "", "uplink"])
def test_an_unknown_column_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=f"no number {name!r}; it has accuracy, bytes, clients"):
        quantity(name, rows_of("EF21", 10))


def test_what_one_method_does_not_have_is_a_gap():
    rows = [*rows_of("a", 1), *({**row, "margin": 2.0} for row in rows_of("b", 1))]
    figure = figure_of(rows, quantity("round", rows), [quantity("margin", rows)])
    first, second = figure.axes[0].get_lines()
    assert np.isnan(first.get_ydata()).all()
    assert (second.get_ydata() == 2).all()


def test_a_label_with_dollar_signs_is_no_formula():
    rows = rows_of(r"cost $\frac{ $", 10)
    figure = figure_of(rows, quantity("bytes", rows), [quantity("loss", rows)], r"in $\ $")
    figure.draw_without_rendering()
    assert figure.legends[0].get_texts()[0].get_text() == r"cost \$\frac{ \$"


def test_many_methods_have_room_in_the_legend():
    rows = [row for i in range(24) for row in rows_of(f"EF21 topk:{i} · step-size=auto", 10 + i)]
    figure = figure_of(rows, quantity("bytes", rows), [quantity("loss", rows)])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().height > 150


@pytest.mark.parametrize("log", [False, True])
def test_a_long_line_is_thinned_without_losing_a_peak(log):
    rng = np.random.default_rng(0)
    x, y = np.cumsum(rng.uniform(size=50_000)) + 1, rng.normal(size=50_000)
    y[20_000:30_000] = np.nan
    kept = thinned(x, y, log=log)
    assert len(kept) <= 4 * 600
    assert {0, 49_999, np.nanargmin(y), np.nanargmax(y)} <= set(kept)
    assert np.isnan(y[kept]).any()
    position = np.log(x) if log else x
    column = np.floor((position - position[0]) / (position[-1] - position[0]) * 600).clip(0, 599)
    for number in (1, 100, 550):
        here = np.flatnonzero((column == number) & np.isfinite(y))
        among = kept[column[kept] == number]
        if len(here):
            assert np.nanmax(y[among]) == y[here].max()
            assert np.nanmin(y[among]) == y[here].min()


def test_short_lines_and_lines_that_turn_back_are_left_alone():
    x = np.arange(1000.0)
    assert len(thinned(x, x, log=False)) == 1000
    turning = np.concatenate([np.arange(5000.0), np.arange(5000.0)])
    assert len(thinned(turning, turning, log=False)) == 10_000
    nothing = np.full(5000, np.nan)
    assert len(thinned(nothing, nothing, log=False)) == 5000


# Partition


def test_the_partition_shows_smoothness_constants_with_their_means():
    problem = {"L_i": [1.0, 2.0, 6.0], "L_AM": 3.0, "L_QM": 3.7}
    figure = partition_figure(problem)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [1, 2, 6]
    assert [line.get_ydata()[0] for line in axes.lines] == [3.0, 3.7]
    assert axes.get_title(loc="right") == "L_AM = 3 (dashed), L_QM = 3.7 (dotted)"
    assert partition_caption(problem).startswith("Lᵢ")


def test_samples_constants_and_labels_stand_over_each_other():
    problem = {"label_counts": [[5, 0], [0, 9]], "class_names": ["a", "b"], "L_i": [1.0, 2.0]}
    sizes, constants, labels = partition_figure(problem).axes
    assert [bar.get_height() for bar in sizes.patches] == [5, 9]
    assert [bar.get_height() for bar in constants.patches] == [1, 2]
    assert len(labels.collections[0].get_sizes()) == 2


def test_of_many_clients_labels_are_shades():
    counts = np.random.default_rng(0).poisson(3, (1000, 10))
    problem = {"label_counts": counts, "class_names": list("abcdefghij"), "L_i": [1.0] * 1000}
    *bars, labels = partition_figure(problem).axes
    assert all(len(axes.patches) == 1 for axes in bars)
    shown = labels.images[0].get_array()
    assert shown.shape == (10, 1000)
    assert shown[3, 7] == counts[7, 3] / counts[7].sum()
    assert "Shade" in partition_caption(problem)


def test_nothing_to_draw_of_a_partition_is_said():
    with pytest.raises(ValueError, match="neither label_counts nor L_i"):
        partition_figure({})


# The record of a sweep


def test_a_sweep_is_written_and_read_back(tmp_path):
    wanted = [{"seed": 0, "compressor": "a/b|c"}, {"seed": 1, "compressor": "a/b|c"}]
    sweep = SweepFolder.continued(tmp_path, "/study", wanted)
    assert [entry.folder for entry in sweep.entries] == ["001_seed-0", "002_seed-1"]
    sweep.note(sweep.entries[0], State.FAILED, "no data")
    sweep.note(sweep.entries[1], State.RUNNING)
    again = SweepFolder.open(tmp_path)
    assert [entry.state for entry in again.entries] == [State.FAILED, State.WAITING]
    assert again.entries[0].reason == "no data"
    assert json.loads((tmp_path / "sweep.json").read_text())["runs"][0]["state"] == "failed"


def test_a_summary_is_the_last_word_on_a_run(tmp_path):
    sweep = SweepFolder.continued(tmp_path, "/study", [{"seed": 0}])
    sweep.note(sweep.entries[0], State.RUNNING)
    run = make_run(sweep.folder_of(sweep.entries[0]))
    assert SweepFolder.open(tmp_path).waiting() == []
    (run.path / "summary.json").unlink()
    assert len(SweepFolder.open(tmp_path).waiting()) == 1


def test_a_sweep_grows_but_forgets_nothing(tmp_path):
    SweepFolder.continued(tmp_path, "/study", [{"seed": 0}]).write()
    grown = SweepFolder.continued(tmp_path, "/study", [{"seed": 7}, {"seed": 0}])
    assert [entry.settings["seed"] for entry in grown.entries] == [0, 7]
    grown.write()
    with pytest.raises(ValueError, match="holds another sweep, of /study, with 002_seed-7; give"):
        SweepFolder.continued(tmp_path, "/study", [{"seed": 0}])
    with pytest.raises(ValueError, match="holds another sweep, of /study"):
        SweepFolder.continued(tmp_path, "/other", [{"seed": 0}, {"seed": 7}])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"study": "s", "runs": [{"folder": "a"}]}',
        '{"study": "s", "runs": [{"folder": "a", "settings": {}, "state": "lost"}]}',
        '{"study": "s", "runs": [{"folder": "../a", "settings": {}, "state": "waiting"}]}',
    ],
)
def test_a_damaged_record_of_a_sweep_is_named(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"sweep.json is no record of a sweep .*give another --out"
    ):
        SweepFolder.open(tmp_path)
