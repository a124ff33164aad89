"""A request that somebody pastes, a line of a log or the headers of a browser, judged by what is served now.

Law: it is judged alone, counts nowhere, and asks nobody: not the table of clients, not the DNS. Text is bounded, and so is how often
one is judged; whatever is in it, the answer is a verdict or one line that says why there is none.
"""

from __future__ import annotations

import re
import time
from typing import Any

from sidecar import core
from sidecar.board.served import Served
from sidecar.decisions.reader import lacks
from sidecar.errors import XbotError
from sidecar.live import shown
from sidecar.sources.choosing import guess

A_SECOND = 5  # texts that are judged
_HELD = {
    "ip": "the address", "ua": "the agent", "referrer": "the referrer", "url": "the URL", "headers": "headers in their order",
    "tls": "the TLS handshake", "client": "what the client did before",
}  # fmt: skip
_START = re.compile(rb"[A-Za-z]{1,32} \S+ HTTP/\d")
_FIELD = re.compile(rb"(:?[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)", re.DOTALL)


class TooManyError(XbotError):
    """No more in this second."""


class Box:
    """Judges by what `serve` was called with last."""

    def __init__(self) -> None:
        self._served: tuple[str, int, core.Model, core.Policies] | None = None
        self._second, self._judged = 0, 0

    def opened(self, served: Served) -> tuple[core.Model, core.Policies]:
        """Model and policies that are served, opened once."""
        if self._served is None or self._served[:2] != (served.sha256, served.generation):
            model, policies = core.served_parts(served.image(), verified=True)
            self._served = served.sha256, served.generation, core.Model(bytes(model)), core.Policies(bytes(policies))
        return self._served[2], self._served[3]

    def judge(self, text: bytes, address: bytes, served: Served) -> dict[str, Any]:
        """What the verdict would be, and why. XbotError says in one line what is wrong with the text."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._judged = second, 0
        if self._judged >= A_SECOND:
            raise TooManyError(f"more than {A_SECOND} in a second; try again")
        self._judged += 1
        request, read_as = _read(text)
        if address:
            if core.parse_address(address) is None:
                raise XbotError(f"{shown.short(address, 64)!r} is no address")
            request.come_from(address)
        model, policies = self.opened(served)
        verdict, bias, parts = model.explain(request)
        decision = policies.decide(model, request, served.listen_policies[0] if served.listen_policies else "default")
        looked_at = {name: model.header["groups"] & bits for name, bits in core.GROUPS.items()}
        missing = [_HELD[name] for name, bits in looked_at.items() if bits & ~request.present]
        fields = request.fields
        return {
            "read_as": read_as,
            "verdict": decision.outcome,
            "refused": decision.refuse,
            "score": round(verdict.score, 4),
            "margin": round(verdict.margin, 4),
            "policy": decision.policy,
            "said": shown.reason(decision.reason, lacks(model)),
            "parts": shown.added_up(verdict.margin, bias, parts),
            "missing": missing,
            **{name: shown.short(fields[name]) for name in ("ip", "method", "uri", "agent")},
        }


def _read(text: bytes) -> tuple[core.Request, str]:
    """The request of a text, and what it was read as."""
    lines = [line.rstrip(b"\r") for line in text.strip(b"\r\n").split(b"\n")]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise XbotError("there is no text")
    request = core.Request()
    try:
        form = None if _START.match(lines[0]) else guess(lines[:1])  # a line may begin with an address: 2001:db8::1
        if form is None and (_START.match(lines[0]) or _FIELD.match(lines[0])):
            request.load_head(_head(lines), None)
            return request, "the headers of a request"
        if form is None:
            raise XbotError("neither a line of a log that is known nor the headers of a request")
        form.opened().load(lines[0], request)
        return request, f"a line of a log: {form.name}" + ("; only the first was read" if len(lines) > 1 else "")
    except core.LineError as error:
        raise XbotError(f"{error.args[0]}: {error.args[1]}") from None


def _head(lines: list[bytes]) -> bytes:
    """A head, also of what a browser's tools copy: lines of headers without a first line, or with that of HTTP/2 (`:method`)."""
    first = lines.pop(0) if _START.match(lines[0]) else None
    said: dict[bytes, bytes] = {}
    headers = []
    for line in lines:
        found = _FIELD.match(line)
        if found and found[1].startswith(b":"):
            said[found[1].lower()] = found[2].strip()
        else:
            headers.append(line)
    if first is None:
        first = b"%s %s HTTP/1.1" % (said.get(b":method", b"GET"), said.get(b":path", b"/"))
    if b":authority" in said:
        headers.insert(0, b"Host: " + said[b":authority"])
    return b"\r\n".join([first, *headers, b"", b""])
