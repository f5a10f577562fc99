"""LIBSVM files: by path, or by a known name from a data directory or the LIBSVM collection."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pooch
from sklearn.datasets import load_svmlight_file

from fl_ef21.data.dataset import Dataset

COLLECTION: Final = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary"
DIRECTORY_VARIABLE: Final = "FL_EF21_DATA"


@dataclass(frozen=True)
class KnownSet:
    """Shape and content of a set of the LIBSVM collection.

    Attributes
    ----------
    rows, features : int
        Files may lack the last features, so their number has to be known.
    sha256 : str
        Of the file as published, uncompressed text.
    """

    rows: int
    features: int
    sha256: str


KNOWN_SETS: Final = {
    "a1a": KnownSet(1605, 123, "eb54c45f1bdb51286f803dd092eb8202b44637a858fc6c4e533a2d64a0d94b4e"),
    "a9a": KnownSet(32561, 123, "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906"),
    "mushrooms": KnownSet(
        8124, 112, "f39a4eb628dc61a7d43760815b061c9e497aa728ce1ad8bde57a09ef6043b538"
    ),
    "phishing": KnownSet(
        11055, 68, "0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a"
    ),
    "w1a": KnownSet(2477, 300, "0ae2b1c40f6a99061d1c6f4a1f3b50eea58a2f3b8bf851a337c25c2a65a49d32"),
    "w8a": KnownSet(49749, 300, "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2"),
}


def load_libsvm(path: Path, known: KnownSet | None = None) -> Dataset:
    """Read a LIBSVM file, plain or compressed with gzip or bzip2.

    Parameters
    ----------
    path : Path
        The file.
    known : KnownSet, optional
        What it must hold.

    Raises
    ------
    ValueError
        If the file is no LIBSVM file, its shape is not the known one, or its data are refused.
    """
    try:
        features, labels = load_svmlight_file(
            str(path), n_features=known.features if known else None
        )
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{path} cannot be read as a LIBSVM file ({error}); its lines must look like "
            f"'+1 3:0.5 7:1', plain or compressed as .gz or .bz2"
        ) from error
    if known is not None and features.shape != (known.rows, known.features):
        raise ValueError(
            f"{path} has {features.shape[0]} rows instead of {known.rows}: it is cut short or "
            f"another file; fetch it again, or give it a name that is not that of a known set"
        )
    return Dataset.of(path.name.split(".")[0], features, labels)


def find_libsvm(name: str, directory: Path | None = None) -> Path:
    """Return the file of a known set, fetching it only if it is in no data directory.

    Parameters
    ----------
    name : str
        A key of ``KNOWN_SETS``.
    directory : Path, optional
        Where to look for ``NAME``, ``NAME.bz2`` or ``NAME.gz``, there or in a folder ``NAME``;
        the environment variable ``FL_EF21_DATA`` by default.

    Raises
    ------
    ConnectionError
        If the file is nowhere and cannot be fetched, or is not the published one.
    """
    setting = os.environ.get(DIRECTORY_VARIABLE)
    directory = directory or (Path(setting) if setting else None)
    if directory is not None:
        for folder in (directory, directory / name):
            for suffix in ("", ".bz2", ".gz"):
                if (path := folder / f"{name}{suffix}").is_file():
                    return path
    return _fetch(name)


def _fetch(name: str) -> Path:
    address = f"{COLLECTION}/{name}"
    cache = pooch.os_cache("fl-ef21")
    try:
        return Path(
            pooch.retrieve(
                address,
                f"sha256:{KNOWN_SETS[name].sha256}",
                fname=name,
                path=cache,
                progressbar=False,
            )
        )
    # Whatever the network or the checksum says, the way out is the same.
    except Exception as error:
        raise ConnectionError(
            f"{name} could not be fetched from {address} ({error}); put the file into a folder "
            f"and name that folder in {DIRECTORY_VARIABLE}"
        ) from error
