"""Spreading a data set's rows over clients with the partitioners of flwr-datasets."""
# flwr-datasets takes seconds to import, and only a partition needs it.
# ruff: noqa: PLC0415

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, assert_never

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import norm

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.natural import natural_owners
from fl_ef21.data.partition_spec import (
    Contiguous,
    Dirichlet,
    Iid,
    Natural,
    PartitionSpec,
    Pathological,
    SortedByNorm,
)

if TYPE_CHECKING:
    from flwr_datasets.partitioner import Partitioner

Rows = NDArray[np.int64]


def partition(
    dataset: Dataset, spec: PartitionSpec, clients: int, seed: int = 0
) -> tuple[Rows, ...]:
    """Spread the rows over the clients: each row to exactly one, at least one to each.

    Parameters
    ----------
    dataset : Dataset
        The data.
    spec : PartitionSpec
        How to spread them; see `partition_from_text`.
    clients : int
        Number of clients n, from 1 to the number of rows; for `Natural` the number of owners.
    seed : int
        From 0 up; decides everything that is random. The same arguments give the same
        partition in every process.

    Returns
    -------
    tuple of ndarray of int64, length n
        The numbers of each client's rows, rising.

    Raises
    ------
    ValueError
        If ``clients`` or the spec does not fit the data, a client would be left without rows,
        or rows without a client.

    Examples
    --------
    >>> from fl_ef21.data import load, partition_from_text
    >>> parts = partition(load("wine"), partition_from_text("contiguous"), clients=5)
    >>> [len(rows) for rows in parts], parts[1][:3].tolist()
    ([35, 35, 35, 35, 38], [35, 36, 37])
    """
    rows = dataset.features.shape[0]
    if not 1 <= clients <= rows:
        raise ValueError(
            f"clients={clients} is outside [1, {rows}], the number of rows of {dataset.name}"
        )
    if seed < 0:
        raise ValueError(f"seed={seed} is negative; give a whole number from 0 up")
    # What the partitioners warn of, clients or classes left out, is an error below.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = _parts(dataset, spec, clients, seed)
    _check_nobody_empty(parts, spec)
    _check_all_used(parts, dataset, spec)
    return parts


def _parts(dataset: Dataset, spec: PartitionSpec, clients: int, seed: int) -> tuple[Rows, ...]:
    from flwr_datasets.partitioner import IidPartitioner, SizePartitioner

    rows = np.arange(dataset.features.shape[0])
    match spec:
        case Iid():
            shuffled = np.random.default_rng(seed).permutation(rows)
            return _apply(IidPartitioner(clients), clients, shuffled)
        case Dirichlet():
            return _dirichlet(dataset, spec, clients, seed)
        case Pathological():
            return _pathological(dataset, spec, clients, seed)
        case Contiguous():
            return _apply(SizePartitioner(_sizes(len(rows), clients)), clients, rows)
        case SortedByNorm():
            # Norms that differ by rounding only count as equal, and equals keep the file's order.
            norms = norm(dataset.features, axis=1).astype(np.float32)
            by_norm = np.argsort(norms, kind="stable")
            return _apply(SizePartitioner(_sizes(len(rows), clients)), clients, by_norm)
        case Natural():
            return _natural(dataset, spec, clients)
        case _:
            assert_never(spec)


def _dirichlet(dataset: Dataset, spec: Dirichlet, clients: int, seed: int) -> tuple[Rows, ...]:
    from flwr_datasets.partitioner import DirichletPartitioner

    def drawn(min_partition_size: int) -> tuple[Rows, ...]:
        partitioner = DirichletPartitioner(
            clients,
            partition_by="key",
            alpha=spec.concentration,
            min_partition_size=min_partition_size,
            shuffle=False,
            seed=seed,
        )
        return _apply(partitioner, clients, keys=dataset.labels)

    try:
        return drawn(min_partition_size=1)
    except ValueError:
        # It has drawn eleven times and always left a client without rows; the first of the
        # draws shows which, for the error message.
        return drawn(min_partition_size=0)


def _pathological(
    dataset: Dataset, spec: Pathological, clients: int, seed: int
) -> tuple[Rows, ...]:
    from flwr_datasets.partitioner import PathologicalPartitioner

    if spec.classes > dataset.classes:
        raise ValueError(
            f"{spec} asks for {spec.classes} classes per client, but {dataset.name} has "
            f"{dataset.classes}; give at most that many"
        )
    # The client's first class is its number modulo K, so that from K clients on every class
    # has an owner; the mode "random" may leave classes out with any number of clients.
    partitioner = PathologicalPartitioner(
        clients,
        partition_by="key",
        num_classes_per_partition=spec.classes,
        class_assignment_mode="first-deterministic",
        shuffle=False,
        seed=seed,
    )
    try:
        return _apply(partitioner, clients, keys=dataset.labels)
    except ValueError as error:
        raise ValueError(
            f"{spec} over {clients} clients gives a class of {dataset.name} to more clients than "
            f"it has rows; choose fewer clients or fewer classes per client"
        ) from error


def _natural(dataset: Dataset, spec: Natural, clients: int) -> tuple[Rows, ...]:
    from flwr_datasets.partitioner import NaturalIdPartitioner

    owners = natural_owners(dataset, spec)
    owner_count = len(np.unique(owners))
    if clients != owner_count:
        raise ValueError(
            f"clients={clients}, but {spec} of {dataset.name} has {owner_count} owners; "
            f"set clients to {owner_count}"
        )
    # This partitioner draws a progress bar that no argument switches off.
    with redirect_stderr(io.StringIO()):
        return _apply(NaturalIdPartitioner(partition_by="key"), clients, keys=owners)


def _sizes(rows: int, clients: int) -> list[int]:
    size = rows // clients
    return [size] * (clients - 1) + [rows - size * (clients - 1)]


def _apply(
    partitioner: "Partitioner",
    clients: int,
    rows: Rows | None = None,
    *,
    keys: NDArray[np.int64] | None = None,
) -> tuple[Rows, ...]:
    """Partition a table of row numbers, in the order of ``rows`` or by the rows' ``keys``."""
    from datasets import Dataset as Table

    # Row numbers in place of the features: these stay sparse, and are not copied.
    columns = {"row": rows} if keys is None else {"row": np.arange(len(keys)), "key": keys}
    partitioner.dataset = Table.from_dict(columns)
    # The numpy format only now: the partitioners read a column row by row, which it slows down.
    tables = (partitioner.load_partition(i).with_format("numpy") for i in range(clients))
    return tuple(np.sort(np.asarray(table["row"][:], dtype=np.int64)) for table in tables)


def _check_nobody_empty(parts: Sequence[Rows], spec: PartitionSpec) -> None:
    empty = [client for client, rows in enumerate(parts) if len(rows) == 0]
    if empty:
        fix = "a larger concentration" if isinstance(spec, Dirichlet) else "another partition"
        raise ValueError(
            f"{spec} over {len(parts)} clients leaves no rows to client"
            f"{'s' if len(empty) > 1 else ''} {', '.join(map(str, empty))}; "
            f"choose fewer clients, {fix} or another seed"
        )


def _check_all_used(parts: Sequence[Rows], dataset: Dataset, spec: PartitionSpec) -> None:
    """Refuse what PathologicalPartitioner only warns of: a class that is no client's."""
    unused = np.setdiff1d(np.arange(dataset.features.shape[0]), np.concatenate(parts))
    if unused.size:
        raise ValueError(
            f"{spec} over {len(parts)} clients leaves {unused.size} rows of {dataset.name} to "
            f"nobody; choose at least {dataset.classes} clients, one for each class"
        )
