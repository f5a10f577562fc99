"""EF21W for Flower."""

from collections.abc import Mapping
from typing import Unpack

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.checking import CheckedReply, RejectedError
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.resuming import told
from fl_ef21.flower.server.weighting import (
    REPORTED,
    SMOOTHNESS_KEY,
    Smoothness,
    SmoothnessWeights,
)
from fl_ef21.flower.strategies.ef21 import EF21
from fl_ef21.methods import Snapshot


class EF21W(EF21):
    """EF21-W (Reloaded, arXiv 2402.10774): weights wᵢ = Lᵢ/ΣL in place of 1/n.

    Clients send differences of their signals times 1/(n wᵢ), and the server steps along Σ wᵢ gᵢ.
    As long as only some have joined it is the mean over these of n wᵢ gᵢ, with the scale that each
    was told last, which the paper does not need (derived here). With a positively homogeneous
    compressor, such as Top-k, and constants that are given, the iterates are those of EF21: what
    differs is the step size that theory allows. All clients count alike in f.

    Parameters
    ----------
    compressor, step_size, initialisation, **options
        As in :class:`EF21`.
    smoothness : mapping, sequence or "reported"
        Lᵢ by client key or by partition id, or as clients report it, which needs mirrors: see
        :class:`~fl_ef21.flower.server.weighting.SmoothnessWeights`.

    Raises
    ------
    ValueError
        If an argument is out of range, or clients report constants and there are no mirrors.

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
        # A client that was told 1 and then L_AM/Lᵢ has to be weighed anew.
        if self.smoothness.reported and options.get("mirror") == "off":
            raise ValueError(
                "smoothness='reported' changes the scale of a client that has joined, which "
                "mirror='off' cannot follow; give the constants, or mirror='ram' or 'disk'"
            )

    variant = "ef21-w"

    @property
    def needs_names(self) -> bool:
        """Yes: a client's scale is its own."""
        return True

    def own_snapshot(self) -> Snapshot:
        """Return the constants that clients have reported."""
        return self.smoothness.snapshot()

    def own_settings(self) -> Mapping[str, object]:
        """Return the constants that were given, or the word for reported ones."""
        known = self.smoothness
        return {"smoothness": REPORTED if known.reported else told(dict(known.items()))}

    def restore_own(self, snapshot: Snapshot) -> None:
        """Take them from a checkpoint."""
        self.smoothness.restore(snapshot)

    def scale_of(self, client: str) -> float:
        """Return 1/(n wᵢ) = L_AM/Lᵢ."""
        return self.smoothness.mean() / self.smoothness.of(client)

    def weight_of(self, reply: CheckedReply) -> float:
        """Return 1, and learn Lᵢ for the next scale: this reply was made with the one before."""
        if self.smoothness.reported:
            try:
                self.smoothness.learn(reply.about.client, reply.metrics.get(SMOOTHNESS_KEY))
            except ValueError as error:
                raise RejectedError(str(error)) from error
        return 1.0
