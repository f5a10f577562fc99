"""The natural owners of rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.partition_spec import Natural


def natural_owners(dataset: Dataset, spec: Natural) -> NDArray[np.int64]:
    """Return each row's owner, shape (m,): its group, or the one-hot feature that it has.

    Rows with no feature of the range, such as a9a's people without a known occupation, have
    the largest number.

    Raises
    ------
    ValueError
        If the data set has no groups, or the range is beyond its features or is not one-hot.
    """
    if spec.first is not None and spec.last is not None:
        return _one_hot_owners(dataset, spec.first, spec.last)
    if dataset.groups is None:
        raise ValueError(
            f"{dataset.name} has no natural groups; choose another partition, or a range of "
            f"one-hot features as in natural:47-60"
        )
    return dataset.groups


def _one_hot_owners(dataset: Dataset, first: int, last: int) -> NDArray[np.int64]:
    rows, features = dataset.features.shape
    if last > features:
        raise ValueError(
            f"natural:{first}-{last} goes beyond the {features} features of {dataset.name}; "
            f"give a range in 1-{features}"
        )
    block = csr_array(dataset.features[:, first - 1 : last]).tocoo()
    row, column = block.row[block.data != 0], block.col[block.data != 0]
    several = np.flatnonzero(np.bincount(row, minlength=rows) > 1)
    if several.size:
        raise ValueError(
            f"natural:{first}-{last} is not one-hot in {dataset.name}: row {several[0]} (counted "
            f"from 0) has more than one of these features; give a range of which it has one"
        )
    owners = np.full(rows, last - first + 1, dtype=np.int64)
    owners[row] = column
    return owners
