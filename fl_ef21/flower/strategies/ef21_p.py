"""EF21P for Flower."""

from typing import Unpack

from fl_ef21.compressors import Compressor, Identity
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.strategies.dcgd import DCGD
from fl_ef21.methods import downlink


class EF21P(DCGD):
    """EF21-P (arXiv 2209.15218): a compressed model downlink, and whole gradients by default.

    Clients compute at w, which follows the server's model by compressed differences.

    Parameters
    ----------
    downlink_compressor : Compressor
        Contractive; what the server compresses with.
    step_size, **options
        As in :class:`EF21`, without ``downlink``. For compressed uplinks give
        ``downlink=fl_ef21.methods.downlink.EF21P(...)`` to another strategy.
    """

    def __init__(
        self,
        downlink_compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        **options: Unpack[Options],
    ) -> None:
        options["downlink"] = downlink.EF21P(downlink_compressor)
        super().__init__(Identity(), step_size, **options)
