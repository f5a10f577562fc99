"""Which nodes take part: drawn by client key, so that the choice is the same in every run."""

from collections.abc import Callable, Sequence

import numpy as np
from flwr.serverapp import Grid
from flwr.serverapp.strategy.strategy_utils import sample_nodes


def connected_nodes(grid: Grid, minimum: int) -> list[int]:
    """Wait until at least ``minimum`` nodes are connected and return all of them, sorted."""
    # Flower's helper waits and logs as its own strategies do. Its sample, drawn from the global
    # generator over ids that differ from run to run, is not used.
    _, nodes = sample_nodes(grid, minimum, 0)
    return sorted(nodes)


def draw_independently(
    nodes: Sequence[int],
    probability_of: Callable[[str], float],
    client_of: Callable[[int], str | None],
    rng: np.random.Generator,
) -> list[int]:
    """Return the nodes that take part when each is drawn for itself, by client key.

    Nodes whose client is not known yet cannot be drawn.
    """
    known = sorted((key, node) for node in nodes if (key := client_of(node)) is not None)
    # One number for each client, drawn or not: whoever else is there makes no difference.
    return [node for key, node in known if rng.random() < probability_of(key)]


def draw(
    nodes: Sequence[int],
    count: int,
    client_of: Callable[[int], str | None],
    rng: np.random.Generator,
) -> list[int]:
    """Return ``count`` of the nodes, in the order of their client keys.

    Nodes whose client is not known yet cannot be drawn; if all nodes are wanted they come last.
    """
    named = [(client_of(node), node) for node in nodes]
    known = sorted((key, node) for key, node in named if key is not None)
    if count >= len(nodes):
        return [node for _, node in known] + [node for key, node in named if key is None]
    drawn = rng.choice(len(known), size=min(count, len(known)), replace=False)
    return [known[i][1] for i in sorted(drawn)]
