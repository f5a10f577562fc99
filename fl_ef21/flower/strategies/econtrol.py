"""EControl for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class EControl(ErrorFeedbackStrategy):
    """EControl (arXiv 2311.05645): error feedback whose feedback signal is weighed.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`.
    eta : float
        Weight η in [0, 1] of the accumulated error; 0 is EF21.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        eta: float = 0.01,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EControl(initialisation, eta)
        super().__init__(method, compressor, step_size=step_size, **options)
