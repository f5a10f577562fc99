"""Loading a data set by its name or by the path of its file."""

import os
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.embedded import EMBEDDED
from fl_ef21.data.published import DIRECTORY_VARIABLE, PUBLISHED, load_file, load_published


def load(name_or_path: str | Path, directory: str | Path | None = None) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name_or_path : str or Path
        A known name, such as ``"digits"`` or ``"mushrooms"``, or the path of a LIBSVM file.
        A file that is called like a known set is given as ``"./mushrooms"``.
    directory : str or Path, optional
        Where the files of the published sets are; by default the folder that the environment
        variable ``FL_EF21_DATA`` names. What is not there is downloaded once, into the user's
        cache.

    Returns
    -------
    Dataset
        The same object at every call in a process: clients of one process share it, so it must
        not be changed.

    Raises
    ------
    ValueError
        If the name is unknown, or the data are refused.
    OSError
        If a file cannot be read or downloaded.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.features.shape, digits.classes
    ((1797, 64), 10)
    """
    folder = directory or os.environ.get(DIRECTORY_VARIABLE)
    return _load(str(name_or_path), Path(folder) if folder else None)


def known_names() -> tuple[str, ...]:
    """Return the names that `load` knows, the embedded sets first."""
    return (*EMBEDDED, *PUBLISHED)


@lru_cache(maxsize=4)
def _load(name: str, directory: Path | None) -> Dataset:
    if name in EMBEDDED:
        return EMBEDDED[name]()
    if name in PUBLISHED:
        return load_published(name, directory)
    path = Path(name).expanduser()
    if path.is_file():
        return load_file(path)
    close = get_close_matches(name, known_names(), n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise ValueError(
        f"data set {name!r} is neither a known name{hint} nor an existing file; "
        f"give one of {', '.join(known_names())}, or the path of a LIBSVM file"
    )
