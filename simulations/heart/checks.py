"""What the study is to show, as numbers that are checked."""

from collections.abc import Sequence
from functools import partial

from flwr.app import UserConfig

from fl_ef21.comparison import (
    BOTH_WAYS,
    FEDAVG,
    FEEDBACK,
    Check,
    Ending,
    Totals,
    at_least,
    at_most,
)

PARAMETERS = {"network": 3137, "logistic": 16}
TIMES_FEWER = {"network": 50, "logistic": 3}
"""A message takes about 20 bytes, whatever is in it: 16 parameters are 64."""


def ending(config: UserConfig) -> Ending:
    """Return how the study ends."""
    kind = str(config["model"])
    return Ending(
        study="heart",
        title=f"Heart disease, four hospitals · {kind}, {PARAMETERS[kind]:,} parameters",
        baseline=FEDAVG,
        checks=partial(checks, kind),
        limits={},
        problem={"data": "heart disease", "clients": 4, "dimension": PARAMETERS[kind]},
    )


def checks(kind: str, totals: Totals) -> Sequence[Check]:
    """Return the numbers that were to be reached."""
    plain, ours, both = (totals[label] for label in (FEDAVG, FEEDBACK, BOTH_WAYS))
    return [
        at_most(
            "points of accuracy below FedAvg after the same rounds",
            100 * (plain["accuracy"] - ours["accuracy"]),
            0.5,
        ),
        at_most("relative loss above FedAvg's", ours["loss"] / plain["loss"] - 1, 0.01),
        at_least(
            "times fewer uplink bytes than FedAvg (payload)", ours["reduction"], TIMES_FEWER[kind]
        ),
        at_most(
            "both directions compressed: points of accuracy below FedAvg",
            100 * (plain["accuracy"] - both["accuracy"]),
            0.5,
        ),
    ]
