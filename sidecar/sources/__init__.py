"""Logs, from a file or standard input to requests, one after another."""
