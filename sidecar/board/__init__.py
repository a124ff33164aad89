"""What master and workers share: memory with the model and policies that are served, and with the counters."""
