"""EF21Plus for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class EF21Plus(ErrorFeedbackStrategy):
    """EF21+ (arXiv 2106.05203): the better of a compressed difference and a compressed signal.

    Parameters are those of :class:`EF21`; the compressor has to be deterministic.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EF21Plus(initialisation)
        super().__init__(method, compressor, step_size=step_size, **options)
