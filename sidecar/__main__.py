"""`python -m sidecar` is the command `xbot`."""

from sidecar.cli import main

main()
