"""HAProxy's log of requests, `option httplog`, and the headers that it captures: values between bars, without names.

Law: a capture is what the owner says it is, by the lines of haproxy.cfg that make it. If nobody says, the place where most lines have what
browsers send is the agent's. HAProxy writes bars, braces and quotes of a visitor as #HH, so nobody moves to another place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sidecar import core
from sidecar.sources.fields import patterns, variables
from sidecar.sources.fields.w3c import Reader

_LINE = patterns.Pattern(
    "$client [$time] $frontend $backend $timers $status $bytes_sent $request_cookie $response_cookie $termination "
    '$connections $queues_and_captures "$request"',
    "haproxy",
)
# What syslog puts before a line.
_SYSLOG = re.compile(rb"(?:<\d+>)?[^\[\]\"]{0,200}(?:\[\d+\])?: (?=[0-9a-fA-F.:]+:\d+ \[)")
_CAPTURED = re.compile(rb'^[^"{\n]* \d+/\d+ \{([^{}"\n]*)\} (?:\{[^{}"\n]*\} )?"', re.MULTILINE)
_BROWSER = re.compile(rb"Mozilla/\d")
_DIRECTIVE = re.compile(r"(?:capture|declare\s+capture)\s+request\s+(?:header\s+(\S+)\s+)?len\s+(\d+)")
_MOST_LINES = 10_000  # that are asked where the agent stands: later ones change nothing


class Captures(Reader):
    """Reads the lines of one log, from its beginning on."""

    def __init__(self, told: Sequence[tuple[str, int]] = ()) -> None:
        """`told`: of each captured header the name, and how many bytes of it are kept."""
        self._captured = tuple((f"http_{name.lower().replace('-', '_')}", longest) for name, longest in told)
        self.groups = variables.groups(
            (*_LINE.names, *(name for name, _ in self._captured or (("http_user_agent", 0),)))
        )
        # (captures of a line, place) -> lines that have a browser there; and the longest of these, and whether another was as long, so
        # that both are cut. Neither is ever changed: copies share them.
        self._votes: Mapping[tuple[int, int], int] = {}
        self._longest: Mapping[tuple[int, int], tuple[bytes, bool]] = {}

    def opened(self) -> Captures:
        """Another reader, at the beginning of a log."""
        other = Captures()
        other._captured, other.groups = self._captured, self.groups
        return other

    def skip(self, block: bytes) -> None:
        """Takes note of a block that somebody else reads."""
        if not self._captured:
            for found in _CAPTURED.finditer(block):
                self._ask(found[1].split(b"|"))

    def load(self, line: bytes, request: core.Request) -> None:
        """Reads a line into a request; core.LineError with field and reason if it cannot."""
        syslog = _SYSLOG.match(line)
        line = line[syslog.end() :] if syslog else line
        said = _LINE.read(line)
        if found := _CAPTURED.match(line):
            captures = found[1].split(b"|")
            said |= self._named(captures) if self._captured else self._seen(captures)
        variables.load(said, request)

    def _named(self, captures: Sequence[bytes]) -> dict[str, bytes]:
        if len(captures) != len(self._captured):
            raise core.LineError("captures", f"{len(captures)}, and --log-format names {len(self._captured)}")
        pairs = zip(self._captured, map(patterns.STYLES["haproxy"], captures), strict=True)
        return {name: value for (name, longest), value in pairs if len(value) < longest}

    def _seen(self, captures: Sequence[bytes]) -> dict[str, bytes]:
        self._ask(captures)
        n = len(captures)
        i = max(range(n), key=lambda i: self._votes.get((n, i), 0))
        longest, are_cut = self._longest.get((n, i), (b"", False))
        agent = captures[i]
        if are_cut and len(agent) == len(longest):
            return {}
        if not self._votes.get((n, i)) or agent.count(b"(") > agent.count(b")"):  # cut in a comment
            return {}
        return {"http_user_agent": patterns.STYLES["haproxy"](agent)}

    def _ask(self, captures: Sequence[bytes]) -> None:
        """Has a line say where its agent stands, and how long one may be."""
        if sum(self._votes.values()) >= _MOST_LINES:
            return
        for i, value in enumerate(captures):
            if not _BROWSER.match(value):
                continue
            key = len(captures), i
            self._votes = {**self._votes, key: self._votes.get(key, 0) + 1}
            longest, are_cut = self._longest.get(key, (b"", False))
            if len(value) > len(longest):
                self._longest = {**self._longest, key: (value, False)}
            elif len(value) == len(longest) and value != longest and not are_cut:
                self._longest = {**self._longest, key: (longest, True)}


def told(text: str) -> Captures | None:
    """A reader by lines of haproxy.cfg that capture headers of requests; None where the text has none."""
    found = _DIRECTIVE.findall(text)
    return Captures([(name or "unknown", int(longest)) for name, longest in found]) if found else None
