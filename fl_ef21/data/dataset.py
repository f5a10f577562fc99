"""A data set in memory: sparse features, labels, and natural groups where it has them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, sparray, spmatrix


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of features with a label each.

    Parameters
    ----------
    name : str
        For messages and figures.
    features : csr_array of float64, shape (m, d)
        The rows.
    labels : ndarray of int64, shape (m,)
        −1 and +1 for two classes, 0, …, K − 1 for more.
    class_names : tuple of str
        What the labels stand for, in increasing order of the labels.
    """

    name: str
    features: csr_array
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, name: str, features: NDArray[Any] | sparray | spmatrix, labels: ArrayLike) -> Self:
        """Make a data set from features and labels of any values.

        Two values are mapped to −1 and +1, the smaller to −1; more to 0, …, K − 1.

        Raises
        ------
        ValueError
            If there is no row, a feature is NaN or infinite, the lengths differ, or all labels
            are the same.

        Examples
        --------
        >>> Dataset.of("tiny", np.eye(2), [1, 2]).labels
        array([-1,  1])
        """
        rows = csr_array(features).astype(np.float64)
        values, classes = np.unique(np.asarray(labels), return_inverse=True)
        if rows.shape[0] == 0 or rows.shape[0] != len(classes):
            raise ValueError(f"{name}: {rows.shape[0]} rows and {len(classes)} labels do not fit")
        if not np.isfinite(rows.data).all():
            entry = int(np.flatnonzero(~np.isfinite(rows.data))[0])
            row = int(np.searchsorted(rows.indptr, entry, side="right")) - 1
            raise ValueError(
                f"{name}: feature {rows.indices[entry]} of row {row} is {rows.data[entry]}; "
                f"remove the row or fill the value in"
            )
        if len(values) < 2:
            raise ValueError(f"{name}: all {len(classes)} labels are {values}; give two classes")
        mapped = 2 * classes - 1 if len(values) == 2 else classes
        return cls(name, rows, mapped.astype(np.int64), tuple(f"{value:g}" for value in values))

    def one_hot_groups(self, first: int, last: int) -> NDArray[np.int64]:
        """Return each row's group: which of the features ``first`` to ``last`` it has.

        Parameters
        ----------
        first, last : int
            Feature numbers from 1, both included, as LIBSVM files count them.

        Returns
        -------
        ndarray of int64, shape (m,)
            0, …, last − first, and last − first + 1 for rows that have none of them.

        Raises
        ------
        ValueError
            If the range does not lie within the features, or a row has several of them.
        """
        d = self.features.shape[1]
        if not 1 <= first < last <= d:
            raise ValueError(
                f"natural:{first}-{last} is no range of {self.name}'s features, 1 to {d}"
            )
        block = self.features[:, first - 1 : last].toarray() != 0
        if (block.sum(axis=1) > 1).any():
            raise ValueError(
                f"natural:{first}-{last}: row {int(np.argmax(block.sum(axis=1) > 1))} of "
                f"{self.name} has several of these features; choose a one-hot range"
            )
        return np.where(block.any(axis=1), block.argmax(axis=1), last - first + 1)
