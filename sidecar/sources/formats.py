"""The formats of logs, one row each: its name, what a line of it can hold, how a line is read.

Law: nothing else asks for a format by its name. A new format is a row here; of JSON, with a type in records.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from sidecar import core
from sidecar.sources import records

# What nginx/log_format.conf puts behind a combined line: verdict, score, reason, policy.
_DECISION = re.compile(rb' "([a-z]+)" "([\d.]*|-)" "([^"]*)" "([^"]*)"\s*$')


class Format(NamedTuple):
    """`groups`: those of core.GROUPS that a line can hold. `record`: reads a line without its line break into a request,
    core.LineError if it cannot; None: csrc reads it, a block at a time where that pays. `sessions`: a client's lines are
    of one visitor. `decision`: finds verdict, score, reason and policy where a line may end with them."""

    name: str
    doc: str
    groups: frozenset[str]
    record: Callable[[bytes, core.Request], None] | None = None
    sessions: bool = True
    decision: re.Pattern[bytes] | None = None

    def handshakes(self) -> core.Handshakes | None:
        """For one log: what its lines say of their connections. None: no line of this format says anything."""
        return core.Handshakes() if "tls" in self.groups else None

    def load(self, text: bytes, request: core.Request) -> None:
        """Reads a line, without its line break, into `request`; core.LineError with field and reason if it cannot."""
        if self.record is not None:
            self.record(text, request)
        else:
            request.load_line(self.name, text.removesuffix(b"\r"))


_EVERY = frozenset(core.GROUPS)
FORMATS = {
    row.name: row
    for row in (
        Format("challenge", "tab-separated, with labels", frozenset({"ip", "ua", "referrer"}), sessions=False),
        Format("combined", "of nginx and Apache", frozenset({"ip", "ua", "referrer", "url"}), decision=_DECISION),
        Format("jsonl", "xbot's own, of captures and nginx/log_format.conf", _EVERY, records.load_record),
        Format("caddy", "Caddy's access log in JSON", _EVERY - {"client"}, records.load_caddy),
        Format("traefik", "Traefik's access log in JSON", _EVERY - {"client", "tls"}, records.load_traefik),
    )
}
NAMES = tuple(FORMATS)
