"""Data sets and their heterogeneous partitions."""

from fl_ef21.data.dataset import Dataset
from fl_ef21.data.load import check_name, known_names, load
from fl_ef21.data.partitions import Partition, partition, partition_from_text

__all__ = [
    "Dataset",
    "Partition",
    "check_name",
    "known_names",
    "load",
    "partition",
    "partition_from_text",
]
