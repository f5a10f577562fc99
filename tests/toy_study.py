"""A study and engines that are stand-ins of a few lines, for tests of the command line."""

import types

import numpy as np
from typer.testing import CliRunner

from fl_ef21.cli import app, showing
from fl_ef21.engine import simulation
from fl_ef21.engine import study as in_process
from fl_ef21.report.run_folder import RunFolder
from fl_ef21.report.summary import summarise

PROJECT = """
[project]
name = "toy"
version = "1.0.0"
[tool.flwr.app.config]
data = "digits"
clients = 4
partition = "contiguous"
compressor = "topk:0.25"
step-size = "auto"
rounds = 20
seed = 0
out = ""
"""


def write_run(run_config):
    """Minimise a quadratic by gradient descent, plain and Top-1, and record it as a study does."""
    folder = RunFolder.create(run_config["out"], run_config)
    target = np.arange(1.0, 5.0)
    for method, kept in (("uncompressed", 4), ("EF21 topk:1", 1)):
        x, estimate = np.zeros(4), np.zeros(4)
        for number in range(run_config.get("rounds", 20) + 1):
            gradient = x - target
            sent = 4 * (4 * kept) if number else 0
            folder.append(
                {
                    "method": method,
                    "round": number,
                    "uplink_payload_bytes": sent,
                    "uplink_bytes": sent + 100,
                    "downlink_bytes": 64,
                    "rejections": 0,
                    "failures": 0,
                    "loss": gradient @ gradient / 2,
                    "gradient_norm_squared": gradient @ gradient,
                    "accuracy": None,
                }
            )
            largest = np.argsort(-np.abs(gradient - estimate))[:kept]
            estimate[largest] = gradient[largest]
            x = x - 0.3 * estimate
    summary = {
        "study": "toy",
        "problem": {"dimension": 4, "L": 1.0},
        "methods": summarise(folder.rows()),
    }
    folder.write_summary(summary)


def make_study(folder):
    """Return the path of a new app folder named ``toy``."""
    path = folder / "toy"
    path.mkdir()
    (path / "pyproject.toml").write_text(PROJECT)
    return path


def replace_engines(monkeypatch):
    """Stand in for both engines; tests replace ``run`` and read ``calls``."""
    engines = types.SimpleNamespace(calls=[], run=write_run)

    def stand_in(name):
        def run(study, *, clients, run_config, on_poll=None):
            engines.calls.append((name, study, clients, dict(run_config)))
            engines.run(run_config)

        return run

    monkeypatch.setattr(simulation, "run", stand_in("simulation"))
    monkeypatch.setattr(in_process, "run_study", stand_in("in-process"))
    monkeypatch.setattr(showing, "figures_of", lambda folder: [])
    monkeypatch.setattr(showing, "report_of", lambda folder: folder.path / "report.html")
    return engines


def command(*arguments, columns=300):
    """Run ``fl-ef21`` in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": str(columns)})


def words(text):
    """Return the text without the frame that Typer draws around a usage error."""
    return " ".join(text.replace("│", " ").split())
