"""Partitions: text forms, and that every row goes to exactly one client that is not empty."""

import hashlib
import os
import socket
import subprocess
import sys
from contextlib import nullcontext, suppress
from itertools import pairwise

import numpy as np
import pytest
from conftest import path_from_environment
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_ef21.data import (
    Contiguous,
    Dataset,
    Dirichlet,
    Iid,
    Natural,
    Pathological,
    SortedByNorm,
    load,
    partition,
    partition_from_text,
)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def real_data():
    return path_from_environment("FL_EF21_DATA")


def assert_covers(parts, rows):
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(rows))
    assert all(len(part) > 0 for part in parts)
    assert all(np.all(np.diff(part) > 0) for part in parts)


# --- Text forms ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("iid", Iid()),
        ("dirichlet:0.3", Dirichlet(0.3)),
        ("dirichlet:100.0", Dirichlet(100)),
        ("pathological:2", Pathological(2)),
        ("contiguous", Contiguous()),
        ("norm", SortedByNorm()),
        ("natural", Natural()),
        ("natural:47-60", Natural(47, 60)),
    ],
)
def test_text_forms_round_trip(text, spec):
    assert partition_from_text(text) == spec
    assert str(spec) == text


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_any_concentration_round_trips(concentration):
    assert partition_from_text(str(Dirichlet(concentration))) == Dirichlet(concentration)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shards", "'shards' is unknown; the forms are iid, dirichlet:0.3"),
        ("iid:3", "unknown"),
        ("norm:", "unknown"),
        ("natural:47", "unknown"),
        ("dirichlet", "could not convert"),
        ("dirichlet:0", r"0.0 is outside \(0, ∞\)"),
        ("dirichlet:-1", r"-1.0 is outside \(0, ∞\)"),
        ("dirichlet:nan", "nan is outside"),
        ("dirichlet:inf", "inf is outside"),
        ("pathological:0", "0 classes per client is below 1"),
        ("pathological:1.5", "invalid literal"),
        ("natural:60-47", "natural range 60-47"),
        ("natural:0-4", "natural range 0-4"),
    ],
)
def test_bad_text_is_refused_with_the_forms(text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        partition_from_text(text)
    assert "the forms are iid" in str(refusal.value)


# --- What holds for every partition ----------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "text", ["iid", "dirichlet:0.1", "dirichlet:100.0", "pathological:2", "contiguous", "norm"]
)
def test_twenty_clients_share_the_digits(digits, text, seed):
    spec = partition_from_text(text)
    parts = partition(digits, spec, 20, seed)
    assert len(parts) == 20
    assert_covers(parts, 1797)
    again = partition(digits, spec, 20, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@settings(max_examples=30, deadline=None)
@given(
    spec=st.one_of(
        st.just(Iid()),
        st.just(Contiguous()),
        st.just(SortedByNorm()),
        st.builds(Dirichlet, st.floats(0.05, 100)),
        st.builds(Pathological, st.integers(1, 4)),
    ),
    rows=st.integers(4, 40),
    clients=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_a_partition_covers_or_is_refused(spec, rows, clients, seed):
    features = np.random.default_rng(rows).standard_normal((rows, 3))
    dataset = Dataset.from_arrays("random", features, np.arange(rows) % 4)
    # A random spec may find rows for too few clients; the others need no more than enough rows.
    may_refuse = clients > rows or isinstance(spec, Dirichlet | Pathological)
    with suppress(ValueError) if may_refuse else nullcontext():
        parts = partition(dataset, spec, clients, seed)
        assert len(parts) == clients
        assert_covers(parts, rows)


@pytest.mark.parametrize("text", ["iid", "dirichlet:0.3", "pathological:2"])
def test_another_seed_gives_another_partition(digits, text):
    one, other = (partition(digits, partition_from_text(text), 20, seed) for seed in (1, 2))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


FINGERPRINT = """
import hashlib
from fl_ef21.data import load, partition, partition_from_text
for text in ("iid", "dirichlet:0.3", "pathological:2", "norm"):
    parts = partition(load("digits"), partition_from_text(text), 20, 7)
    print(hashlib.sha256(b"|".join(part.tobytes() for part in parts)).hexdigest())
"""


def test_another_process_gives_the_same_partition(digits):
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    here = []
    for text in ("iid", "dirichlet:0.3", "pathological:2", "norm"):
        parts = partition(digits, partition_from_text(text), 20, 7)
        here.append(hashlib.sha256(b"|".join(part.tobytes() for part in parts)).hexdigest())
    assert run.stdout.split() == here


def test_it_is_silent_and_offline(digits, capfd, monkeypatch):
    def refuse(*args):
        pytest.fail("a partition opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    environment = dict(os.environ)
    for text in ("iid", "dirichlet:0.1", "pathological:2", "contiguous", "norm"):
        partition(digits, partition_from_text(text), 20, 0)
    partition(Dataset.from_arrays("g", np.eye(3), [0, 1, 0], groups=[2, 1, 2]), Natural(), 2, 0)
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == environment


# --- Each kind -------------------------------------------------------------------------------


def test_contiguous_keeps_the_order_and_gives_the_last_client_the_remainder(digits):
    parts = partition(digits, Contiguous(), 20, 0)
    assert [len(part) for part in parts] == [89] * 19 + [106]
    assert np.array_equal(np.concatenate(parts), np.arange(1797))


def test_norm_gives_each_client_longer_rows_than_the_one_before(digits):
    parts = partition(digits, SortedByNorm(), 20, 0)
    norms = np.linalg.norm(digits.features.toarray(), axis=1)
    for before, after in pairwise(parts):
        assert norms[before].max() <= norms[after].min() * (1 + 1e-6)
    assert norms[parts[0]].mean() < 0.8 * norms[parts[-1]].mean()


def test_norms_equal_but_for_rounding_keep_the_order_of_the_file():
    rows = np.array([[1.0, 0.0], [1.0 - 1e-15, 0.0], [1.0 + 1e-15, 0.0], [0.5, 0.0]])
    parts = partition(Dataset.from_arrays("unit", rows, [0, 1, 0, 1]), SortedByNorm(), 2, 0)
    assert [part.tolist() for part in parts] == [[0, 3], [1, 2]]


def test_pathological_gives_each_client_its_number_of_classes(digits):
    parts = partition(digits, Pathological(2), 20, 3)
    assert [len(np.unique(digits.labels[part])) for part in parts] == [2] * 20


def test_a_smaller_concentration_is_more_uneven(digits):
    def spread(text):
        parts = partition(digits, partition_from_text(text), 10, 0)
        counts = [np.bincount(digits.labels[part], minlength=10) for part in parts]
        return np.std([count / count.sum() for count in counts])

    assert spread("dirichlet:0.1") > 2 * spread("dirichlet:1.0") > 4 * spread("dirichlet:100.0")


def test_natural_follows_the_groups():
    dataset = Dataset.from_arrays(
        "hospitals", np.eye(5), [0, 1, 0, 1, 1], groups=["b", "a", "b", "c", "a"]
    )
    assert [part.tolist() for part in partition(dataset, Natural(), 3, 0)] == [[1, 4], [0, 2], [3]]


def test_natural_follows_one_hot_features_and_keeps_rows_without_one():
    one_hot = [[1, 0, 5], [0, 0, 5], [0, 2, 0], [1, 0, 0]]
    dataset = Dataset.from_arrays("coded", one_hot, [0, 1, 0, 1])
    parts = partition(dataset, Natural(1, 2), 3, 0)
    assert [part.tolist() for part in parts] == [[0, 3], [2], [1]]


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clients", "message"),
    [
        ("iid", 0, r"clients=0 is outside \[1, 1797\]"),
        ("norm", 1798, r"clients=1798 is outside \[1, 1797\], the number of rows of digits"),
        ("dirichlet:0.01", 20, r"dirichlet:0.01 over 20 clients .* clients 2, 4, 9, .*larger conc"),
        ("pathological:11", 20, "11 classes per client, but digits has 10"),
        ("pathological:2", 3, "rows of digits to nobody; choose at least 10 clients"),
        ("pathological:10", 1000, "to more clients than it has rows; choose fewer clients"),
        ("natural", 20, "digits has no natural groups"),
        ("natural:1-65", 20, "beyond the 64 features of digits; give a range in 1-64"),
        ("natural:1-64", 20, "is not one-hot in digits: row 0 "),
    ],
)
def test_what_does_not_fit_is_refused_with_the_fix(digits, text, clients, message):
    with pytest.raises(ValueError, match=message):
        partition(digits, partition_from_text(text), clients, 0)


def test_natural_names_the_right_number_of_clients():
    dataset = Dataset.from_arrays("g", np.eye(4), [0, 1, 0, 1], groups=[1, 2, 3, 3])
    with pytest.raises(ValueError, match=r"clients=4, .* has 3 owners; set clients to 3"):
        partition(dataset, Natural(), 4, 0)


def test_a_negative_seed_is_refused(digits):
    with pytest.raises(ValueError, match="seed=-1 is negative"):
        partition(digits, Iid(), 2, -1)


# --- Real data -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mushrooms", "phishing", "a9a", "w8a"])
def test_real_sets_over_twenty_clients(real_data, name):
    dataset = load(name, real_data)
    for text in ("iid", "dirichlet:1.0", "pathological:1", "contiguous", "norm"):
        parts = partition(dataset, partition_from_text(text), 20, 0)
        assert_covers(parts, dataset.features.shape[0])


def test_the_occupations_of_a9a(real_data):
    parts = partition(load("a9a", real_data), partition_from_text("natural:47-60"), 15, 0)
    assert_covers(parts, 32561)
    # UCI Adult: 1,843 people without an occupation, and nine in the armed forces.
    assert len(parts[14]) == 1843
    assert min(len(part) for part in parts) == 9
