"""DCGD for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class DCGD(ErrorFeedbackStrategy):
    """Compression without feedback; with ``Identity()`` it is distributed gradient descent.

    The server steps along the weighted mean of this round's messages. With a biased compressor
    it may diverge: it is here to compare with. Parameters are those of :class:`EF21`, without an
    initialisation.

    Examples
    --------
    >>> from fl_ef21 import DCGD, Identity
    >>> str(DCGD(Identity(), step_size=0.5, signal="gradient").method)
    'dcgd'
    """

    def __init__(
        self, compressor: Compressor, step_size: StepSizeRule = 1.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(methods.DCGD(), compressor, step_size=step_size, **options)
