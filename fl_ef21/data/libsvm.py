"""Reading LIBSVM text files."""
# scikit-learn takes more than a second to import, and only this needs it.
# ruff: noqa: PLC0415

from pathlib import Path

from fl_ef21.data.dataset import Dataset


def load_libsvm(path: Path, n_features: int | None = None) -> Dataset:
    """Read a LIBSVM text file, plain or compressed as ``.gz`` or ``.bz2``.

    A ``qid:`` field, if rows have one, becomes the row's natural group.

    Parameters
    ----------
    path : Path
        The file. Its name without the compression's suffix becomes the data set's name.
    n_features : int, optional
        Number of columns; without it, the largest index in the file. With it, indices count
        from 1, as LIBSVM's own files do; without it, from 0 if the file has an index 0.

    Raises
    ------
    ValueError
        If the file is not of this form, or has an index above ``n_features``.
    OSError
        If the file cannot be read.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        features, labels, queries = load_svmlight_file(
            str(path),
            n_features=n_features,
            zero_based="auto" if n_features is None else False,
            query_id=True,
        )
    except ValueError as error:
        limit = "" if n_features is None else f" of at most {n_features} features"
        raise ValueError(
            f"{path} is not a LIBSVM text file{limit}: {error}; "
            f"each line is 'label index:value index:value ...' with rising indices"
        ) from error
    name = path.name.removesuffix(".bz2").removesuffix(".gz")
    groups = queries if len(queries) else None
    return Dataset.from_arrays(name, features, labels, groups=groups)
