"""What can be watched while a sidecar runs: tallies of the last minutes, the latest decisions, and a request judged on demand."""
