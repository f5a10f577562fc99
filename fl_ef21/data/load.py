"""A data set by its name or its path."""

from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.embedded import EMBEDDED_SETS
from fl_ef21.data.libsvm import KNOWN_SETS, find_libsvm, load_libsvm


def known_names() -> list[str]:
    """Return the names that :func:`load` knows."""
    return sorted([*EMBEDDED_SETS, *KNOWN_SETS])


def check_name(name: str) -> None:
    """Raise ``ValueError`` if ``name`` is neither a known name nor the path of a file."""
    if name in EMBEDDED_SETS or name in KNOWN_SETS or Path(name).is_file():
        return
    close = get_close_matches(name, known_names(), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(
        f"unknown data set {name!r}: {hint}known are {', '.join(known_names())}; "
        f"or give the path of a LIBSVM file"
    )


# Nodes that share a process share the data: it is loaded once.
@lru_cache(maxsize=4)
def load(name: str, directory: Path | None = None) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name : str
        One of scikit-learn's embedded sets, a known set of the LIBSVM collection, or the path of
        a LIBSVM file; a file named like a known set must be that set.
    directory : Path, optional
        Where files of known sets are looked for before they are fetched; the environment variable
        ``FL_EF21_DATA`` by default.

    Raises
    ------
    ValueError
        If the name is unknown or the data are refused.
    ConnectionError
        If a known set has to be fetched and cannot be.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.features.shape, len(digits.class_names)
    ((1797, 64), 10)
    """
    check_name(name)
    if name in EMBEDDED_SETS:
        return EMBEDDED_SETS[name]()
    path = Path(name)
    if path.is_file():
        return load_libsvm(path, KNOWN_SETS.get(path.name.split(".")[0]))
    return load_libsvm(find_libsvm(name, directory), KNOWN_SETS[name])
