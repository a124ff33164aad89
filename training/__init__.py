"""Training: logs in, one model file out. Imports of sidecar/ only core, errors, model, progress and reading."""
