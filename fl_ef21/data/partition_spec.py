"""The ways to spread rows over clients, and their text forms."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Iid:
    """Rows shuffled by the seed, then cut into equal parts."""

    def __str__(self) -> str:
        return "iid"


@dataclass(frozen=True)
class Dirichlet:
    """Each class spread by shares from a Dirichlet distribution (arXiv 1905.12022).

    Parameters
    ----------
    concentration : float
        Positive; the smaller, the fewer classes a client has.
    """

    concentration: float

    def __post_init__(self) -> None:
        if not 0 < self.concentration < inf:
            raise ValueError(
                f"Dirichlet concentration {self.concentration!r} is outside (0, ∞); "
                f"0.1 is very uneven, 100 nearly even"
            )

    def __str__(self) -> str:
        return f"dirichlet:{float(self.concentration)!r}"


@dataclass(frozen=True)
class Pathological:
    """Each client has rows of a fixed number of classes only (arXiv 2102.02079).

    Parameters
    ----------
    classes : int
        Classes per client, from 1 up.
    """

    classes: int

    def __post_init__(self) -> None:
        if self.classes < 1:
            raise ValueError(f"{self.classes} classes per client is below 1; give 1 or more")

    def __str__(self) -> str:
        return f"pathological:{self.classes}"


@dataclass(frozen=True)
class Contiguous:
    """The rows in file order cut into equal parts, the remainder to the last client.

    This is the split of the experiments in EF21 and Bells & Whistles (arXiv 2110.03294).
    """

    def __str__(self) -> str:
        return "contiguous"


@dataclass(frozen=True)
class SortedByNorm:
    """As `Contiguous`, after sorting the rows by their Euclidean norm: Lᵢ then vary most."""

    def __str__(self) -> str:
        return "norm"


@dataclass(frozen=True)
class Natural:
    """One client for each natural owner of rows; the data define their number.

    Parameters
    ----------
    first, last : int, optional
        A range of one-hot features that is the owner, counted from 1 as in LIBSVM files: 47
        and 60 are a9a's occupations. Rows with none of them have an owner of their own, which
        comes last. Without a range, the data set's own groups.
    """

    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        if self.first is None and self.last is None:
            return
        if self.first is None or self.last is None or not 1 <= self.first < self.last:
            raise ValueError(
                f"natural range {self.first}-{self.last} is no range of at least two features "
                f"counted from 1; give for example natural:47-60"
            )

    def __str__(self) -> str:
        return "natural" if self.first is None else f"natural:{self.first}-{self.last}"


PartitionSpec = Iid | Dirichlet | Pathological | Contiguous | SortedByNorm | Natural

FORMS: Final = "iid, dirichlet:0.3, pathological:2, contiguous, norm, natural or natural:47-60"

_WITHOUT_PARAMETER: Final[Mapping[str, PartitionSpec]] = MappingProxyType(
    {str(spec): spec for spec in (Iid(), Contiguous(), SortedByNorm(), Natural())}
)


def partition_from_text(text: str) -> PartitionSpec:
    """Read a partition's text form; ``str`` gives it back.

    Parameters
    ----------
    text : str
        ``iid``, ``dirichlet:CONCENTRATION``, ``pathological:CLASSES``, ``contiguous``,
        ``norm``, ``natural`` or ``natural:FIRST-LAST``.

    Raises
    ------
    ValueError
        If the name is unknown, or the parameter missing, superfluous or out of range.

    Examples
    --------
    >>> partition_from_text("dirichlet:0.3")
    Dirichlet(concentration=0.3)
    >>> str(partition_from_text("natural:47-60"))
    'natural:47-60'
    """
    if text in _WITHOUT_PARAMETER:
        return _WITHOUT_PARAMETER[text]
    name, _, parameter = text.partition(":")
    try:
        if name == "dirichlet":
            return Dirichlet(float(parameter))
        if name == "pathological":
            return Pathological(int(parameter))
        if name == "natural" and (bounds := re.fullmatch(r"(\d+)-(\d+)", parameter)):
            return Natural(int(bounds[1]), int(bounds[2]))
    except ValueError as error:
        raise ValueError(f"partition {text!r}: {error}; the forms are {FORMS}") from error
    raise ValueError(f"partition {text!r} is unknown; the forms are {FORMS}")
