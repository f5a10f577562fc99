"""scikit-learn's own data sets: they come with the package and need no download."""

from collections.abc import Callable
from typing import Final

from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from fl_ef21.data.dataset import Dataset


def _digits() -> Dataset:
    features, labels = load_digits(return_X_y=True)
    return Dataset.of("digits", features / 16.0, labels)  # pixels are 0 to 16


def _breast_cancer() -> Dataset:
    features, labels = load_breast_cancer(return_X_y=True)
    return Dataset.of("breast-cancer", StandardScaler().fit_transform(features), labels)


def _wine() -> Dataset:
    features, labels = load_wine(return_X_y=True)
    return Dataset.of("wine", StandardScaler().fit_transform(features), labels)


EMBEDDED_SETS: Final[dict[str, Callable[[], Dataset]]] = {
    "breast-cancer": _breast_cancer,
    "digits": _digits,
    "wine": _wine,
}
"""569 × 30 with 2 classes, 1797 × 64 with 10, 178 × 13 with 3."""
