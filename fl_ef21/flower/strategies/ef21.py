"""EF21 for Flower."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.strategy import ErrorFeedbackStrategy


class EF21(ErrorFeedbackStrategy):
    """EF21 (arXiv 2106.05203), and EF21-PP (arXiv 2110.03294) when ``fraction_train`` < 1.

    Clients send the compressed difference between their signal and the estimate that the server
    holds of it. The server steps along the weighted mean of the estimates of all clients that
    have joined, silent ones included; weights are the clients' ``num-examples``, as in FedAvg.
    With minibatch gradients it is EF21-SGD.

    Parameters
    ----------
    compressor : Compressor
        Contractive, for example ``TopK(0.01)``.
    step_size : float or {"theory", "published", "2021", "auto"}
        γ > 0, or how to find it; the words "theory", "published" and "2021" need ``constants``.
        For model updates 1.0 is FedAvg's server step (empirical: no theorem covers local training
        here).
    initialisation : {"compressed", "full", "zero"}
        A client's first estimate; see :class:`fl_ef21.methods.EF21`. ``full`` costs one dense
        upload a client.
    **options
        ``constants``, ``signal``, ``scope``, ``exact_below``, ``server``, ``downlink``, ``seed``
        and FedAvg's arguments; see :class:`ErrorFeedbackStrategy`.

    Examples
    --------
    >>> from fl_ef21 import EF21, TopK
    >>> strategy = EF21(compressor=TopK(ratio=0.01), fraction_train=1.0)
    >>> str(strategy.method), str(strategy.compressor), strategy.step_size
    ('ef21:compressed', 'topk:0.01', 1.0)
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EF21(initialisation)
        super().__init__(method, compressor, step_size=step_size, **options)
