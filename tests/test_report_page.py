"""The page of a run: what it says, that nothing in it is code, and how a browser shows it."""

import re
import shlex
from html.parser import HTMLParser

import pytest
from browser import Browser, find_chromium
from toy_run import make_run, rows_of

from fl_ef21.report.comparison import compare
from fl_ef21.report.page import page_of_comparison, page_of_run
from fl_ef21.report.report import report_of, write_comparison, write_report
from fl_ef21.report.runs import Run
from fl_ef21.report.table import markdown_table
from fl_ef21.report.words import repeat_command

EVIL = '<script>alert("x")</script> & "quoted" $y$ \\ `z`'


class Parts(HTMLParser):
    """The texts of a page, its elements, and all ids."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.tags, self.ids, self.links = [], [], [], []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href", "action", "data"):
                self.links.append(value)

    def handle_data(self, data):
        self.texts.append(data)


def page(run):
    return page_of_run(Run.read(run.path)).html()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def html(run):
    return page(run)


def test_a_page_says_what_was_run_what_came_out_and_how_to_repeat_it(html):
    text = Parts(html).text
    assert "quickstart · digits · dirichlet:0.3 · 5 clients" in text
    assert "100 rows, 30 parameters, L = 1, L_AM = 3.8, L_QM/L_AM = 1.24" in text
    assert "EF21 topk:2 sent 600 B up, 40.0 times less than uncompressed" in text
    assert "final loss 0.0467 against 0.0156" in text
    assert "Step size 1/L." in text
    assert "None: every reply was accepted." in text
    assert re.search(r"fl_ef21 \S+ · flwr \S+ · numpy \S+ · python \S+", text)


def test_up_to_a_loss_that_both_reach(html):
    """Uncompressed reaches EF21's last loss, 0.6^6 = 0.047, in round 5 of 6."""
    text = Parts(html).text
    assert "Payload to loss 0.0467" in text
    assert "Up to a loss that both reach, it needed 33.3 times less." in text


def test_the_command_repeats_every_setting(run, html):
    command = repeat_command("quickstart", run.config(), 5)
    shown = re.search(r"<pre><code>(.*?)</code></pre>", html)[1]
    assert re.sub("<[^>]*>", "", shown) == command
    words = shlex.split(command)
    assert words[:3] == ["fl-ef21", "simulate", "quickstart"]
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert given["--compressor"] == "topk:2"
    assert given["--set"] == "regularisation=0.1"
    assert not {"--out", "--versions", "--started"} & given.keys()


def test_a_command_can_be_pasted_whatever_the_values():
    command = repeat_command("my study", {"data": "a b'c", "downlink": "", "fast": True})
    expected = ["my study", "--data", "a b'c", "--downlink", "", "--set", "fast=true"]
    assert shlex.split(command)[2:] == expected


def test_every_text_is_escaped(tmp_path):
    rows = [*rows_of("uncompressed", 4000), *rows_of(EVIL, 100)]
    rows[3]["rejections"] = 1
    reasons = {"uncompressed": {"reasons": [{"reason": EVIL, "count": 1, "first_round": 3}]}}
    config = {"compressor": EVIL, "data": "/tmp/" + EVIL, "partition": EVIL, EVIL: EVIL}
    run = make_run(tmp_path / "run", rows, study=EVIL, totals=reasons, **config)
    html = page(run)
    parts = Parts(html)
    assert "script" not in parts.tags
    assert "b" not in parts.tags  # the label's, in toy_run
    assert "<script" not in html
    assert parts.text.count('<script>alert("x")</script> & "quoted" $y$ \\ `z`') > 10
    assert "<b>+1</b> & $x" in parts.text
    markdown = markdown_table(Run.read(run.path).totals())
    assert "<script" not in markdown
    assert "&lt;script" in markdown


def test_a_page_needs_nothing_but_itself(html):
    parts = Parts(html)
    assert all(link.startswith(("#", "data:")) for link in parts.links)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", html)
    assert not {"script", "iframe", "img", "object", "embed", "base"} & set(parts.tags)
    assert len(set(parts.ids)) == len(parts.ids) > 100


def test_every_drawing_says_what_can_be_seen(html):
    descriptions = re.findall(r'role="img" aria-label="([^"]*)"', html)
    assert len(descriptions) == 9
    assert (
        "Training loss f(x) against uplink payload, all clients: uncompressed goes from 1 to"
        " 0.01562 at 24,000 bytes; EF21 topk:2 goes from 1 to 0.04666 at 600 bytes."
    ) in descriptions
    assert descriptions[-1].endswith("smoothness constants from 1 to 9.")


def test_rejections_and_failures_are_listed_with_rounds_and_reasons(undrawn, tmp_path):
    rows = [*rows_of("uncompressed", 4000), *rows_of("EF21 topk:2", 100)]
    for row in rows[-3:]:
        row["rejections"] = 2
    rows[9]["failures"] = 1
    reasons = [{"reason": "digest does not fit", "count": 6, "first_round": 4}]
    run = make_run(tmp_path / "run", rows, totals={"EF21 topk:2": {"reasons": reasons}})
    text = Parts(page(run)).text
    assert "EF21 topk:2 6 rejected 4, 5, 6" in text
    assert "EF21 topk:2 1 failed 2" in text
    assert "6 of them first in round 4 digest does not fit" in text
    assert "every reply was accepted" not in text


def test_what_a_study_does_not_say_leaves_no_gap(tmp_path):
    """Only what every study records: no problem, no accuracy, one method."""
    kept = ("method", "round", "uplink_payload_bytes", "loss")
    rows = [{key: row[key] for key in kept} for row in rows_of("FedAvg", 10)]
    run = make_run(tmp_path / "run", rows)
    run.write_summary({"study": "mine", "methods": [{"method": "FedAvg"}]})
    parts = Parts(page(run))
    assert "mine" in parts.text
    assert "Accuracy" not in parts.text
    assert "The clients' data" not in parts.text
    assert report_of(run).exists()


def test_a_report_is_not_written_twice(undrawn, tmp_path):
    run = make_run(tmp_path / "run")
    write_report(run)
    (run.path / "report.html").write_text("mine")
    assert report_of(run).read_text() == "mine"


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag(html, scheme):
    """Text 4.5 to 1, lines of figures 3 to 1 (WCAG 2.2 AA, 1.4.3 and 1.4.11)."""
    light, dark = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", light if scheme == "light" else dark))
    for text in ("ink", "muted", "accent"):
        assert contrast(colours[text], colours["page"]) >= 4.5
    assert contrast(colours["ink"], colours["panel"]) >= 4.5
    lines = [value for name, value in colours.items() if name.startswith(("line-", "bars"))]
    assert len(lines) == 8
    assert all(contrast(line, colours["page"]) >= 3 for line in lines)


# In a browser


@pytest.fixture(scope="module")
def browser():
    with Browser(find_chromium()) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    runs = [
        make_run(folder / name, compressor=text)
        for name, text in {
            "a": "topk:2",
            "b": "a-very-long-compressor-of-the-users-own:0.12345",
        }.items()
    ]
    write_report(runs[0])
    comparison = compare([Run.read(run.path) for run in runs])
    command = "fl-ef21 compare " + str(folder / ("x" * 200))
    other = write_comparison(comparison, folder, "compare.html", command)
    return {"report": runs[0].path / "report.html", "compare": other}


@pytest.mark.parametrize("name", ["report", "compare"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_it_alone_and_within_the_screen(browser, pages, name, scheme, width):
    browser.open(pages[name], width, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.title").startswith("quickstart · digits")
    assert browser.evaluate("document.querySelector('table').rows.length") >= 3
    assert browser.evaluate("document.querySelectorAll('figure svg[role=img]').length") == 9
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        browser.evaluate("document.querySelector('figure svg').getBoundingClientRect().width") > 250
    )
    assert browser.requests == [pages[name].as_uri()]
    assert browser.complaints == []


def test_the_scheme_of_the_system_is_taken(browser, pages):
    shades = {}
    for scheme in ("light", "dark"):
        browser.open(pages["report"], 800, scheme)
        shade = "getComputedStyle(document.body).backgroundColor"
        stroke = "getComputedStyle(document.querySelector('[id$=line2d_1] path')).stroke"
        shades[scheme] = [browser.evaluate(shade), browser.evaluate(stroke)]
    assert shades["light"][0] == "rgb(255, 255, 255)"
    assert shades["dark"][0] == "rgb(20, 24, 29)"
    assert shades["light"][1] != shades["dark"][1]


def test_the_browser_of_these_tests_sees_what_a_page_asks_for(browser, tmp_path):
    """The check itself: requests and errors are noticed."""
    page = tmp_path / "bad.html"
    page.write_text('<img src="missing.png"><script>console.error("no")</script>')
    browser.open(page, 360)
    assert (tmp_path / "missing.png").as_uri() in browser.requests
    assert any("no" in complaint for complaint in browser.complaints)


def test_a_comparison_shows_what_differs(undrawn, tmp_path):
    runs = [make_run(tmp_path / c, compressor=f"topk:{c}", study=s) for c, s in ("1a", "2b")]
    html = page_of_comparison(compare([Run.read(r.path) for r in runs]), "again").html()
    text = Parts(html).text
    assert "2 runs compared" in text
    assert "a · digits · dirichlet:0.3 · 5 clients / b · digits" in text
    assert "again" in text
    assert str(tmp_path / "1") in text
