"""What the study is to show, as numbers that are checked."""

from collections.abc import Sequence

from flwr.app import UserConfig

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
from fl_ef21.data import partition_from_text


def ending(config: UserConfig) -> Ending:
    """Return how the study ends."""
    partition = str(partition_from_text(str(config["partition"])))
    clients, share = int(config["clients"]), float(config["participation"])
    return Ending(
        study="mnist",
        title=f"MNIST, CNN · {partition} · {clients} clients, {share:.0%} a round",
        baseline=FEDAVG,
        checks=checks,
        limits={"accuracy": (0.8, 1.0), "loss": (0.0, 0.7)},
        problem={"data": "mnist", "clients": clients, "partition": partition, "dimension": 140138},
    )


def checks(totals: Totals) -> Sequence[Check]:
    """Return the numbers that were to be reached."""
    plain, ours, without, both = (totals[label] for label in (FEDAVG, FEEDBACK, WITHOUT, BOTH_WAYS))
    points = 100 * (plain["accuracy"] - ours["accuracy"])
    return [
        at_most("points of accuracy below FedAvg after the same rounds", points, 0.2),
        at_least("times fewer uplink bytes than FedAvg (payload)", ours["reduction"], 100),
        at_least(
            "points of accuracy above Top-k without feedback",
            100 * (ours["accuracy"] - without["accuracy"]),
            0.5,
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
