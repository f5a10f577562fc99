"""What the tests share: where external files are, and small apps on small problems."""

import json
import logging
import os
from pathlib import Path

import pytest


def path_from_environment(name: str) -> Path:
    """Return the path in an environment variable, or skip the test."""
    value = os.environ.get(name)
    if not value:
        pytest.skip(f"{name} is not set")
    path = Path(value)
    if not path.exists():
        pytest.skip(f"{name}={value} does not exist")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep real engines in one process: they share ports, and each takes all cores."""
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.xdist_group("engine"))


@pytest.fixture(scope="session")
def golden() -> dict:
    return json.loads(path_from_environment("FL_EF21_GOLDEN").read_text())


@pytest.fixture(autouse=True)
def quiet_flower(caplog):
    """Keep Flower's round by round log out of failure reports; warnings stay."""
    caplog.set_level(logging.WARNING, logger="flwr")


@pytest.fixture
def study(tmp_path):
    from toy_study import make_study

    return make_study(tmp_path)


@pytest.fixture
def engines(monkeypatch):
    from toy_study import replace_engines

    return replace_engines(monkeypatch)


@pytest.fixture
def undrawn(monkeypatch):
    """Leave the drawings out of reports, which take longer than all the rest."""
    monkeypatch.setattr("fl_ef21.report.report.draw", lambda *_: [])
    monkeypatch.setattr("fl_ef21.report.report.figures_of", lambda folder: [])
    monkeypatch.setattr("fl_ef21.report.page.figures_of_rows", lambda rows: [])
    monkeypatch.setattr("fl_ef21.report.page.partition_of", lambda problem: None)
