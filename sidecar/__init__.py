"""Serving: from a request head to a verdict. Imports neither training/ nor scikit-learn; a worker imports no numpy."""

__version__ = "0.2.0"
