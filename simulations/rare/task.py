"""The problems: regression with a set number of owners of a feature, and real rare features."""

from pathlib import Path

import numpy as np
from flwr.app import UserConfig
from scipy.sparse import csr_array

from fl_ef21.data import Dataset, load, partition, partition_from_text
from fl_ef21.data.names import data_names
from fl_ef21.experiments import Problem, binary_labels, by_config
from fl_ef21.problems import federated_objectives, least_squares_federation


@by_config
def load_problems(config: UserConfig) -> dict[str, Problem]:
    """Return the problems of a run config by name, the synthetic ones first."""
    shares = [float(share) for share in str(config["shares"]).split(",") if share]
    problems = [_synthetic(share, config) for share in shares]
    problems += [_real(data, config) for data in data_names(str(config["data"]))]
    return {problem.name: problem for problem in problems}


def _synthetic(share: float, config: UserConfig) -> Problem:
    clients = int(config["clients"])
    objectives = least_squares_federation(
        [float(config["largest"])] * clients,
        int(config["dimension"]),
        smallest=float(config["smallest"]),
        owners=max(1, round(share * clients)),
        rows=int(config["samples"]),
        regularisation=float(config["regularisation"]),
        seed=int(config["seed"]),
    )
    return Problem(f"c/n = {share:g}", objectives)


def _real(data: str, config: UserConfig) -> Problem:
    dataset = _without_unused(binary_labels(load(data)))
    # In the order of the file: the newsgroups stand one after the other.
    rows = partition(dataset, partition_from_text("contiguous"), int(config["clients"]))
    objectives = federated_objectives(
        dataset.features,
        dataset.labels,
        rows,
        float(config["regularisation"]),
        regularise_support=True,
    )
    return Problem(Path(data).name.split(".")[0], objectives)


def _without_unused(dataset: Dataset) -> Dataset:
    """Return the data without columns that no row uses: they would count in d, and do nothing."""
    used = np.unique(dataset.features.indices)
    return Dataset(
        dataset.name, csr_array(dataset.features[:, used]), dataset.labels, dataset.class_names
    )
