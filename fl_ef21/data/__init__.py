"""Data sets, and heterogeneous partitions of their rows."""

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.libsvm import load_libsvm
from fl_ef21.data.loading import known_names, load
from fl_ef21.data.partition_spec import (
    Contiguous,
    Dirichlet,
    Iid,
    Natural,
    PartitionSpec,
    Pathological,
    SortedByNorm,
    partition_from_text,
)
from fl_ef21.data.partitions import partition

__all__ = [
    "Contiguous",
    "Dataset",
    "Dirichlet",
    "Iid",
    "Natural",
    "PartitionSpec",
    "Pathological",
    "SortedByNorm",
    "known_names",
    "load",
    "load_libsvm",
    "partition",
    "partition_from_text",
]
