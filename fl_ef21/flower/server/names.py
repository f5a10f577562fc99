"""Which client each node is."""

from collections.abc import Collection, Mapping

from fl_ef21.flower.server.checking import RejectedError


class ClientNames:
    """Client keys by node id, each of one node.

    Mutable: nodes give their keys in the course of a run.

    Parameters
    ----------
    known : mapping of str by int, optional
        Keys that are known already.
    """

    def __init__(self, known: Mapping[int, str] | None = None) -> None:
        self._client_of = dict(known or {})
        self._node_of = {client: node for node, client in self._client_of.items()}
        self._unnamed = {n for n, client in self._client_of.items() if client == _own_name(n)}

    def client_of(self, node_id: int) -> str | None:
        """Return the client key that a node has given, or ``None``."""
        return self._client_of.get(node_id)

    def by_node(self) -> dict[int, str]:
        """Return a copy of all keys."""
        return dict(self._client_of)

    def require_free(self, node_id: int, client: str, connected: Collection[int]) -> None:
        """Check that a node may be a client.

        Raises
        ------
        RejectedError
            If the node has given another key before, or another node that is connected has given
            this one. A client that comes back as another node is welcome once the old is gone.
        """
        known = self._client_of.get(node_id, client)
        if known != client:
            raise RejectedError(f"node {node_id} was client {known} before and now is {client}")
        other = self._node_of.get(client, node_id)
        if other != node_id and other in connected:
            raise RejectedError(
                f"node {node_id} says that it is client {client}, which another connected node "
                f"is; give every node a client-id of its own"
            )

    def note(self, node_id: int, client: str) -> None:
        """Remember the client key of a node; the client's old node is forgotten."""
        if self._node_of.get(client) == node_id:
            return
        self.forget(client)
        self._client_of[node_id], self._node_of[client] = client, node_id
        if client == _own_name(node_id):
            self._unnamed.add(node_id)

    def introduce(self, node_id: int, client: str, connected: Collection[int]) -> None:
        """Remember the client key of a node if it may have it.

        Raises
        ------
        RejectedError
            As :meth:`require_free`.
        """
        self.require_free(node_id, client, connected)
        self.note(node_id, client)

    def forget(self, client: str) -> None:
        """Forget which node a client is."""
        node = self._node_of.pop(client, None)
        if node is not None:
            del self._client_of[node]
            self._unnamed.discard(node)

    def gone(self, connected: Collection[int]) -> list[str]:
        """Return the clients that are known by a node id only, and whose node is not connected."""
        return [self._client_of[node] for node in sorted(self._unnamed.difference(connected))]


def _own_name(node_id: int) -> str:
    """Return the key of a client that has no other name than its node's id."""
    return f"node-id={node_id}"
