"""DASHA for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class DASHA(ErrorFeedbackStrategy):
    """DASHA (arXiv 2202.01268), for unbiased compressors and whole gradients.

    Parameters
    ----------
    compressor, step_size, **options
        As in :class:`DIANA`.
    rate : float, optional
        a in (0, 1]; 1/(2ω + 1) by default.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        rate: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(methods.DASHA(rate), compressor, step_size=step_size, **options)
