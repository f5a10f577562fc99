"""What the study is to show, as numbers that are checked."""

from flwr.app import UserConfig
from task import PARAMETERS

from fl_ef21.comparison import FEDAVG, Ending, usual_checks


def ending(config: UserConfig) -> Ending:
    """Return how the study ends."""
    clients, share = int(config["clients"]), float(config["participation"])
    return Ending(
        study="shakespeare",
        title=f"Shakespeare, LSTM · {clients} speakers, {share:.0%} a round",
        baseline=FEDAVG,
        checks=usual_checks,
        limits={},
        problem={"data": "tiny Shakespeare", "clients": clients, "dimension": PARAMETERS},
    )
