"""The operator's hand: the control socket of a running sidecar, and the commands that use it."""
