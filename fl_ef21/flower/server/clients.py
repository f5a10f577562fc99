"""Values by client: given by client key, or in the order of partition ids."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

Value = TypeVar("Value")

ByClient: TypeAlias = Mapping[str, Value] | Sequence[Value]
"""By client key, such as ``"partition-id=3"``, or by partition id."""


class UnknownClientError(ValueError):
    """A client for which nothing was given; the text names it and those that are known."""


def by_client(values: ByClient[Value]) -> dict[str, Value]:
    """Return values by client key.

    Examples
    --------
    >>> by_client([0.5, 1.0])
    {'partition-id=0': 0.5, 'partition-id=1': 1.0}
    """
    if isinstance(values, Mapping):
        return dict(values)
    return {f"partition-id={i}": value for i, value in enumerate(values)}


def value_of(values: Mapping[str, Value], client: str, what: str) -> Value:
    """Return a client's value.

    Raises
    ------
    UnknownClientError
        If there is none.
    """
    if client not in values:
        raise UnknownClientError(
            f"no {what} was given for client {client!r}; known are {', '.join(sorted(values))}"
        )
    return values[client]
