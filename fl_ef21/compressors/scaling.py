"""Values scaled up, as unbiased selections need it."""

import numpy as np

from fl_ef21.compressors.compressor import Compressor
from fl_ef21.compressors.message import Vector


def scaled_up(values: Vector, factor: float, compressor: Compressor, remedy: str) -> Vector:
    """Return ``factor`` times the values.

    Raises
    ------
    ValueError
        If a product overflows; the text names the compressor and the remedy.
    """
    with np.errstate(over="ignore"):
        products = values * values.dtype.type(factor)
    if not np.isfinite(products).all():
        raise ValueError(
            f"{compressor}: a value times {factor:g} overflows {values.dtype}; {remedy}"
        )
    return products
