"""What the study is to show, as numbers that are checked."""

from collections.abc import Sequence

from flwr.app import UserConfig
from task import PARAMETERS

from fl_ef21.comparison import (
    BOTH_WAYS,
    FEDAVG,
    FEEDBACK,
    WITHOUT,
    Check,
    Ending,
    Totals,
    at_least,
    at_most,
)


def ending(config: UserConfig) -> Ending:
    """Return how the study ends."""
    clients, share = int(config["clients"]), float(config["participation"])
    return Ending(
        study="shakespeare",
        title=f"Shakespeare, LSTM · {clients} speakers, {share:.0%} a round",
        baseline=FEDAVG,
        checks=checks,
        limits={},
        problem={"data": "tiny Shakespeare", "clients": clients, "dimension": PARAMETERS},
    )


def checks(totals: Totals) -> Sequence[Check]:
    """Return the numbers that were to be reached."""
    plain, ours, without, both = (totals[label] for label in (FEDAVG, FEEDBACK, WITHOUT, BOTH_WAYS))
    return [
        at_most("relative loss above FedAvg's", ours["loss"] / plain["loss"] - 1, 0.01),
        at_least("times fewer uplink bytes than FedAvg (payload)", ours["reduction"], 50),
        at_least(
            "relative loss of Top-k without feedback above ours",
            without["loss"] / ours["loss"] - 1,
            0.01,
        ),
        at_most(
            "both directions compressed: points of accuracy below FedAvg",
            100 * (plain["accuracy"] - both["accuracy"]),
            0.5,
        ),
        at_least(
            "both directions compressed: times fewer bytes in total", both["total_reduction"], 20
        ),
    ]
