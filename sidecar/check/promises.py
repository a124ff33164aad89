"""Does the site's robots.txt say what its policies do?

Law: what it says comes from a file, or from the site itself on this machine: nothing is asked for elsewhere. Reading is bounded
in bytes and time; what is said is compared in verify/robots.py.
"""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from sidecar.check.findings import Findings
from sidecar.config.config import Plan
from sidecar.errors import XbotError
from sidecar.inputs import read_text
from sidecar.verify import robots

ABOUT = "robots.txt"
_SECONDS, _MOST_BYTES = 5.0, 512 << 10  # RFC 9309 has crawlers read as much at least


def look(found: Findings, plan: Plan, place: str) -> None:
    """Adds what does not agree."""
    if find_spec("protego") is None:
        found.add("skipped", ABOUT, "protego is not installed", "pip install 'xbot[verify]'")
        return
    try:
        served = _fetched(place) if "://" in place else read_text(Path(place))
    except XbotError as error:
        found.add_error(ABOUT, error)
        return
    wrong = robots.contradictions(served, *plan.words())
    for line in wrong:
        found.add("warning", ABOUT, f"{place}: {line}", "xbot robots prints one that agrees")
    if not wrong:
        found.add("ok", ABOUT, f"{place} says what the policies say")


class _Stay(urllib.request.HTTPRedirectHandler):
    """No redirect is followed: it could lead elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


def _fetched(address: str) -> str:
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if parts.scheme not in ("http", "https") or not local:
        raise XbotError(f"{address}: not of this machine: http://127.0.0.1/robots.txt, or a file")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    try:
        with opener.open(address, timeout=_SECONDS) as reply:
            data: bytes = reply.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise XbotError(f"{address}: {error}") from None
    return data.decode("utf-8", "replace")
