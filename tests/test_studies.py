"""The papers' experiments: what a study writes, what its checks say, and how races are run."""

import json
import signal
from importlib import import_module
from math import inf

import numpy as np
import pytest
from flwr.app import UserConfig
from flwr.clientapp import ClientApp

from fl_ef21 import EF21, TopK, ef21_mod
from fl_ef21.cli.running import stopping_on_terminate
from fl_ef21.engine import InProcessGrid, partition_configs
from fl_ef21.engine.studies import find_study
from fl_ef21.engine.study import importable, run_study
from fl_ef21.experiments import Arm, Outcome, Problem, Races, answer_message, by_config, powers
from fl_ef21.experiments.arm import DIVERGED, REACHED, STOPPED, common_options
from fl_ef21.experiments.recorder import Recorder
from fl_ef21.problems import least_squares_federation
from fl_ef21.report.run_folder import RunFolder

SMALL = {
    "reloaded": {
        "clients": 6,
        "rounds": 4000,
        "dimension": 6,
        "accuracy": 0.1,
        "noisy-rounds": 3,
        "experiments": "regression,stochastic,participation",
    },
    "ef21": {"clients": 3, "rounds": 6, "base": 64},
    "rare": {"clients": 10, "dimension": 20, "rounds": 60, "shares": "0.1,0.9"},
    "baselines": {"clients": 3, "rounds": 5, "largest": 2},
}


def module_of(name, module):
    study = find_study(name).path
    with importable(study):
        return import_module(module)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of a small run of each study, made when it is first asked for."""
    done = {}

    def run(name):
        if name not in done:
            study, out = find_study(name), tmp_path_factory.mktemp("runs") / name
            config = {**SMALL[name], "out": str(out)}
            run_study(study.path, clients=SMALL[name]["clients"], run_config=config)
            done[name] = RunFolder(out)
        return done[name]

    return run


@pytest.mark.parametrize("name", SMALL)
def test_a_study_writes_a_summary_figures_and_a_page(runs, name):
    folder = runs(name)
    summary = folder.summary()
    assert summary["study"] == name
    for check in summary["checks"]:
        assert set(check) == {"claim", "measured", "target", "holds", "kind"}
        assert check["kind"] in ("published", "derived here", "recalled", "empirical")
    labels = [total["method"] for total in summary["methods"]]
    assert len(labels) == len(set(labels)) == len({row["method"] for row in folder.rows()})
    for total in summary["methods"]:
        assert total["end"] in (REACHED, STOPPED, DIVERGED)
        assert total["kind"] in ("published", "derived here", "recalled", "empirical")
        clients = SMALL[name]["clients"]
        assert total["bits_per_client"] == 8 * total["uplink_payload_bytes"] / clients
    pictures = sorted(path.suffix for path in (folder.path / "figures").iterdir())
    assert pictures.count(".png") == pictures.count(".svg") >= 2
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    assert all(check["claim"].split(",")[0].split(":")[0] in page for check in summary["checks"])


@pytest.mark.parametrize("name", ["reloaded", "rare", "baselines"])
def test_what_a_small_run_can_show_holds(runs, name):
    checks = runs(name).summary()["checks"]
    assert len(checks) >= 2
    assert [check["claim"] for check in checks if not check["holds"]] == []


def test_the_published_steps_differ_by_the_means_of_the_constants(runs):
    summary = runs("reloaded").summary()
    (problem,) = summary["problems"]
    steps = {t["name"]: t["step_size"] for t in summary["methods"] if t["experiment"] != "x"}
    assert problem["L_QM"] > 1.2 * problem["L_AM"]
    assert steps["L_AM (Reloaded)"] / steps["L_QM (2021)"] > 1
    assert steps["L_AM (Reloaded)"] / steps["L_QM (2021)"] < problem["L_QM"] / problem["L_AM"]


@pytest.mark.parametrize("name", SMALL)
def test_the_papers_size_sets_what_the_study_declares(name):
    study = find_study(name)
    assert study.engine == "in-process"
    assert study.full
    assert study.full.keys() <= study.settings.keys()
    assert {key: type(study.settings[key]) for key in study.full} == {
        key: type(value) for key, value in study.full.items()
    }


def test_a_full_size_that_sets_something_unknown_is_refused(tmp_path):
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\n")
    with pytest.raises(ValueError, match="describes no Flower app"):
        find_study(str(tmp_path))
    project.write_text("[tool.flwr.app.config]\nclients = 1\n")
    with pytest.raises(ValueError, match="does not declare out"):
        find_study(str(tmp_path))
    assert find_study(str(tmp_path), ()).settings == {"clients": 1}
    project.write_text('[tool.flwr.app.config]\nclients = 1\nout = ""\n')
    study = find_study(str(tmp_path))
    with pytest.raises(ValueError, match=r"no full\.toml"):
        _ = study.full
    (tmp_path / "full.toml").write_text("raunds = 5\n")
    with pytest.raises(ValueError, match="raunds, which the study does not declare"):
        _ = study.full


# The checks themselves


def outcome(name, *, end=REACHED, rounds=10, bits=100.0, step=1.0, kind="published", loss=0.5):
    strategy = EF21(TopK(1), step, signal="gradient")
    arm = Arm("x", "data", name, strategy, "formula", kind)
    return Outcome(arm, end, rounds, 1.0, 0.001, 1.0, loss, bits)


@pytest.mark.parametrize(("rounds", "holds"), [(200, True), (215, True), (230, False)])
def test_rounds_are_held_against_the_ratio_of_the_steps(rounds, holds):
    checks = module_of("reloaded", "server_app").ratio_checks
    found = checks(
        [
            outcome("L_QM (2021)", rounds=rounds, step=0.1),
            outcome("L_AM (Reloaded)", rounds=100, step=0.2),
        ]
    )
    assert [check.holds for check in found] == [holds]


@pytest.mark.parametrize(
    ("ours", "other", "holds"),
    [
        ({"bits": 90.0}, {}, True),
        ({"bits": 110.0}, {}, False),
        ({}, {"end": STOPPED}, True),
        ({"end": STOPPED}, {}, False),
        ({"end": STOPPED}, {"end": STOPPED}, False),
    ],
)
def test_ef21_is_held_against_classic_feedback_in_bits(ours, other, holds):
    checks = module_of("ef21", "server_app").feedback_checks
    found = checks([outcome("EF21", **ours), outcome("EF14", **other)])
    assert [check.holds for check in found] == [holds]


def test_the_gain_has_to_grow_as_features_get_rarer():
    server = module_of("rare", "server_app")

    def holds(*gains):
        by_share = {
            share: {server.CURVATURE: gain}
            for share, gain in zip((0.05, 0.5, 0.9), gains, strict=True)
        }
        return [check.holds for check in server.gain_checks(by_share)]

    assert holds(9.0, 3.0, 1.0) == [True, True]
    assert holds(3.0, 9.0, 1.0) == [True, False]


def test_theory_steps_may_not_diverge_or_climb():
    checks = module_of("baselines", "server_app").theory_checks
    good = outcome("GD")
    assert all(check.holds for check in checks([good]))
    for bad in (outcome("A", end=DIVERGED), outcome("A", loss=1.1), outcome("A", loss=np.nan)):
        assert [check.measured for check in checks([good, bad])] == [1]


# Races


def quadratics(clients=4):
    problem = Problem("quadratics", least_squares_federation([1.0, 4.0] * (clients // 2), 5))

    @by_config
    def problems(_: UserConfig):
        return {problem.name: problem}

    app = ClientApp(mods=[ef21_mod])

    @app.train()
    def train(message, context):
        return answer_message(message, context, problems(context.run_config))

    return problem, InProcessGrid(app, partition_configs(clients), isolation="none")


def races(tmp_path, **config):
    problem, grid = quadratics()
    settings = {"rounds": 300, "accuracy": 1e-3, "seed": 0, "out": str(tmp_path / "run"), **config}
    return problem, Races("toy", grid, settings, {problem.name: problem})


def arm_of(problem, step, name="EF21"):
    strategy = EF21(TopK(2), step, **common_options(problem, 0))
    return Arm("toy", problem.name, name, strategy, "given", "empirical", multiple=step)


def test_an_arm_ends_at_its_target_and_rows_add_up(tmp_path):
    problem, found = races(tmp_path)
    outcome = found.run(arm_of(problem, 0.3))
    rows = found.folder.rows()
    assert outcome.end == REACHED
    assert 1 < outcome.rounds < 300
    assert rows[-1]["round"] == outcome.rounds
    assert rows[-1]["gradient_norm_squared"] <= 1e-3 * rows[0]["gradient_norm_squared"]
    assert sum(row["uplink_payload_bits_per_client"] for row in rows) == outcome.bits > 0
    gradient = np.mean([o.gradient(np.zeros(5)) for o in problem.objectives], axis=0)
    assert rows[0]["gradient_norm_squared"] == pytest.approx(gradient @ gradient)


def test_a_step_that_is_too_long_diverges_and_is_recorded(tmp_path):
    problem, found = races(tmp_path)
    outcome = found.run(arm_of(problem, 1e6))
    assert outcome.end == DIVERGED
    assert outcome.rises
    assert outcome.bits_to_target == inf
    found.finish([], {})
    (total,) = json.loads((tmp_path / "run" / "summary.json").read_text())["methods"]
    assert total["end"] == DIVERGED


def test_the_best_arm_is_found_and_others_are_cut_short(tmp_path):
    problem, found = races(tmp_path)
    steps = [0.3, 0.1, 0.05, 0.02]
    best = found.best_of((arm_of(problem, step) for step in steps), patience=2)
    assert best.arm.multiple == 0.3
    assert [outcome.rounds for outcome in found.outcomes] == [best.rounds] * 3
    with pytest.raises(ValueError, match="at least one"):
        found.best_of([])


def test_rows_of_long_runs_are_few_and_their_counts_add_up(tmp_path):
    folder = RunFolder.create(tmp_path, {})
    recorder = Recorder(folder, {"method": "a"})
    for number in range(5001):
        row = {"round": number, "uplink_payload_bytes": 3 * bool(number), "loss": float(number)}
        recorder.add(row, last=number == 5000)
    rows = folder.rows()
    assert len(rows) < 400
    assert [row["round"] for row in rows[:20]] == list(range(20))
    assert rows[-1]["round"] == rows[-1]["loss"] == 5000
    assert sum(row["uplink_payload_bytes"] for row in rows) == 15000


# Synthetic problems


def test_constants_and_owners_are_as_asked_for():
    objectives = least_squares_federation(
        [20.0] * 10, 40, smallest=1.0, owners=3, regularisation=0.5, seed=1
    )
    owners = np.zeros(40, dtype=int)
    for objective in objectives:
        support = objective.support()
        owners[support] += 1
        dense = objective.features.toarray()
        eigenvalues = np.linalg.eigvalsh(dense.T @ dense / len(dense))
        assert eigenvalues.max() == pytest.approx(20)
        positive = eigenvalues[eigenvalues > 1e-9]
        assert len(positive) == min(12, len(support))
        assert positive.min() == pytest.approx(1 if len(positive) > 1 else 20)
        assert objective.smoothness() == pytest.approx(21)
    assert (owners == 3).all()


@pytest.mark.parametrize("owners", [0, 11])
def test_owners_are_between_one_and_all(owners):
    with pytest.raises(ValueError, match=r"outside \[1, 10\]"):
        least_squares_federation([1.0] * 10, 40, owners=owners)


def test_clients_without_a_coordinate_are_refused():
    with pytest.raises(ValueError, match="leave some of 10 clients with none"):
        least_squares_federation([1.0] * 10, 5, owners=1)


def test_powers_end_at_the_largest():
    assert powers(4, 4096) == [1, 4, 16, 64, 256, 1024, 4096]
    assert powers(2, 8) == [1, 2, 4, 8]


def test_a_polite_kill_gets_past_what_survives_the_exit_of_an_app(tmp_path):
    def terminate(*_):
        signal.raise_signal(signal.SIGTERM)

    problem, found = races(tmp_path)
    app = ClientApp(mods=[ef21_mod])
    app.train()(terminate)
    found._grid = InProcessGrid(app, partition_configs(4))
    with pytest.raises(SystemExit, match="143"), stopping_on_terminate():
        found.run(arm_of(problem, 0.3))
