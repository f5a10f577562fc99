"""``fl-ef21 compare`` and ``fl-ef21 plot``."""

import csv
import io

import pytest
from matplotlib.image import imread
from toy_run import make_run, rows_of
from toy_study import command, words


@pytest.fixture
def runs(tmp_path):
    baseline = rows_of("uncompressed", 4000)
    return [
        make_run(tmp_path / f"k{k}", [*baseline, *rows_of(f"EF21 topk:{k}", k)], rounds=6 + k).path
        for k in (1, 5)
    ]


# compare


def test_compare_prints_a_table_and_writes_page_tables_and_figures(runs, tmp_path):
    out = tmp_path / "out"
    result = command("compare", *runs, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    shown = result.stdout
    assert all(text in shown for text in ("uncompressed", "EF21 topk:1", "EF21 topk:5", "4000.0×"))
    assert f"Report   {out}/compare.html" in shown
    assert sorted(path.name for path in out.iterdir()) == [
        "compare.html",
        "figures",
        "table.csv",
        "table.md",
    ]
    figures = sorted(path.name for path in (out / "figures").iterdir())
    names = ("against-bytes", "against-rounds", "estimate-and-step")
    assert figures == [f"{name}.{suffix}" for name in names for suffix in ("png", "svg")]
    page = (out / "compare.html").read_text()
    assert "quickstart · digits · dirichlet:0.3 · 5 clients: 2 runs" in page
    assert f"fl-ef21 compare {runs[0]} {runs[1]}" in page


def test_the_table_alone_can_be_piped(undrawn, runs, tmp_path):
    printed = command("compare", *runs, "--table", "md", "--out", tmp_path / "md").stdout
    assert printed == (tmp_path / "md" / "table.md").read_text()
    assert printed.startswith("| Method | Payload up |")
    printed = command("compare", *runs, "--table", "csv", "--out", tmp_path / "csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [int(row["uplink_payload_bytes"]) for row in rows] == [24000, 6, 30]
    assert [row["folder"] for row in rows] == [str(runs[0]), str(runs[0]), str(runs[1])]


def test_the_default_folder_is_named_after_the_time(undrawn, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("compare", *runs).exit_code == 0
    assert len(list(tmp_path.glob("results/compare/*/compare.html"))) == 1


def test_a_run_that_is_not_finished_is_shown_as_far_as_it_is(undrawn, runs, tmp_path):
    live = make_run(tmp_path / "live", rows_of("EF21", 9, rounds=4), finished=False)
    result = command("compare", runs[0], live.path, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert f"{live.path} is not finished; it is shown up to round 4" in result.stderr


@pytest.mark.parametrize("name", ["compare", "plot"])
def test_a_missing_or_broken_run_is_named_with_the_fix(runs, tmp_path, name):
    result = command(name, runs[0], tmp_path / "nowhere", "--out", tmp_path / "out.png")
    assert result.exit_code == 2
    assert "nowhere; give one that fl-ef21 simulate" in words(result.stderr)
    (runs[1] / "config.json").write_text("{")
    result = command(name, *runs, "--out", tmp_path / "out.png")
    assert result.exit_code == 2
    assert "config.json is damaged" in words(result.stderr)
    assert not (tmp_path / "out.png").exists()


def test_a_comparison_does_not_overwrite_a_run(runs):
    result = command("compare", *runs, "--out", runs[0])
    assert result.exit_code == 2
    assert "already holds a run; give another --out" in words(result.stderr)


@pytest.mark.parametrize("name", ["compare", "plot"])
def test_a_folder_that_cannot_be_written_to_is_named(runs, tmp_path, name):
    (tmp_path / "file").write_text("")
    result = command(name, *runs, "--out", tmp_path / "file" / "x.png")
    assert result.exit_code == 2
    assert "cannot write to" in words(result.stderr)
    assert "give an --out in a folder that you may write to" in words(result.stderr)


# plot


def ink(path):
    return float((imread(path)[..., :3].min(axis=-1) < 0.9).mean())


def test_plot_writes_png_and_svg_into_the_run_folder(runs):
    result = command("plot", runs[0], "--x", "bytes", "--y", "loss")
    assert result.exit_code == 0, result.output
    figures = runs[0] / "figures"
    assert result.stdout.split() == [
        f"{figures}/loss-against-bytes.png",
        f"{figures}/loss-against-bytes.svg",
    ]
    assert ink(figures / "loss-against-bytes.png") > 0.01


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot_writes_the_file_that_was_asked_for(runs, tmp_path, suffix):
    out = tmp_path / "deep" / f"figure.{suffix}"
    flags = ("--x", "seconds", "--y", "gradient_norm_squared", "--linear-y", "--log-x")
    result = command("plot", *runs, *flags, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(out)]
    assert out.stat().st_size > 1000


@pytest.mark.parametrize("axis", ["x", "y"])
def test_plot_lists_the_columns_when_one_is_unknown(runs, axis):
    result = command("plot", runs[0], f"--{axis}", "speed")
    assert result.exit_code == 2
    assert (
        f"--{axis}: the history has no number 'speed'; it has accuracy, bytes, clients, down"
        in (words(result.stderr))
    )


def test_plot_refuses_a_format_that_it_cannot_write(runs, tmp_path):
    result = command("plot", runs[0], "--out", tmp_path / "figure.docx")
    assert result.exit_code == 2
    assert "figure.docx is no .png, .svg, .pdf file" in words(result.stderr)
