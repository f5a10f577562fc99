"""The client's side: the mod, one turn, and the client's log."""
