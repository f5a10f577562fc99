"""Yogi on the server: FedYogi of Reddi et al. 2020 (arXiv 2003.00295)."""

import numpy as np

from fl_ef21.methods.server.adaptive import Adaptive, forgetting
from fl_ef21.methods.server.step import Float64


class Yogi(Adaptive):
    """v ← v − (1 − β₂) ḡ² sign(v − ḡ²): v changes by little, also where it is far from ḡ².

    Parameters
    ----------
    beta_1, beta_2 : float
        In [0, 1).
    tau : float
        τ > 0.

    Examples
    --------
    >>> Yogi(beta_1=0.0, beta_2=0.0, tau=1.0).step({}, np.array([1.0]), np.array([1.0]), 0.5)[0]
    array([0.75])
    """

    name = "yogi"

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.99, tau: float = 1e-3) -> None:
        super().__init__(beta_1, tau)
        self.beta_2 = forgetting("beta_2", beta_2)

    def second_moment(self, before: Float64, squared: Float64) -> Float64:
        """Return v − (1 − β₂) ḡ² sign(v − ḡ²)."""
        moved: Float64 = before - (1 - self.beta_2) * squared * np.sign(before - squared)
        return moved

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the constructor's parameters."""
        return ("beta_1", "beta_2", "tau")
