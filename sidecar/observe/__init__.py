"""What the operator sees of a running sidecar: its log, its metrics, its health."""
