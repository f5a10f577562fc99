"""The keys by which a SuperLink knows its SuperNodes."""

from pathlib import Path

from fl_ef21.engine.certificates import make_node_key, public_half
from fl_ef21.engine.superlink import SuperLink


class NodeKeys:
    """The keys of a federation's SuperNodes, in the folder of its launch.

    Parameters
    ----------
    superlink : SuperLink
        Where they are registered.
    """

    def __init__(self, superlink: SuperLink) -> None:
        self._superlink = superlink
        self._made = 0
        self._private: dict[int, Path] = {}
        self._registered: set[Path] = set()

    def take(self, index: int, *, register: bool = True) -> None:
        """Give a SuperNode a new key.

        Raises
        ------
        RunFailed
            If the SuperLink does not register it.
        """
        path = self._superlink.launch.folder / f"supernode-{index}-{self._made}.key"
        self._made += 1
        public = make_node_key(path)
        self._private[index] = path
        if register:
            self._superlink.query("supernode", "register", str(public))
            self._registered.add(path)

    def private(self, index: int) -> Path:
        """Return where the private half of a SuperNode's key is."""
        return self._private[index]

    def public(self, index: int) -> Path:
        """Return where the public half is."""
        return public_half(self._private[index])

    def is_registered(self, index: int) -> bool:
        """Say whether the SuperLink knows a SuperNode's key."""
        return self._private[index] in self._registered
