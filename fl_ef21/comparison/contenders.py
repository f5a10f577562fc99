"""The usual contenders: Flower's own strategies, Top-k with and without feedback, both ways."""

from collections.abc import Mapping
from typing import Any, Final

from flwr.serverapp.strategy import FedAdam, FedAvg

from fl_ef21.comparison.running import Contender
from fl_ef21.compressors import from_text
from fl_ef21.engine.studies import Setting
from fl_ef21.flower import DCGD, EF21, Metered
from fl_ef21.methods import downlink as downlinks

FEDAVG: Final = "FedAvg"
FEDADAM: Final = "FedAdam"
WITHOUT: Final = "no feedback"
FEEDBACK: Final = "EF21"
BOTH_WAYS: Final = "EF21 both ways"


def usual_contenders(
    config: Mapping[str, Setting], more: Mapping[str, Any] | None = None
) -> list[Contender]:
    """Return what every study compares, FedAvg first.

    Flower's strategies reach the train function ``plain`` of the app, which has no mod.

    Parameters
    ----------
    config : mapping
        ``participation``, ``compressor``, ``downlink`` (as in ``ef21-p:topk:0.01``), and
        ``adam-rate``, the step size of FedAdam's server.
    more : mapping, optional
        Further arguments of the strategies of this library.
    """
    compressor, downlink = from_text(str(config["compressor"])), str(config["downlink"])
    share, rate = float(config["participation"]), float(config["adam-rate"])
    everybody: dict[str, Any] = {
        "fraction_evaluate": 0.0,
        "min_available_nodes": int(config["clients"]),
        "min_train_nodes": 1,
    }

    def metered(strategy: FedAvg, seed: int) -> Metered:
        return Metered(strategy, participation=share, action="plain", seed=seed)

    def options(seed: int) -> dict[str, Any]:
        return {"seed": seed, "fraction_train": share, **everybody, **(more or {})}

    # Flower's strategies are shown only the nodes that were drawn.
    drawn = {**everybody, "min_available_nodes": 1}
    return [
        Contender(FEDAVG, lambda seed: metered(FedAvg(**drawn), seed)),
        Contender(FEDADAM, lambda seed: metered(FedAdam(eta=rate, **drawn), seed)),
        Contender(WITHOUT, lambda seed: DCGD(compressor, **options(seed))),
        Contender(FEEDBACK, lambda seed: EF21(compressor, **options(seed))),
        Contender(
            BOTH_WAYS,
            lambda seed: EF21(compressor, downlink=downlinks.from_text(downlink), **options(seed)),
        ),
    ]
