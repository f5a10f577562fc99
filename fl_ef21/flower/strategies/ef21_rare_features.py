"""EF21RareFeatures for Flower."""

from typing import Unpack

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.strategies.ef21 import EF21


class EF21RareFeatures(EF21):
    """EF21 for rare features (arXiv 2305.15264): clients compress the coordinates that they own.

    A client owns the coordinates on which its signal has ever been non-zero. It tells the server
    once, and again if there are more; positions are then counted within them, and Top-k contracts
    with α = k/rᵢ in place of k/d. A regulariser that touches all coordinates belongs on the server:
    ``server=fl_ef21.methods.server.Regularised("nonconvex", 0.1)``.

    Parameters are those of :class:`EF21`; arrays are compressed as one vector, and the messages of
    the compressor have to be dense or sparse.

    Examples
    --------
    >>> from fl_ef21 import EF21RareFeatures, TopK
    >>> EF21RareFeatures(TopK(1), 0.1, signal="gradient").variant
    'ef21-rf'
    """

    variant = "ef21-rf"
    uses_supports = True

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        apart = options.get("exact_below", 0) or options.get("layers")
        if options.get("scope", "global") != "global" or apart:
            raise ValueError(
                "EF21 for rare features compresses all arrays as one vector; "
                "leave scope, exact_below and layers out"
            )
        super().__init__(compressor, step_size, initialisation=initialisation, **options)
