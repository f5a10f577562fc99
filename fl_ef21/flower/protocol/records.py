"""Copies of records that share nothing that anybody can change."""

from copy import deepcopy

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict


def copy_records(records: RecordDict) -> RecordDict:
    """Return a copy of all records; the data of arrays, immutable bytes, is shared."""
    return RecordDict({name: _copy(record) for name, record in records.items()})


def _copy(
    record: ArrayRecord | ConfigRecord | MetricRecord,
) -> ArrayRecord | ConfigRecord | MetricRecord:
    if isinstance(record, ArrayRecord):
        # Flower leaves memoryviews in arrays that it has measured, which deepcopy refuses.
        return ArrayRecord(
            {name: Array(a.dtype, a.shape, a.stype, a.data) for name, a in record.items()}
        )
    return deepcopy(record)
