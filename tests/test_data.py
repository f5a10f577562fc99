"""Data sets: validation, LIBSVM files, the published sets and their download, embedded sets."""

import bz2
import functools
import gzip
import hashlib
import http.server
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import path_from_environment
from scipy.sparse import csr_array
from sklearn.datasets import dump_svmlight_file

from fl_ef21.data import Dataset, known_names, load, load_libsvm, loading, published
from fl_ef21.data.published import PUBLISHED, Published

TINY = b"2 1:0.5 3:1\n1 2:-1\n2 3:0.25\n"


@pytest.fixture(scope="module")
def real_data():
    """The folder with the published files."""
    return path_from_environment("FL_EF21_DATA")


@pytest.fixture(autouse=True)
def fresh_cache(monkeypatch):
    """Nothing loaded by another test, and no data directory unless a test sets one."""
    loading._load.cache_clear()
    monkeypatch.delenv("FL_EF21_DATA", raising=False)


@pytest.fixture
def tiny_published(monkeypatch):
    """Make `tiny` the one published set."""
    entry = Published(rows=3, features=5, sha256=hashlib.sha256(TINY).hexdigest())
    for module in (published, loading):
        monkeypatch.setattr(module, "PUBLISHED", {"tiny": entry})


# --- Dataset ---------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [(1, 2), (0, 1), (-1, 1), (-3.5, 7)])
def test_two_labels_of_any_values_become_minus_and_plus_one(values):
    low, high = values
    dataset = Dataset.from_arrays("two", np.eye(3), [high, low, high])
    assert dataset.labels.tolist() == [1, -1, 1]
    assert dataset.labels.dtype == np.int64
    assert dataset.class_names == (f"{low:g}", f"{high:g}")


def test_more_labels_are_numbered_from_zero_in_their_order():
    dataset = Dataset.from_arrays("many", np.eye(4), [30, 10, 20, 10])
    assert dataset.labels.tolist() == [2, 0, 1, 0]
    assert (dataset.class_names, dataset.classes) == (("10", "20", "30"), 3)


def test_groups_of_any_values_are_numbered_and_named():
    dataset = Dataset.from_arrays("g", np.eye(3), [0, 1, 0], groups=["Zürich", "Basel", "Zürich"])
    assert dataset.groups.tolist() == [1, 0, 1]
    assert dataset.group_names == ("Basel", "Zürich")


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.eye(2), [1, 1], "one label 1 only"),
        (np.eye(3), [1, 2], r"3 rows and labels of shape \(2,\)"),
        (np.eye(2), [1, np.nan], "label nan in row 1"),
        (np.eye(3), [0.5, 1, 2], "not whole numbers, such as 0.5"),
        (np.zeros((0, 3)), [], "no rows"),
        (np.zeros((2, 0)), [0, 1], "0 features"),
        ([[0, 1, 2], [0, 0, np.nan]], [0, 1], "nan in row 1, column 2"),
        ([[0, -np.inf, np.inf], [0, 0, 0]], [0, 1], "-inf in row 0, column 1 .* one of 2 such"),
    ],
)
def test_bad_data_are_refused_with_place_and_reason(features, labels, message):
    with pytest.raises(ValueError, match=message):
        Dataset.from_arrays("bad", features, labels)


def test_wrong_groups_and_dtype_are_refused():
    labels = np.array([-1, 1])
    with pytest.raises(ValueError, match=r"groups of shape \(3,\)"):
        Dataset("bad", csr_array(np.eye(2)), labels, ("a", "b"), np.arange(3))
    with pytest.raises(ValueError, match="1 group names for groups up to 1"):
        Dataset("bad", csr_array(np.eye(2)), labels, ("a", "b"), np.arange(2), ("only",))
    with pytest.raises(ValueError, match=r"label 0 in row 0 .* of 2 classes are -1 and"):
        Dataset("bad", csr_array(np.eye(2)), np.array([0, 1]), ("a", "b"))
    with pytest.raises(ValueError, match=r"label 3 in row 1 .* of 3 classes are 0 to 2;"):
        Dataset("bad", csr_array(np.eye(2)), np.array([0, 3]), ("a", "b", "c"))
    with pytest.raises(ValueError, match="dtype float32"):
        Dataset("bad", csr_array(np.eye(2, dtype=np.float32)), labels, ("a", "b"))


# --- LIBSVM files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".bz2", bz2.compress), (".gz", gzip.compress)]
)
def test_a_file_is_read_plain_or_compressed(tmp_path, suffix, pack):
    path = tmp_path / f"some.txt{suffix}"
    path.write_bytes(pack(TINY))
    dataset = load(path)
    assert dataset.name == "some.txt"
    assert dataset.features.toarray().tolist() == [[0.5, 0, 1], [0, -1, 0], [0, 0, 0.25]]
    assert dataset.features.dtype == np.float64
    assert (dataset.labels.tolist(), dataset.groups) == ([1, -1, 1], None)


def test_reading_undoes_writing(tmp_path):
    rng = np.random.default_rng(1)
    features, labels = rng.standard_normal((20, 7)), np.arange(20) % 4
    dump_svmlight_file(features, labels, str(tmp_path / "random"), zero_based=False)
    dataset = load_libsvm(tmp_path / "random", n_features=9)
    np.testing.assert_allclose(dataset.features.toarray()[:, :7], features, rtol=1e-15)
    assert dataset.features.shape == (20, 9)
    assert dataset.labels.tolist() == labels.tolist()


def test_query_ids_are_natural_groups(tmp_path):
    (tmp_path / "q").write_text("1 qid:7 1:1\n2 qid:3 1:2\n1 qid:7 1:3\n")
    assert load_libsvm(tmp_path / "q").groups.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", "is not a LIBSVM text file"),
        ("1 2:1 1:1\n", "rising indices"),
        ("1 6:1\n2 1:1\n", "at most 5 features"),
        ("1 0:1\n2 1:1\n", "Invalid index 0"),
        ("1 1:nan\n2 1:1\n", "nan in row 0, column 0"),
        ("", "no rows"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, text, message):
    (tmp_path / "broken").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_libsvm(tmp_path / "broken", n_features=5)


def test_a_known_stem_gives_the_known_number_of_features(tmp_path):
    for name in ("a1a", "a9a.t", "a9a.txt"):
        (tmp_path / name).write_bytes(TINY)
        assert load(tmp_path / name).features.shape == (3, 123)


# --- Names, the data directory and downloads -------------------------------------------------


def test_the_same_name_gives_the_same_object():
    assert load("wine") is load("wine")


def test_an_unknown_name_is_refused_with_the_known_and_the_closest():
    with pytest.raises(ValueError, match=r"mushroms.*did you mean mushrooms\?.*digits, .*w8a"):
        load("mushroms")
    with pytest.raises(ValueError, match=r"'no/such/file' is neither .* nor an existing file"):
        load("no/such/file")


@pytest.mark.parametrize("place", ["tiny", "tiny.bz2", "tiny.gz", "tiny/tiny.bz2"])
@pytest.mark.parametrize("by_variable", [True, False])
@pytest.mark.usefixtures("tiny_published")
def test_a_file_in_the_data_directory_is_used(tmp_path, monkeypatch, place, by_variable):
    monkeypatch.setattr(published, "fetch", lambda name: pytest.fail("it downloads"))
    pack = {"2": bz2.compress, "z": gzip.compress}.get(place[-1], bytes)
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pack(TINY))
    if by_variable:
        monkeypatch.setenv("FL_EF21_DATA", str(tmp_path))
    dataset = load("tiny", None if by_variable else tmp_path)
    assert dataset.features.shape == (3, 5)
    assert dataset.name == "tiny"


@pytest.mark.usefixtures("tiny_published")
def test_another_shape_in_the_data_directory_is_refused(tmp_path):
    (tmp_path / "tiny").write_bytes(TINY + TINY)
    with pytest.raises(ValueError, match="has 6 rows, but tiny has 3; replace it"):
        load("tiny", tmp_path)


def test_a_data_directory_that_does_not_exist_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FL_EF21_DATA", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="gone' is not a folder; correct FL_EF21_DATA"):
        load("mushrooms")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a folder as the published address, with an empty download cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setattr(published, "ADDRESS", f"http://127.0.0.1:{httpd.server_port}")
        monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
        monkeypatch.setenv("NO_PROXY", "*")
        yield folder, requests
        httpd.shutdown()


@pytest.mark.usefixtures("tiny_published")
def test_a_published_set_is_downloaded_once(server, tmp_path):
    folder, requests = server
    (folder / "tiny").write_bytes(TINY)
    assert load("tiny").features.shape == (3, 5)
    loading._load.cache_clear()
    assert load("tiny").features.shape == (3, 5)
    assert requests == ["/tiny"]
    assert (tmp_path / "cache" / "fl-ef21" / "tiny").read_bytes() == TINY


@pytest.mark.usefixtures("tiny_published")
def test_a_download_with_a_wrong_hash_is_refused_and_not_kept(server, tmp_path):
    folder, _ = server
    (folder / "tiny").write_bytes(TINY + b"1 1:1\n")
    with pytest.raises(OSError, match=r"cannot download tiny from http://.*hash"):
        load("tiny")
    assert not list((tmp_path / "cache").rglob("tiny"))


@pytest.mark.usefixtures("tiny_published", "server")
def test_a_failed_download_names_the_address_and_the_fix():
    with pytest.raises(OSError, match=r"http://127.*/tiny: .*name the folder in FL_EF21_DATA"):
        load("tiny")


def test_an_import_loads_no_heavy_library():
    heavy = "'sklearn', 'datasets', 'flwr_datasets', 'pooch', 'torch'"
    code = f"import sys, fl_ef21.data; print([m for m in ({heavy}) if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- The sets themselves ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("digits", (1797, 64), 10), ("breast-cancer", (569, 30), 2), ("wine", (178, 13), 3)],
)
def test_embedded_sets(name, shape, classes):
    dataset = load(name)
    assert name in known_names()
    assert (dataset.features.shape, dataset.classes) == (shape, classes)
    dense = dataset.features.toarray()
    if name == "digits":
        assert (dense.min(), dense.max()) == (0, 1)
    else:
        np.testing.assert_allclose(dense.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(dense.std(axis=0), 1)
    if name == "breast-cancer":
        assert dataset.class_names == ("malignant", "benign")
        assert np.sum(dataset.labels == -1) == 212


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_have_the_stated_shape_and_hash(real_data, name):
    path = published.find(name, real_data)
    assert path is not None
    text = bz2.decompress(path.read_bytes())
    assert hashlib.sha256(text).hexdigest() == PUBLISHED[name].sha256
    dataset = load(name, real_data)
    assert dataset.features.shape == (PUBLISHED[name].rows, PUBLISHED[name].features)
    assert set(dataset.labels) == {-1, 1}
    assert (load(path).features != dataset.features).nnz == 0
