"""DIANA for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class DIANA(ErrorFeedbackStrategy):
    """DIANA (arXiv 1901.09269), for unbiased compressors.

    Parameters
    ----------
    compressor : Compressor
        Unbiased, for example ``UnbiasedRandK(0.01)`` or ``Natural()``.
    step_size, **options
        As in :class:`EF21`.
    rate : float, optional
        a in (0, 1]; 1/(1 + ω) by default.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        rate: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(methods.DIANA(rate), compressor, step_size=step_size, **options)
