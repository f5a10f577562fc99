"""MARINA for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class MARINA(ErrorFeedbackStrategy):
    """MARINA (arXiv 2102.07845), for unbiased compressors and whole gradients.

    Parameters
    ----------
    compressor, step_size, **options
        As in :class:`DIANA`.
    probability : float, optional
        p in (0, 1] of a round in which gradients are sent whole; 1/(1 + ω) by default.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        probability: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(methods.MARINA(probability), compressor, step_size=step_size, **options)
