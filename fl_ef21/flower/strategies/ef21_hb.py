"""EF21HB for Flower."""

from typing import Unpack

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.strategies.ef21 import EF21
from fl_ef21.methods.server import HeavyBall


class EF21HB(EF21):
    """EF21-HB (arXiv 2110.03294): EF21 with heavy-ball momentum on the server.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`, without ``server``.
    momentum : float
        η in [0, 1). There is no confirmed constant: the step size is the user's.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        momentum: float = 0.9,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        options["server"] = HeavyBall(momentum)
        super().__init__(compressor, step_size, initialisation=initialisation, **options)
