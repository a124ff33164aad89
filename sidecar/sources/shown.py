"""What visitors sent, made fit for a terminal or a page.

Law: nothing that a visitor chose acts on what shows it.
"""

from __future__ import annotations


def text(value: str | bytes) -> str:
    """What a visitor sent, for people to read: without control bytes that a terminal would obey."""
    shown = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
