"""EF21Prox for Flower."""

from typing import Unpack

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.strategies.ef21 import EF21
from fl_ef21.methods.server import ServerStep


class EF21Prox(EF21):
    """EF21-Prox (arXiv 2110.03294): EF21 for f + r with a convex r that the server knows.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`, without ``server``.
    prox : ServerStep
        ``Prox("l1", 0.01)``, ``Prox("l2", 0.01)`` or ``Box(-1, 1)``.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        prox: ServerStep,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        options["server"] = prox
        super().__init__(compressor, step_size, initialisation=initialisation, **options)
