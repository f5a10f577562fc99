"""How many coordinates each client may send, for a total that is given."""

from bisect import bisect_left
from collections.abc import Sequence
from math import floor, fsum, inf, sqrt

import numpy as np
from numpy.typing import ArrayLike

from fl_ef21.compressors.support import Support


def allocate(
    budget: int,
    smoothness: Sequence[float],
    support: Sequence[int] | Sequence[Support] | Sequence[ArrayLike],
    weights: Sequence[float] | None = None,
) -> tuple[int, ...]:
    """Return how many coordinates kᵢ each client sends, so that B is small (derived here).

    kᵢ ∝ √(pᵢ Lᵢ rᵢ) within 1 ≤ kᵢ ≤ rᵢ, rounded by largest remainders. With αᵢ = kᵢ/rᵢ that
    minimises Σ pᵢ Lᵢ (2/αᵢ − 1), close to Σ pᵢ Lᵢ ξ(αᵢ).

    Parameters
    ----------
    budget : int
        Σ kᵢ, coordinates a round, at least the number of clients. What is above Σ rᵢ is left over.
    smoothness : sequence of float
        Lᵢ > 0.
    support : sequence of int, Support or int arrays
        rᵢ ≥ 1, or the supports Jᵢ themselves.
    weights : sequence of float, optional
        pᵢ > 0; equal by default.

    Returns
    -------
    tuple of int
        kᵢ, with sum min(budget, Σ rᵢ). Equal claims are settled in the clients' order.

    Raises
    ------
    ValueError
        If the budget is below the number of clients, or a number out of range.

    Examples
    --------
    >>> allocate(8, [1.0, 4.0, 9.0], [100, 100, 100])
    (1, 3, 4)
    >>> allocate(8, [1.0, 1.0], [2, 100])
    (1, 7)
    """
    sizes = tuple(_size(client, found) for client, found in enumerate(support))
    claims = _claims(smoothness, sizes, weights)
    n = len(claims)
    if budget != floor(budget) or budget < n:
        raise ValueError(
            f"budget={budget!r} is not a whole number from {n} up: each of {n} clients sends at "
            f"least one coordinate a round"
        )
    if budget >= sum(sizes):
        return sizes
    shares = relaxed_allocation(float(budget), claims, sizes)
    counts = [floor(share) for share in shares]
    # A stable sort: among equal remainders the first client comes first.
    order = sorted(
        (i for i in range(n) if counts[i] < sizes[i]), key=lambda i: counts[i] - shares[i]
    )
    for i in order[: int(budget) - sum(counts)]:
        counts[i] += 1
    return tuple(counts)


def relaxed_allocation(
    budget: float, claims: Sequence[float], sizes: Sequence[int]
) -> tuple[float, ...]:
    """Return real numbers kᵢ = min(max(t qᵢ, 1), rᵢ) whose sum is the budget.

    Parameters
    ----------
    budget : float
        From the number of clients to Σ rᵢ.
    claims : sequence of float
        qᵢ > 0.
    sizes : sequence of int
        rᵢ ≥ 1.

    Examples
    --------
    >>> relaxed_allocation(8.0, [1.0, 2.0, 3.0], [100, 2, 100])
    (1.5, 2.0, 4.5)
    """
    q, r = np.array(claims), np.array(sizes, np.float64)
    # The sum grows with t and is linear between the points where a client meets a limit.
    corners = np.unique(np.concatenate([1 / q, r / q]))
    after = bisect_left(corners, budget, key=lambda t: float(np.clip(t * q, 1, r).sum()))
    ends = corners[max(after - 1, 0) : after + 1]
    sums = [float(np.clip(t * q, 1, r).sum()) for t in ends]
    scale = float(np.interp(budget, sums, ends))
    return tuple(float(share) for share in np.clip(scale * q, 1, r))


def _claims(
    smoothness: Sequence[float], sizes: Sequence[int], weights: Sequence[float] | None
) -> tuple[float, ...]:
    n = len(smoothness)
    weights = (1.0,) * n if weights is None else weights
    if not n or not n == len(sizes) == len(weights):
        raise ValueError(
            f"{n} smoothness constants, {len(sizes)} supports and {len(weights)} weights; give "
            f"one of each for every client"
        )
    for name, values in (("smoothness", smoothness), ("weights", weights)):
        for client, value in enumerate(values):
            if not 0 < value < inf:
                raise ValueError(f"{name}[{client}]={value!r} is not a positive number")
    # A product of small numpy integers may not fit into their type.
    terms = zip(weights, map(float, smoothness), sizes, strict=True)
    roots = [sqrt(p) * sqrt(L * r) for p, L, r in terms]
    total = fsum(roots)
    return tuple(root / total for root in roots)


def _size(client: int, found: int | Support | ArrayLike) -> int:
    if isinstance(found, Support):
        return int(found.indices.size)
    array = np.asarray(found)
    size = array.size if array.ndim else array.item()
    if size != floor(size) or size < 1:
        raise ValueError(f"support[{client}]={found!r} is not a size from 1 up, nor a support")
    return int(size)
