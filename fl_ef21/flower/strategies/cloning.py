"""Cloning for Flower."""

from typing import Unpack

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.options import Options
from fl_ef21.flower.server.recipe import StepSizeRule
from fl_ef21.flower.server.weighting import Smoothness, SmoothnessWeights
from fl_ef21.flower.strategies.ef21_w import EF21W
from fl_ef21.theory import Constants, clone_counts


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
