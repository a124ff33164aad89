"""The one error that a user sees: what was given or done is wrong, said in one line."""

from __future__ import annotations


class XbotError(Exception):
    """The command prints `xbot: MESSAGE` and exits with 2. The message names file, line and field, if any."""
