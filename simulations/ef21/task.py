"""The problems of the first papers: logistic regression on contiguous chunks, from N(0, I)."""

from pathlib import Path

import numpy as np
from flwr.app import UserConfig

from fl_ef21.data import load
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
            "contiguous",
            regularisation=float(config["regularisation"]),
            start=np.random.default_rng(int(config["seed"])).normal(
                size=load(data).features.shape[1]
            ),
        )
        for data in data_names(str(config["data"]))
    }
