"""The contenders: Flower's own strategies, Top-k with and without feedback, both directions."""

from typing import Any

from flwr.app import UserConfig
from flwr.serverapp.strategy import FedAdam, FedAvg

from fl_ef21 import DCGD, EF21, TopK
from fl_ef21.comparison import Contender
from fl_ef21.compressors import from_text
from fl_ef21.flower import Metered
from fl_ef21.methods.downlink import EF21P

BASELINE = "FedAvg"
FEEDBACK = "EF21-PP"
WITHOUT = "no feedback"
BOTH_WAYS = "EF21-PP, both ways"


def contenders(config: UserConfig) -> list[Contender]:
    """Return what is compared, the baseline first."""
    compressor = from_text(str(config["compressor"]))
    share = float(config["participation"])
    alone: dict[str, Any] = {"fraction_evaluate": 0.0, "min_available_nodes": 1}
    everybody = {**alone, "min_train_nodes": 1}

    def options(seed: int) -> dict[str, Any]:
        return {"seed": seed, "fraction_train": share, **everybody}

    def metered(strategy: FedAvg, seed: int) -> Metered:
        return Metered(strategy, participation=share, action="plain", seed=seed)

    return [
        Contender(BASELINE, lambda seed: metered(FedAvg(**everybody), seed)),
        Contender("FedAdam", lambda seed: metered(FedAdam(eta=0.01, **everybody), seed)),
        Contender(WITHOUT, lambda seed: DCGD(compressor, **options(seed))),
        Contender(FEEDBACK, lambda seed: EF21(compressor, **options(seed))),
        Contender(
            BOTH_WAYS,
            lambda seed: EF21(compressor, downlink=EF21P(TopK(0.1)), **options(seed)),
        ),
    ]
