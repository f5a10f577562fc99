"""One strategy a method: a few lines on top of the shared one."""

from typing import Unpack

from fl_ef21 import methods
from fl_ef21.compressors import Compressor, Identity
from fl_ef21.flower.ledger import CheckedReply, RejectedError
from fl_ef21.flower.options import Options
from fl_ef21.flower.stepping import StepSizeRule
from fl_ef21.flower.strategy import ErrorFeedbackStrategy
from fl_ef21.flower.weighting import SMOOTHNESS_KEY, Smoothness, SmoothnessWeights
from fl_ef21.methods import downlink
from fl_ef21.methods.server import HeavyBall, ServerStep
from fl_ef21.theory import Constants, clone_counts


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


class EF21Plus(ErrorFeedbackStrategy):
    """EF21+ (arXiv 2106.05203): the better of a compressed difference and a compressed signal.

    Parameters are those of :class:`EF21`; the compressor has to be deterministic.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EF21Plus(initialisation)
        super().__init__(method, compressor, step_size=step_size, **options)


class EF21W(EF21):
    """EF21-W (Reloaded, arXiv 2402.10774): weights wᵢ = Lᵢ/ΣL in place of 1/n.

    Clients send differences of their signals times 1/(n wᵢ), and the server steps along Σ wᵢ gᵢ.
    With a positively homogeneous compressor, such as Top-k, the iterates are those of EF21: what
    differs is the step size that theory allows. All clients count alike in f.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`.
    smoothness : mapping, sequence or "reported"
        Lᵢ by client key or by partition id, or as clients report it: see
        :class:`~fl_ef21.flower.weighting.SmoothnessWeights`.

    Examples
    --------
    >>> from fl_ef21 import EF21W, TopK
    >>> strategy = EF21W(TopK(1), 0.1, smoothness=[1.0, 3.0], signal="gradient")
    >>> strategy.scale_of("partition-id=1")
    0.6666666666666666
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        smoothness: Smoothness,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        super().__init__(compressor, step_size, initialisation=initialisation, **options)
        self.smoothness = SmoothnessWeights(smoothness)

    variant = "ef21-w"

    @property
    def needs_names(self) -> bool:
        """Yes: a client's scale is its own."""
        return True

    def scale_of(self, client: str) -> float:
        """Return 1/(n wᵢ) = L_AM/Lᵢ."""
        return self.smoothness.mean() / self.smoothness.of(client)

    def weight_of(self, reply: CheckedReply) -> float:
        """Return Lᵢ: weights need not sum to 1."""
        client = reply.about.client
        try:
            if self.smoothness.reported:
                self.smoothness.learn(client, reply.metrics.get(SMOOTHNESS_KEY))
            return self.smoothness.of(client)
        except ValueError as error:
            raise RejectedError(str(error)) from error


class Cloning(EF21W):
    """The cloning reformulation, Reloaded's first step: client i stands for Nᵢ = ⌈Lᵢ/L_AM⌉ copies.

    The Nᵢ clones of a client start alike and see the same signal, so that with a deterministic
    compressor they stay alike and one of them is enough: weight Nᵢ/N and scale N/(n Nᵢ) (derived
    here). Parameters are those of :class:`EF21W`, with constants that are given.
    """

    variant = "cloning"

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        smoothness: Smoothness,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        if compressor.random:
            raise ValueError(
                f"cloning needs a deterministic compressor, got {compressor}: clones that draw "
                f"differ; for example topk"
            )
        given = SmoothnessWeights(smoothness)
        if given.reported:
            raise ValueError("cloning needs constants that are given, not reported ones")
        values = dict(given.items())
        known = Constants(L=given.mean(), L_i=list(values.values()))
        clones = dict(zip(values, clone_counts(known), strict=True))
        super().__init__(
            compressor, step_size, smoothness=clones, initialisation=initialisation, **options
        )


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
        if options.get("scope", "global") != "global" or options.get("exact_below", 0):
            raise ValueError(
                "EF21 for rare features compresses all arrays as one vector; "
                "leave scope and exact_below out"
            )
        super().__init__(compressor, step_size, initialisation=initialisation, **options)


class EF21SGDM(ErrorFeedbackStrategy):
    """EF21-SGDM (arXiv 2305.15155): EF21 on a momentum of stochastic gradients.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`.
    eta : float
        Weight η in (0, 1] of the newest gradient; 1 is EF21.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        eta: float = 0.1,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EF21SGDM(initialisation, eta)
        super().__init__(method, compressor, step_size=step_size, **options)


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


class EControl(ErrorFeedbackStrategy):
    """EControl (arXiv 2311.05645): error feedback whose feedback signal is weighed.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`.
    eta : float
        Weight η in [0, 1] of the accumulated error; 0 is EF21.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        eta: float = 0.01,
        initialisation: str = "compressed",
        **options: Unpack[Options],
    ) -> None:
        method = methods.EControl(initialisation, eta)
        super().__init__(method, compressor, step_size=step_size, **options)


class EF14(ErrorFeedbackStrategy):
    """Classic error feedback (arXiv 1809.07599): what was not sent is added to the next step.

    Parameters are those of :class:`EF21`, without an initialisation.
    """

    def __init__(
        self, compressor: Compressor, step_size: StepSizeRule = 1.0, **options: Unpack[Options]
    ) -> None:
        super().__init__(methods.EF14(), compressor, step_size=step_size, **options)


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


class DIANA(ErrorFeedbackStrategy):
    """DIANA (arXiv 1901.09269), for unbiased compressors.

    Parameters
    ----------
    compressor : Compressor
        Unbiased, for example ``UnbiasedRandK(0.01)`` or ``Natural()``.
    step_size, **options
        As in :class:`EF21`.
    rate : float, optional
        a in (0, 1]; 1/(1 + ω) by default.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        rate: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(methods.DIANA(rate), compressor, step_size=step_size, **options)


class MARINA(ErrorFeedbackStrategy):
    """MARINA (arXiv 2102.07845), for unbiased compressors and whole gradients.

    Parameters
    ----------
    compressor, step_size, **options
        As in :class:`DIANA`.
    probability : float, optional
        p in (0, 1] of a round in which gradients are sent whole; 1/(1 + ω) by default.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        probability: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(methods.MARINA(probability), compressor, step_size=step_size, **options)


class DASHA(ErrorFeedbackStrategy):
    """DASHA (arXiv 2202.01268), for unbiased compressors and whole gradients.

    Parameters
    ----------
    compressor, step_size, **options
        As in :class:`DIANA`.
    rate : float, optional
        a in (0, 1]; 1/(2ω + 1) by default.
    """

    def __init__(
        self,
        compressor: Compressor,
        step_size: StepSizeRule = 1.0,
        *,
        rate: float | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(methods.DASHA(rate), compressor, step_size=step_size, **options)


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
