"""The list `search-engines` that comes with xbot: the networks that large search engines publish for their crawlers.

Law: a snapshot (`make networks`) that begins with its date; nothing is fetched. config.py adds it to the policies.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import sidecar

NAME = "search-engines"
FILE = Path(sidecar.__file__).with_name("search-engines.txt")
OLD = 180  # days: from then on `xbot check` warns


def date() -> datetime.date:
    """Of the oldest of its parts."""
    found = re.match(r"# date: (\d{4}-\d\d-\d\d)\n", FILE.read_text())
    if found is None:
        raise RuntimeError(f"{FILE}: it does not begin with its date")  # tests/config/test_search_engines.py holds it
    return datetime.date.fromisoformat(found.group(1))


def age() -> int:
    """Days since then; 0 if the clock is before that date."""
    return max(0, (datetime.datetime.now(datetime.timezone.utc).date() - date()).days)


def said() -> str:
    """Date and age, for the log and for `xbot check`."""
    return f"of {date()}, {age()} days old"
