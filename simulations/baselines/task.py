"""The problems: logistic regression with a little of the papers' regulariser, from x⁰ = 0."""

from pathlib import Path

from flwr.app import UserConfig

from fl_ef21.data.names import data_names
from fl_ef21.experiments import Problem, by_config, logistic_problem


@by_config
def load_problems(config: UserConfig) -> dict[str, Problem]:
    """Return the problems of a run config, one a data set, by name."""
    return {
        Path(data).name: logistic_problem(
            Path(data).name,
            data,
            int(config["clients"]),
            str(config["partition"]),
            regularisation=float(config["regularisation"]),
            seed=int(config["seed"]),
        )
        for data in data_names(str(config["data"]))
    }
