"""The server's side: the strategy that all methods share, and its ledger."""
