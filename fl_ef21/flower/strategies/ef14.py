"""EF14 for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class EF14(ErrorFeedbackStrategy):
    """Classic error feedback (arXiv 1809.07599): what was not sent is added to the next step.

    Parameters are those of :class:`EF21`, without an initialisation.
    """

    def __init__(
        self, compressor: Compressor, step_size: StepSizeRule = 1.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(methods.EF14(), compressor, step_size=step_size, **options)
