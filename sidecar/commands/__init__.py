"""The command line: one module a command, and the group that finds them."""
