"""What knows nothing of shops: draws, table, clock, ledger, graph."""
