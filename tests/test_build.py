"""Strategies from texts, and what the command line refuses of them before a run."""

import re
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fl_ef21
from fl_ef21 import DCGD, EF21, EF21P, EF21SGDM, EF21W
from fl_ef21.cli import app
from fl_ef21.engine import study as in_process
from fl_ef21.flower.strategies.build import server_step_of, strategy_from_texts
from fl_ef21.flower.strategies.kinds import KINDS, SettingError, fitting_compressor, method_title
from fl_ef21.methods.server import Descent, HeavyBall
from fl_ef21.theory import Constants

ROOT = Path(__file__).parent.parent
CONSTANTS = Constants(1.0, [1.0, 2.0], dimension=100)

NEEDED = {
    "ef21-sgd": {"minibatch": 8},
    "ef21-page": {"minibatch": 8},
    "ef21-pp": {"participation": 0.5},
    "ef21-prox": {"server": "prox:l1:0.01"},
    "ef21-bc": {"downlink": "topk:0.1"},
    "ef21-p": {"downlink": "topk:0.1"},
}
"""What a method does not work without."""


def build(method, *arguments, **texts):
    needed = NEEDED.get(method.partition(":")[0], {})
    return strategy_from_texts(method, *arguments, smoothness=[1.0, 2.0], **{**needed, **texts})


# What is built


@pytest.mark.parametrize("method", KINDS)
def test_every_method_builds_with_defaults_that_fit(method):
    strategy = build(method)
    assert type(strategy) is KINDS[method].strategy
    assert str(strategy.compressor) == KINDS[method].compressor
    assert strategy.steps.rule == 1.0


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("ef21-sgdm:0.25", "eta", 0.25),
        ("ef21-page:0.25", "probability", 0.25),
        ("econtrol:0.25", "eta", 0.25),
        ("diana:0.25", "value", 0.25),
        ("marina:0.25", "value", 0.25),
        ("dasha:0.25", "value", 0.25),
    ],
)
def test_a_number_behind_the_colon_is_the_methods_parameter(text, attribute, value):
    assert getattr(build(text).method, attribute) == value
    assert method_title(text).endswith(":0.25")


def test_the_texts_reach_the_strategy():
    strategy = strategy_from_texts(
        "ef21",
        "topk:5|natural",
        "0.125",
        server="heavy-ball:0.5",
        downlink="ef21-p:topk:0.1",
        initialisation="zero",
        participation=0.25,
        scope="layer",
        seed=7,
        signal="gradient",
    )
    assert type(strategy) is EF21
    assert (str(strategy.method), str(strategy.compressor)) == ("ef21:zero", "topk:5|natural")
    assert (strategy.step_size, strategy.fraction_train, strategy.seed) == (0.125, 0.25, 7)
    assert (strategy.policy.scope, strategy.signal) == ("layer", "gradient")
    assert "ef21-p:topk:0.1" in str(vars(strategy._terms))


@pytest.mark.parametrize("text", ["topk:0.1", "ef21-bc:topk:0.1"])
def test_the_downlinks_method_may_be_repeated(text):
    assert "ef21-bc:topk:0.1" in str(vars(build("ef21-bc", downlink=text)._terms))


def test_words_of_the_step_size_stay_words():
    for word in ("theory", "published", "2021", "auto"):
        assert strategy_from_texts(step_size=word, constants=CONSTANTS).steps.rule == word


def test_smoothness_is_given_or_reported():
    assert build("ef21-w").smoothness.of("partition-id=1") == 2.0
    reported = strategy_from_texts("ef21-w:reported")
    assert isinstance(reported, EF21W)
    assert reported.smoothness.reported


def test_a_baseline_takes_the_same_server_step():
    assert server_step_of("ef21-hb:0.5") == HeavyBall(0.5)
    assert server_step_of("ef21-hb") == HeavyBall()
    assert server_step_of("diana") == Descent()


def test_minibatches_have_a_theorem_of_their_own():
    assert build("ef21-sgd").variant == "ef21-sgd"
    assert isinstance(build("ef21-sgdm"), EF21SGDM)


def test_primal_and_plain_descent_send_whole_gradients():
    assert isinstance(build("ef21-p", "identity"), EF21P)
    assert type(build("gd", "identity")) is DCGD


@pytest.mark.parametrize(
    ("method", "given", "advice"),
    [
        ("diana", "topk:0.3", "unbiased-randk:0.3"),
        ("dasha", "randk:5", "unbiased-randk:5"),
        ("marina", "topk:0.3|bfloat16", "unbiased-randk:0.02"),
        ("marina", "sign", "unbiased-randk:0.02"),
        ("ef21", "unbiased-randk:0.3", "randk:0.3"),
        ("ef14", "qsgd:4", "shrunk-qsgd:4"),
        ("gd", "topk:0.3", "identity"),
    ],
)
def test_a_compressor_of_the_wrong_kind_is_refused_with_one_that_works(method, given, advice):
    with pytest.raises(SettingError) as refused:
        build(method, given)
    assert refused.value.key == "compressor"
    assert re.search(rf"--compressor {advice}(,|;|$)", str(refused.value))
    assert str(fitting_compressor(method, advice)) == advice


BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "methods.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_examples_of_the_documentation_run(block):
    exec(block, {})


def test_every_method_is_documented_with_its_class():
    text = (ROOT / "docs" / "methods.md").read_text()
    for name, kind in KINDS.items():
        (row,) = re.findall(rf"^\| `{re.escape(name)}[`\[].*$", text, re.MULTILINE)
        public = [c.__name__ for c in kind.strategy.__mro__ if hasattr(fl_ef21, c.__name__)]
        assert f"`{public[0]}`" in row


# What the command line refuses


@pytest.fixture
def started(monkeypatch):
    """Stand in for the engine, and note the run configs that it is given."""
    calls = []
    monkeypatch.setattr(
        in_process, "run_study", lambda study, *, clients, run_config: calls.append(run_config)
    )
    return calls


def simulate(*arguments):
    result = CliRunner().invoke(
        app, ["simulate", "--engine", "in-process", *arguments], env={"COLUMNS": "100"}
    )
    text = " ".join(result.stderr.replace("│", " ").split())
    return types.SimpleNamespace(exit_code=result.exit_code, text=text)


REFUSED = [
    ("--method ef22", "--method: unknown method 'ef22'; known are ef21, ef21[+], ef21-w, .*dasha"),
    ("--method ef21:full", "--method: ef21 takes no argument, got 'full'; write ef21"),
    ("--method ef21-sgdm:x", "--method: eta='x' of ef21-sgdm is not a number; write ef21-sgdm:0.1"),
    ("--method ef21-sgdm:2", r"--method: eta=2.0 is outside \(0, 1\]"),
    ("--method ef21-hb:1", "momentum=1 never forgets; choose one in .0, 1., for example 0.9"),
    ("--method diana --compressor topk:0.02", "--compressor: .*--compressor unbiased-randk:0.02"),
    ("--method ef21 --compressor qsgd:4", "--compressor: .*--compressor shrunk-qsgd:4"),
    ("--compressor unbiased-randk:0.1", "--compressor: .* give --compressor randk:0.1"),
    ("--method ef21+ --compressor randk:0.1", "needs a deterministic compressor, .* topk"),
    ("--method cloning --compressor randk:0.1", "needs a deterministic compressor, .* topk"),
    ("--method gd --compressor topk:0.1", "--compressor: .* --compressor identity"),
    ("--method ef21-p --compressor topk:0.1 --downlink topk:0.1", "--downlink ef21-p:topk:0.1"),
    ("--method ef21-bc", "--downlink: .* give --downlink topk:0.1"),
    ("--method ef21-p", "--downlink: .* give --downlink topk:0.1"),
    ("--method ef21-bc --downlink zip", "--downlink: unknown compressor 'zip'; known are"),
    ("--method ef21-bc --downlink qsgd:4", "--downlink: .*contractive .* got qsgd:4; .* topk:0.1"),
    ("--downlink topk:0.1", "--downlink: .*ef21-bc:topk:0.1 or ef21-p:topk:0.1"),
    ("--downlink ef21-p:zip", "--downlink: unknown compressor 'zip'; known are"),
    ("--method ef21-bc --downlink topk:1 --server box:0:1", "use the downlink EF21P"),
    ("--method ef21-prox", "--server: .* give --server prox:l1:0.01, or box:-1:1"),
    ("--method ef21-hb --server box:0:1", "--server: .* leave --server out"),
    ("--server newton", "--server: unknown server step 'newton'; known are adagrad, adam, box"),
    ("--method ef21-pp", "--participation: .* give --participation 0.5"),
    ("--participation 0", r"--participation: .*outside \(0, 1\]"),
    ("--participation 1.5", "--participation': 1.5 is not in the range"),
    ("--method ef21-sgd", "--minibatch: .* give --minibatch 16"),
    ("--method ef21-page", "--minibatch: .* give --minibatch 16"),
    ("--minibatch -1", "--minibatch': -1 is not in the range"),
    ("--method ef14 --initialisation full", "--initialisation: ef14 has no initialisation"),
    ("--initialisation warm", "'warm' is not one of 'compressed', 'full', 'zero'"),
    ("--scope array", "'array' is not one of 'global', 'layer'"),
    ("--step-size thoery", "--step-size: step size 'thoery' is unknown; give .*1/L, theory"),
    ("--method ef21-hb --step-size theory", "--step-size: .*no confirmed step size; give a number"),
    ("--method diana --step-size 2021", "--step-size: .*unknown for diana; choose one of theory"),
    ("--method ef21-rf --step-size 2021", "--step-size: .*; choose one of theory, published, or"),
    ("--method ef21-sgdm --step-size published", "choose one of theory, or give a positive number"),
    ("--method ef14 --step-size auto", "step_size='auto' has to take steps back, .*give a number"),
    ("--step-size auto --downlink ef21-bc:topk:1", "take steps back, .*give a number"),
    ("--method diana --step-size auto", "the chance in diana's steps .*give a number"),
    ("--step-size published --participation 0.5", "--step-size: .*for full participation"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED, ids=[flags for flags, _ in REFUSED])
def test_bad_texts_are_refused_with_the_fix(started, tmp_path, flags, message):
    result = simulate(*flags.split(), "--out", str(tmp_path / "out"))
    assert result.exit_code == 2, result.text
    assert re.search(message, result.text), result.text
    assert started == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "passed_on"),
    [
        ("--method diana", {"method": "diana", "compressor": "unbiased-randk:0.02"}),
        ("--method gd", {"method": "gd", "compressor": "identity"}),
        ("--method ef21+", {"method": "ef21+"}),
        ("--method diana --compressor natural", {"method": "diana", "compressor": "natural"}),
        ("--step-size 2021 --scope layer", {"step-size": "2021", "scope": "layer"}),
        ("--method ef21-rf --step-size theory", {"method": "ef21-rf", "step-size": "theory"}),
    ],
)
def test_the_studys_compressor_gives_way_to_one_that_fits(started, tmp_path, flags, passed_on):
    out = tmp_path / "out"
    simulate(*flags.split(), "--out", str(out))
    assert started == [{"clients": 20, "out": str(out), **passed_on}]
