"""Data sets that come with scikit-learn and need no download."""
# scikit-learn takes more than a second to import, and only this needs it.
# ruff: noqa: PLC0415

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.data.dataset import Dataset


def load_digits() -> Dataset:
    """Return 1,797 images of handwritten digits, 64 grey values in [0, 1], 10 classes."""
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    return Dataset.from_arrays("digits", pixels / 16, labels)


def load_breast_cancer() -> Dataset:
    """Return 569 tumours, 30 standardised measurements, malignant (−1) or benign (+1)."""
    from sklearn import datasets

    table = datasets.load_breast_cancer()
    return Dataset.from_arrays(
        "breast-cancer",
        _standardised(table.data),
        table.target,
        class_names=tuple(map(str, table.target_names)),
    )


def load_wine() -> Dataset:
    """Return 178 wines, 13 standardised measurements, 3 cultivars."""
    from sklearn import datasets

    measurements, labels = datasets.load_wine(return_X_y=True)
    return Dataset.from_arrays("wine", _standardised(measurements), labels)


EMBEDDED: Final[Mapping[str, Callable[[], Dataset]]] = MappingProxyType(
    {"digits": load_digits, "breast-cancer": load_breast_cancer, "wine": load_wine}
)


def _standardised(table: NDArray[np.float64]) -> NDArray[np.float64]:
    standardised: NDArray[np.float64] = (table - table.mean(axis=0)) / table.std(axis=0)
    return standardised
