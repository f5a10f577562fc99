"""A data set in memory: sparse features, encoded labels, and the rows' natural groups."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse, sparray, spmatrix


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows with labels.

    Parameters
    ----------
    name : str
        What to call it in messages and figures.
    features : csr_array of float64, shape (m, d)
        The rows.
    labels : ndarray of int64, shape (m,)
        −1 and +1 for two classes, 0 to K − 1 for more.
    class_names : tuple of str, length K
        The classes' original labels, in the order of ``labels``.
    groups : ndarray of int64, shape (m,), optional
        The natural owner of each row, such as a writer or a hospital, counted from 0.
    group_names : tuple of str, optional
        A name for each group; none by default.

    Raises
    ------
    ValueError
        If there are no rows, a feature is not finite, a label is no class, or shapes do not fit.

    Examples
    --------
    >>> dataset = Dataset.from_arrays("tiny", [[0.0, 1.0], [2.0, 0.0]], [2, 1])
    >>> dataset.labels.tolist(), dataset.class_names
    ([1, -1], ('1', '2'))
    """

    name: str
    features: csr_array
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    groups: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows, columns = self.features.shape
        if rows == 0 or columns == 0:
            raise ValueError(
                f"data set {self.name!r} has {rows} rows and {columns} features; "
                f"give at least one of each"
            )
        _check_length(self, "labels", self.labels)
        _check_labels(self)
        if self.groups is not None:
            _check_length(self, "groups", self.groups)
            if self.group_names and len(self.group_names) <= self.groups.max():
                raise ValueError(
                    f"data set {self.name!r} has {len(self.group_names)} group names for groups "
                    f"up to {self.groups.max()}; give one name per group, or none"
                )
        if self.features.dtype != np.float64:
            raise ValueError(
                f"data set {self.name!r} has features of dtype {self.features.dtype}; "
                f"convert them with astype(float)"
            )
        _check_finite(self)

    @classmethod
    def from_arrays(
        cls,
        name: str,
        features: ArrayLike | spmatrix | sparray,
        labels: ArrayLike,
        *,
        class_names: tuple[str, ...] = (),
        groups: ArrayLike | None = None,
    ) -> Self:
        """Build a data set from a matrix and labels of any values.

        Parameters
        ----------
        name : str
            What to call it.
        features : array_like or sparse matrix, shape (m, d)
            Converted to CSR and float64.
        labels : array_like of numbers, shape (m,)
            Two different values become −1 and +1, the smaller one −1; more become 0 to K − 1.
        class_names : tuple of str, optional
            Names of the sorted values; the values themselves by default.
        groups : array_like, shape (m,), optional
            Natural owners of the rows, of any values.

        Raises
        ------
        ValueError
            If the labels are not finite, have one value only, or have more than two that are
            not whole numbers; or for the reasons of `Dataset`.
        """
        encoded, values = encode_labels(name, np.asarray(labels))
        owners: NDArray[np.int64] | None = None
        owner_names: tuple[str, ...] = ()
        if groups is not None:
            unique, inverse = np.unique(np.asarray(groups), return_inverse=True)
            owners, owner_names = inverse.astype(np.int64), tuple(map(str, unique.tolist()))
        matrix = csr_array(features if issparse(features) else np.asarray(features))
        return cls(
            name, matrix.astype(np.float64), encoded, class_names or values, owners, owner_names
        )

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)


def encode_labels(name: str, labels: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels as −1 and +1, or as 0 to K − 1, and the original values as text."""
    if labels.size == 0:
        raise ValueError(f"data set {name!r} has no rows; give at least one")
    if not np.isfinite(labels).all():
        row = int(np.flatnonzero(~np.isfinite(labels))[0])
        raise ValueError(
            f"data set {name!r} has the label {labels[row]} in row {row} (counted from 0); "
            f"remove the row"
        )
    values, inverse = np.unique(labels, return_inverse=True)
    if len(values) == 1:
        raise ValueError(
            f"data set {name!r} has the one label {values[0]:g} only; "
            f"classification needs two or more"
        )
    if len(values) == 2:
        inverse = 2 * inverse - 1
    elif (values != np.floor(values)).any():
        raise ValueError(
            f"data set {name!r} has {len(values)} labels that are not whole numbers, such as "
            f"{values[values != np.floor(values)][0]:g}; give classes, not a regression's targets"
        )
    return inverse.astype(np.int64), tuple(f"{value:g}" for value in values)


def _check_length(dataset: Dataset, what: str, array: NDArray[np.int64]) -> None:
    rows = dataset.features.shape[0]
    if array.shape != (rows,):
        raise ValueError(
            f"data set {dataset.name!r} has {rows} rows and {what} of shape {array.shape}; "
            f"give one per row"
        )


def _check_labels(dataset: Dataset) -> None:
    allowed = [-1, 1] if dataset.classes == 2 else list(range(dataset.classes))
    bad = np.flatnonzero(~np.isin(dataset.labels, allowed))
    if bad.size:
        raise ValueError(
            f"data set {dataset.name!r} has the label {dataset.labels[bad[0]]} in row {bad[0]} "
            f"(counted from 0), but the labels of {dataset.classes} classes are "
            f"{'-1 and +1' if dataset.classes == 2 else f'0 to {dataset.classes - 1}'}; "
            f"Dataset.from_arrays encodes labels of any values"
        )


def _check_finite(dataset: Dataset) -> None:
    features = dataset.features
    bad = np.flatnonzero(~np.isfinite(features.data))
    if bad.size:
        row = int(np.searchsorted(features.indptr, bad[0], side="right")) - 1
        raise ValueError(
            f"data set {dataset.name!r} has {features.data[bad[0]]} in row {row}, column "
            f"{features.indices[bad[0]]} (counted from 0), one of {bad.size} such entries; "
            f"remove the rows or fill the gaps"
        )
