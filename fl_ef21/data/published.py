"""The LIBSVM data sets of the papers: their shapes, and where to find or fetch them."""
# pooch brings an HTTP client, which only a download needs.
# ruff: noqa: PLC0415

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.libsvm import load_libsvm

ADDRESS: Final = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary"
DIRECTORY_VARIABLE: Final = "FL_EF21_DATA"


@dataclass(frozen=True)
class Published:
    """The shape of a published set, and the SHA-256 of its file, which is plain text."""

    rows: int
    features: int
    sha256: str


PUBLISHED: Final[Mapping[str, Published]] = MappingProxyType(
    {
        "a1a": Published(
            1605, 123, "eb54c45f1bdb51286f803dd092eb8202b44637a858fc6c4e533a2d64a0d94b4e"
        ),
        "a9a": Published(
            32561, 123, "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906"
        ),
        "w1a": Published(
            2477, 300, "0ae2b1c40f6a99061d1c6f4a1f3b50eea58a2f3b8bf851a337c25c2a65a49d32"
        ),
        "w8a": Published(
            49749, 300, "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2"
        ),
        "mushrooms": Published(
            8124, 112, "f39a4eb628dc61a7d43760815b061c9e497aa728ce1ad8bde57a09ef6043b538"
        ),
        "phishing": Published(
            11055, 68, "0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a"
        ),
    }
)


def load_published(name: str, directory: Path | None = None) -> Dataset:
    """Load a published set from the data directory, or else download it once.

    Parameters
    ----------
    name : str
        A key of `PUBLISHED`.
    directory : Path, optional
        A folder with ``NAME``, ``NAME.bz2`` or ``NAME.gz``, directly or in a folder ``NAME``.

    Raises
    ------
    ValueError
        If the directory does not exist, or its file has another shape than the published one.
    OSError
        If there is no file and the download fails.
    """
    known = PUBLISHED[name]
    path = None if directory is None else find(name, directory)
    dataset = load_libsvm(path or fetch(name), known.features)
    rows = dataset.features.shape[0]
    if rows != known.rows:
        raise ValueError(
            f"{path} has {rows} rows, but {name} has {known.rows}; replace it with "
            f"{ADDRESS}/{name}, or give its path to load it as it is"
        )
    return dataset


def load_file(path: Path) -> Dataset:
    """Load a LIBSVM file; a published set's name gives the number of features.

    The rows are not counted, so that a test set such as ``a9a.t.bz2`` or a part of the file
    has the columns of the whole.
    """
    known = PUBLISHED.get(path.name.split(".")[0])
    return load_libsvm(path, known.features if known else None)


def find(name: str, directory: Path) -> Path | None:
    """Return a published set's file in a folder, or None."""
    if not directory.is_dir():
        raise ValueError(
            f"data directory {str(directory)!r} is not a folder; "
            f"correct {DIRECTORY_VARIABLE}, or unset it to download"
        )
    folders = directory, directory / name
    paths = (folder / f"{name}{suffix}" for folder in folders for suffix in ("", ".bz2", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def fetch(name: str) -> Path:
    """Return the path of a published set in the user's cache, downloaded if it is not there."""
    import pooch

    address = f"{ADDRESS}/{name}"
    try:
        path = pooch.retrieve(
            address,
            known_hash=f"sha256:{PUBLISHED[name].sha256}",
            fname=name,
            path=pooch.os_cache("fl-ef21"),
        )
    # pooch reports a wrong hash as a ValueError; errors of the connection are OSErrors.
    except (OSError, ValueError) as error:
        raise OSError(
            f"cannot download {name} from {address}: {error}. Put the file into a folder and "
            f"name the folder in {DIRECTORY_VARIABLE}"
        ) from error
    return Path(path)
