"""Adam on the server: FedAdam of Reddi et al. 2020 (arXiv 2003.00295)."""

from math import sqrt

import numpy as np

from fl_ef21.methods.server.adaptive import Adaptive, forgetting
from fl_ef21.methods.server.step import Float64, ServerState

ROUNDS = "rounds"


class Adam(Adaptive):
    """v ← β₂ v + (1 − β₂) ḡ², with γ √(1 − β₂^(t+1)) / (1 − β₁^(t+1)) in round t for γ.

    The correction of γ is that of Flower's FedAdam, whose exponent is one above that of Kingma and
    Ba 2014 (arXiv 1412.6980); the paper's FedAdam has none.

    Parameters
    ----------
    beta_1, beta_2 : float
        In [0, 1).
    tau : float
        τ > 0.

    Examples
    --------
    >>> model, state = Adam(tau=0.001).step({}, np.array([1.0, 1.0]), np.array([0.1, -10.0]), 0.1)
    >>> model.round(2)
    array([0.93, 1.07])
    """

    name = "adam"

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.99, tau: float = 1e-3) -> None:
        super().__init__(beta_1, tau)
        self.beta_2 = forgetting("beta_2", beta_2)

    def step(
        self, state: ServerState, model: Float64, estimate: Float64, step_size: float
    ) -> tuple[Float64, ServerState]:
        """Return the next model, and the moments with the number of rounds."""
        rounds = float(state[ROUNDS][0]) + 1 if ROUNDS in state else 1.0
        corrected = sqrt(1 - self.beta_2 ** (rounds + 1)) / (1 - self.beta_1 ** (rounds + 1))
        moved, moments = super().step(state, model, estimate, step_size * corrected)
        return moved, {**moments, ROUNDS: np.array([rounds])}

    def second_moment(self, before: Float64, squared: Float64) -> Float64:
        """Return β₂ v + (1 − β₂) ḡ²."""
        return self.beta_2 * before + (1 - self.beta_2) * squared

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Return the names of the constructor's parameters."""
        return ("beta_1", "beta_2", "tau")
