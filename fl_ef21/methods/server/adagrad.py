"""Adagrad on the server: FedAdagrad of Reddi et al. 2020 (arXiv 2003.00295)."""

from fl_ef21.methods.server.adaptive import Adaptive
from fl_ef21.methods.server.step import Float64


class Adagrad(Adaptive):
    """v ← v + ḡ², without momentum: γ m / (√v + τ) with m = ḡ.

    Parameters
    ----------
    tau : float
        τ > 0.

    Examples
    --------
    >>> import numpy as np
    >>> Adagrad(tau=1.0).step({}, np.array([1.0]), np.array([1.0]), 0.5)[0]
    array([0.75])
    """

    name = "adagrad"

    def __init__(self, tau: float = 1e-3) -> None:
        super().__init__(beta_1=0.0, tau=tau)

    def second_moment(self, before: Float64, squared: Float64) -> Float64:
        """Return v + ḡ²."""
        return before + squared

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the constructor's parameters."""
        return ("tau",)
