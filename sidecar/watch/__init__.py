"""A running sidecar, watched in a terminal."""
