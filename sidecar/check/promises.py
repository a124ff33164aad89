"""Does the site's robots.txt say what its policies do?

Law: it is read and compared in verify/robots.py; here its contradictions become findings.
"""

from __future__ import annotations

from importlib.util import find_spec

from sidecar.check.findings import Findings
from sidecar.config.config import Plan
from sidecar.errors import XbotError
from sidecar.verify import robots

ABOUT = "robots.txt"


def look(found: Findings, plan: Plan, place: str) -> None:
    """Adds what does not agree."""
    if find_spec("protego") is None:
        found.add("skipped", ABOUT, "protego is not installed", "pip install 'xbot[verify]'")
        return
    try:
        served = robots.read(place)
    except XbotError as error:
        found.add_error(ABOUT, error)
        return
    wrong = robots.contradictions(served, *plan.words())
    for line in wrong:
        found.add("warning", ABOUT, f"{place}: {line}", "xbot robots prints one that agrees")
    if not wrong:
        found.add("ok", ABOUT, f"{place} says what the policies say")
