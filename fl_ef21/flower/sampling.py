"""Which nodes take part: drawn by client key, so that the choice is the same in every run."""

from collections.abc import Callable, Sequence
from logging import WARNING

import numpy as np
from flwr.app import Message
from flwr.common import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy.strategy_utils import sample_nodes

from fl_ef21.flower.ledger import read_reply
from fl_ef21.flower.protocol import ProtocolError


def connected_nodes(grid: Grid, minimum: int) -> list[int]:
    """Wait until at least ``minimum`` nodes are connected and return all of them, sorted."""
    # Flower's helper waits and logs as its own strategies do. Its sample, drawn from the global
    # generator over ids that differ from run to run, is not used.
    _, nodes = sample_nodes(grid, minimum, 0)
    return sorted(nodes)


def draw(
    nodes: Sequence[int],
    count: int,
    client_of: Callable[[int], str | None],
    rng: np.random.Generator,
) -> list[int]:
    """Return ``count`` of the nodes, in the order of their client keys.

    Nodes whose client is not known yet cannot be drawn; if all nodes are wanted they come last.
    """
    known = sorted((key, node) for node in nodes if (key := client_of(node)) is not None)
    if count >= len(nodes):
        return [node for _, node in known] + [n for n in nodes if client_of(n) is None]
    drawn = rng.choice(len(known), size=min(count, len(known)), replace=False)
    return [known[i][1] for i in sorted(drawn)]


def read_roll_call(replies: Sequence[Message], calls: Sequence[Message]) -> dict[int, str]:
    """Return the client keys that nodes have answered a roll call with.

    Nodes that did not answer, or not properly, are left out: they cannot be drawn this round and
    are asked again in the next.
    """
    nodes = {call.metadata.message_id: call.metadata.dst_node_id for call in calls}
    keys: dict[int, str] = {}
    for reply in replies:
        node_id = nodes.get(reply.metadata.reply_to_message_id)
        if node_id is None or reply.has_error():
            continue
        try:
            keys[node_id] = read_reply(reply)[0].client
        except ProtocolError as error:
            log(
                WARNING, "configure_train: node %d did not answer the roll call: %s", node_id, error
            )
    return keys
