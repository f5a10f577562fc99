"""EF21PAGE for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class EF21PAGE(ErrorFeedbackStrategy):
    """EF21-PAGE (arXiv 2110.03294): EF21 on a variance-reduced gradient.

    The mod calls the app twice, at the model and at that of the client's last message, with equal
    configs; the app draws its minibatch from the config's ``minibatch-seed`` and uses all rows if
    ``full-gradient`` is true.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`.
    probability : float
        p in (0, 1] of a round with whole gradients.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        probability: float = 0.1,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EF21PAGE(initialisation, probability)
        super().__init__(method, compressor, step_size=step_size, **options)
