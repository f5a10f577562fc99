"""One strategy a method: a few lines on top of the shared one."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor
from fl_ef21.flower.strategy import ErrorFeedbackStrategy, FedAvgArguments


class EF21(ErrorFeedbackStrategy):
    """EF21 (arXiv 2106.05203), and EF21-PP (arXiv 2110.03294) when ``fraction_train`` < 1.

    Clients send the compressed difference between their signal and the estimate that the server
    holds of it. The server steps along the weighted mean of the estimates of all clients that
    have joined, silent ones included; weights are the clients' ``num-examples``, as in FedAvg.

    Parameters
    ----------
    compressor : Compressor
        Contractive, for example ``TopK(0.01)``.
    step_size : float
        γ > 0. For gradients the theory steps are in :mod:`fl_ef21.theory`; for model updates 1.0
        is FedAvg's server step (empirical: no theorem covers local training here).
    initialisation : {"compressed", "full", "zero"}
        A client's first estimate; see :class:`fl_ef21.methods.EF21`. ``full`` costs one dense
        upload a client.
    signal : {"update", "gradient"}
        Whether the client app returns updated arrays or gradients.
    seed : int
        In [0, 2^63).
    **fedavg
        FedAvg's arguments, with its names, meanings and defaults.

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
        step_size: float = 1.0,
        *,
        initialisation: str = "compressed",
        signal: str = "update",
        seed: int = 0,
        **fedavg: Unpack[FedAvgArguments],
    ) -> None:
        super().__init__(
            methods.EF21(initialisation),
            compressor,
            step_size=step_size,
            signal=signal,
            seed=seed,
            **fedavg,
        )


class DCGD(ErrorFeedbackStrategy):
    """Compression without feedback; with ``Identity()`` it is distributed gradient descent.

    The server steps along the weighted mean of this round's messages. With a biased compressor
    it may diverge: it is here to compare with. Parameters are those of :class:`EF21`.

    Examples
    --------
    >>> from fl_ef21 import DCGD, Identity
    >>> str(DCGD(Identity(), step_size=0.5, signal="gradient").method)
    'dcgd'
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: float = 1.0,
        *,
        signal: str = "update",
        seed: int = 0,
        **fedavg: Unpack[FedAvgArguments],
    ) -> None:
        super().__init__(
            methods.DCGD(), compressor, step_size=step_size, signal=signal, seed=seed, **fedavg
        )
