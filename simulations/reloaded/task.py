"""The problems: clients whose smoothness constants differ, as they do by nature or as made to."""

from pathlib import Path

import numpy as np
from flwr.app import UserConfig

from fl_ef21.data.names import data_names
from fl_ef21.experiments import Problem, by_config, logistic_problem
from fl_ef21.problems import least_squares_federation

REGRESSION = "synthetic regression"


@by_config
def load_problems(config: UserConfig) -> dict[str, Problem]:
    """Return the problems of a run config by name."""
    clients, seed = int(config["clients"]), int(config["seed"])
    experiments = str(config["experiments"]).split(",")
    problems = []
    if "logistic" in experiments:
        # As in the reference of the library's benchmarks: factors from 0.1 to 5.
        scales = 10 ** np.random.default_rng(seed).uniform(-1, 0.7, clients)
        for data in data_names(str(config["data"])):
            problems += [
                _logistic(f"{Path(data).name}, sorted by norm", data, config),
                _logistic(f"{Path(data).name}, sorted and scaled", data, config, list(scales)),
            ]
    if set(experiments) - {"logistic"}:
        spread = float(config["spread"]) ** np.random.default_rng(seed).uniform(0, 1, clients)
        objectives = least_squares_federation(
            list(spread),
            int(config["dimension"]),
            regularisation=float(config["regularisation"]),
            seed=seed,
        )
        problems.append(Problem(REGRESSION, objectives))
    return {problem.name: problem for problem in problems}


def _logistic(
    name: str, data: str, config: UserConfig, scales: list[float] | None = None
) -> Problem:
    return logistic_problem(
        name,
        data,
        int(config["clients"]),
        "norm",
        regularisation=float(config["regularisation"]),
        on_support=True,
        scales=scales,
    )
