"""Where the state of the pace is kept: memory, Redis, the ledger."""
