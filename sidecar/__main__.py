"""`python -m sidecar` is the command `xbot`."""

from sidecar.commands.cli import main

main()
