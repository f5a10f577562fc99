"""Records that stay the value which they stand for until somebody looks at their entries.

In one process nobody does: who made a record and who reads it are both of this library, and pass
the value. Everywhere else, and for every mod that looks, they are Flower's records like any others,
with the same entries and the same bytes. Once looked at, the entries count and the value is
forgotten: whoever has them may change them.
"""

from collections.abc import Callable, Iterator, KeysView
from typing import Any, Final, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord

Record = TypeVar("Record", ArrayRecord, ConfigRecord, MetricRecord)
Value = TypeVar("Value")

_ENTRIES: Final = "_data"
"""Under which Flower's records have their entries in their ``__dict__``."""

_MEANT, _MAKE = "meant", "make"


class _Inside(dict[str, Any]):
    """The ``__dict__`` of such a record: it makes the entries when it is asked for them."""

    def __missing__(self, name: str) -> dict[str, Any]:
        if name != _ENTRIES:
            raise KeyError(name)
        # In an order in which another thread finds the value, or else the entries.
        value, make = self.get(_MEANT), self.get(_MAKE)
        if make is not None:
            self.setdefault(_ENTRIES, make(value))
            self.pop(_MAKE, None)
            self.pop(_MEANT, None)
        entries: dict[str, Any] = self[_ENTRIES]
        return entries

    # What copies a dictionary, as copy and pickle do, has to find the entries.

    def __iter__(self) -> Iterator[str]:
        self[_ENTRIES]
        return super().__iter__()

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # as dict's own
        self[_ENTRIES]
        return super().keys()

    def __reduce__(self) -> tuple[Any, ...]:
        self[_ENTRIES]
        return dict, (dict(self),)


_OUTSIDES: Final = {
    kind: {name: value for name, value in kind().__dict__.items() if name != _ENTRIES}
    for kind in (ArrayRecord, ConfigRecord, MetricRecord)
}


def standing_for(
    kind: type[Record], value: Value, make: Callable[[Value], dict[str, Any]]
) -> Record:
    """Return a record that stands for a value which nobody changes.

    Parameters
    ----------
    kind : type
        Of the record.
    value : object
        What :func:`meant_by` returns.
    make : callable
        From the value to the record's entries, which have to fit the kind; called when somebody
        looks at them.
    """
    record = kind.__new__(kind)
    record.__dict__ = inside = _Inside(_OUTSIDES[kind])
    inside[_MEANT], inside[_MAKE] = value, make
    return record


def meant_by(record: ArrayRecord | ConfigRecord | MetricRecord, kind: type[Value]) -> Value | None:
    """Return the value of a record that nobody has looked at; ``None`` for any other record."""
    value = record.__dict__.get(_MEANT)
    return value if type(value) is kind else None


def copy_meant(record: Record) -> Record | None:
    """Return another record that stands for the same value; ``None`` if one has looked at it."""
    value, make = record.__dict__.get(_MEANT), record.__dict__.get(_MAKE)
    return None if make is None else standing_for(type(record), value, make)
