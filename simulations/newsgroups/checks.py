"""What the study is to show, as numbers that are checked."""

from flwr.app import UserConfig
from task import PARAMETERS

from fl_ef21.comparison import FEDAVG, Ending, usual_checks
from fl_ef21.data import partition_from_text


def ending(config: UserConfig) -> Ending:
    """Return how the study ends."""
    partition = str(partition_from_text(str(config["partition"])))
    clients, share = int(config["clients"]), float(config["participation"])
    return Ending(
        study="newsgroups",
        title=f"20 newsgroups, embeddings · {partition} · {clients} clients, {share:.0%} a round",
        baseline=FEDAVG,
        checks=usual_checks,
        limits={},
        problem={
            "data": "20 newsgroups",
            "clients": clients,
            "partition": partition,
            "dimension": PARAMETERS,
        },
    )
