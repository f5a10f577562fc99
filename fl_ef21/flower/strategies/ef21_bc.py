"""EF21BC for Flower."""

from typing import Unpack

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.strategies.ef21 import EF21
from fl_ef21.methods import downlink


class EF21BC(EF21):
    """EF21-BC (arXiv 2110.03294): EF21 compressed in both directions.

    Clients keep the model and the direction, and get the compressed change of the direction. New
    and returning clients get both whole.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`, without ``server`` and ``downlink``.
    downlink_compressor : Compressor
        Contractive; what the server compresses with.

    Examples
    --------
    >>> from fl_ef21 import EF21BC, TopK
    >>> str(EF21BC(TopK(0.01), downlink_compressor=TopK(0.1)).model.downlink)
    'ef21-bc:topk:0.1'
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        downlink_compressor: Compressor,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        options["downlink"] = downlink.EF21BC(downlink_compressor)
        super().__init__(compressor, step_size, initialisation=initialisation, **options)
