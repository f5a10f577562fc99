"""Heterogeneous partitions: flwr-datasets' partitioners behind one line of text.

=====================  =====================================================================
``iid``                shuffled, equal parts
``dirichlet:0.3``      each class is spread by a Dirichlet draw; smaller is more skewed
``pathological:2``     each client has rows of that many classes
``natural:47-60``      one client for each of the one-hot features 47 to 60, counted from 1
``contiguous``         the file cut into chunks, unshuffled, the remainder to the last client
``norm``               as contiguous, rows sorted by Euclidean norm
=====================  =====================================================================
"""

import re
import warnings
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fl_ef21.data.dataset import Dataset

if TYPE_CHECKING:
    from flwr_datasets.partitioner import Partitioner

Rows = NDArray[np.int64]

EXAMPLES: Final = "iid, dirichlet:0.3, pathological:2, natural:47-60, contiguous or norm"


@dataclass(frozen=True)
class Partition:
    """How rows are spread over clients; ``str()`` gives the text back.

    Parameters
    ----------
    kind : str
        The word before the colon.
    parameter : float or int or tuple of int, optional
        Dirichlet concentration, classes per client, or first and last feature.
    """

    kind: str
    parameter: float | tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.parameter is None:
            return self.kind
        if isinstance(self.parameter, tuple):
            return f"{self.kind}:{self.parameter[0]}-{self.parameter[1]}"
        return f"{self.kind}:{self.parameter!r}"


def partition_from_text(text: str) -> Partition:
    """Read a partition from its text.

    Raises
    ------
    ValueError
        If the word is unknown, or its parameter missing or out of range.

    Examples
    --------
    >>> partition_from_text("natural:47-60")
    Partition(kind='natural', parameter=(47, 60))
    """
    kind, _, parameter = text.strip().lower().partition(":")
    try:
        if kind in ("iid", "contiguous", "norm") and not parameter:
            return Partition(kind)
        if kind == "dirichlet" and 0 < (concentration := float(parameter)) < np.inf:
            return Partition(kind, concentration)
        if kind == "pathological" and (classes := int(parameter)) >= 1:
            return Partition(kind, classes)
        if kind == "natural" and (found := re.fullmatch(r"(\d+)-(\d+)", parameter)):
            return Partition(kind, (int(found[1]), int(found[2])))
    except ValueError as error:
        raise ValueError(f"partition {text!r}: {error}; write {EXAMPLES}") from error
    raise ValueError(
        f"unknown partition {text!r}, or its parameter is out of range; write {EXAMPLES}"
    )


def partition(dataset: Dataset, how: Partition, clients: int, seed: int = 0) -> tuple[Rows, ...]:
    """Spread a data set's rows over clients.

    Parameters
    ----------
    dataset : Dataset
        The rows.
    how : Partition
        See :func:`partition_from_text`.
    clients : int
        From 1; ``natural`` partitions define their own number, which this must be.
    seed : int
        Decides ``iid`` and ``dirichlet``.

    Returns
    -------
    tuple of ndarray of int64
        The row numbers of each client, increasing; every row belongs to one client.

    Raises
    ------
    ValueError
        If a client would have no row (it is named), or ``clients`` does not fit.
    """
    if not 1 <= clients <= len(dataset.labels):
        raise ValueError(
            f"clients={clients} is outside [1, {len(dataset.labels)}], the rows of {dataset.name}"
        )
    order = np.arange(len(dataset.labels))
    if how.kind == "norm":
        squares = np.asarray(dataset.features.multiply(dataset.features).sum(axis=1)).ravel()
        order = np.argsort(squares, kind="stable")
    elif how.kind == "iid":
        order = np.random.default_rng(seed).permutation(order)
    groups = dataset.labels
    if isinstance(how.parameter, tuple):
        groups = dataset.one_hot_groups(*how.parameter)
        _require_natural_number(how, groups, clients)
    parts = _load_parts(_partitioner(how, clients, len(order), seed), order, groups, clients, how)
    _require_rows(parts, how)
    return parts


def _partitioner(how: Partition, clients: int, rows: int, seed: int) -> "Partitioner":
    # Importing the datasets library takes seconds; only those who partition pay for it.
    from flwr_datasets import partitioner as flower  # noqa: PLC0415

    if how.kind == "iid":
        return flower.IidPartitioner(clients)
    if how.kind == "dirichlet":
        # Flower redraws until the smallest part has this many rows; a draw without empty parts
        # is all that is asked for here.
        return flower.DirichletPartitioner(
            clients, partition_by="group", alpha=how.parameter, min_partition_size=1, seed=seed
        )
    if how.kind == "pathological":
        # Its random mode may leave classes, and so rows, out.
        return flower.PathologicalPartitioner(
            clients,
            partition_by="group",
            num_classes_per_partition=how.parameter,
            class_assignment_mode="first-deterministic",
            seed=seed,
        )
    if how.kind == "natural":
        return flower.NaturalIdPartitioner(partition_by="group")
    size = rows // clients
    return flower.SizePartitioner([size] * (clients - 1) + [rows - size * (clients - 1)])


def _load_parts(
    partitioner: "Partitioner", order: Rows, groups: Rows, clients: int, how: Partition
) -> tuple[Rows, ...]:
    import datasets  # noqa: PLC0415

    partitioner.dataset = datasets.Dataset.from_dict({"row": order, "group": groups[order]})
    try:
        # It warns before each new draw and shows a bar for each loop over the rows.
        with warnings.catch_warnings(action="ignore"), redirect_stderr(StringIO()):
            parts = [partitioner.load_partition(i).with_format("numpy") for i in range(clients)]
    except ValueError as error:
        raise ValueError(
            f"partition {how} left some of {clients} clients without a row in every draw "
            f"({error}); use fewer clients or a larger parameter"
        ) from error
    return tuple(np.sort(np.asarray(part["row"], dtype=np.int64)) for part in parts)


def _require_natural_number(how: Partition, groups: Rows, clients: int) -> None:
    found = len(np.unique(groups))
    if found != clients:
        raise ValueError(f"partition {how} has {found} clients, not {clients}; set clients={found}")


def _require_rows(parts: tuple[Rows, ...], how: Partition) -> None:
    empty = [client for client, rows in enumerate(parts) if not len(rows)]
    if empty:
        raise ValueError(
            f"partition {how} leaves clients {empty} without a row; use fewer than {len(parts)} "
            f"clients or a larger parameter"
        )
