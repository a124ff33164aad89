"""The live page, and what it asks for: its files, a stream of what happens, and the box for one request.

Law: it is read-only and has no password; admin.py says who may ask. Nothing of it comes from elsewhere, and the browser is told to run
and to load nothing else (Content-Security-Policy); its script shows what visitors sent as text alone. However many watch, what they see
is put together once a second, and a reader that stalls misses some of it and slows nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

import sidecar
from sidecar.errors import XbotError
from sidecar.live.box import Box, TooManyError
from sidecar.live.status import card, effective
from sidecar.observe.server import Answer, Asked, Headers, line
from sidecar.observe.watched import Watched

_SECONDS = 1.0  # from one message of a stream to the next
_HERE = Path(__file__).with_name("static")
_FILES = {
    b"/": ("page.html", b"text/html; charset=utf-8"),
    b"/page.css": ("page.css", b"text/css; charset=utf-8"),
    b"/page.js": ("page.js", b"text/javascript; charset=utf-8"),
    b"/icon.svg": ("icon.svg", b"image/svg+xml"),
}
_SAFE: Headers = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)
_JSON = (b"Content-Type", b"application/json")
_FRESH = (b"Cache-Control", b"no-store")


class Pasted(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in the box, and the address that it came from."""

    text: str
    address: str = ""


class Page:
    """Of this `master`."""

    def __init__(self, master: Watched) -> None:
        self._master = master
        self._box = Box()
        self._files = {path: (_HERE.joinpath(name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}
        self._told = (-_SECONDS, b"")
        self._began = time.monotonic()

    async def answer(self, asked: Asked) -> Answer | None:
        """None: there is nothing at this path."""
        if asked.path in self._files:
            return self._only_read(asked) or self._file(asked)
        if asked.path == b"/live.json":
            return self._only_read(asked) or Answer(HTTPStatus.OK, self._message(), [_JSON, _FRESH, *_SAFE])
        if asked.path == b"/live":
            headers = [(b"Content-Type", b"text/event-stream"), _FRESH, (b"X-Accel-Buffering", b"no"), *_SAFE]
            return self._only_read(asked) or Answer(HTTPStatus.OK, self._stream(), headers)
        if asked.path == b"/explain":
            return self._explain(asked)
        return None

    def _only_read(self, asked: Asked) -> Answer | None:
        if asked.method in (b"GET", b"HEAD"):
            return None
        return line(HTTPStatus.METHOD_NOT_ALLOWED, "there are GET and HEAD", [(b"Allow", b"GET, HEAD")])

    def _file(self, asked: Asked) -> Answer:
        content, kind = self._files[asked.path]
        tag = b'"%s"' % hashlib.sha256(content).hexdigest()[:16].encode()
        headers = [(b"Content-Type", kind), (b"ETag", tag), (b"Cache-Control", b"no-cache"), *_SAFE]
        known = {each.strip().removeprefix(b"W/") for each in (asked.header(b"if-none-match") or b"").split(b",")}
        if tag in known or b"*" in known:
            return Answer(HTTPStatus.NOT_MODIFIED, b"", headers[1:])
        return Answer(HTTPStatus.OK, content, headers)

    async def _stream(self) -> AsyncIterator[bytes]:
        """A message a second, until the client is gone or the sidecar ends."""
        yield b"retry: 2000\n\n"
        while True:
            yield b"data: " + self._message() + b"\n\n"
            await asyncio.sleep(_SECONDS)

    def _message(self) -> bytes:
        """All that the page shows, as JSON in ASCII; the same bytes for all who ask within a moment."""
        made, said = self._told
        if time.monotonic() - made >= _SECONDS / 2:
            said = json.dumps(self._state(), separators=(",", ":")).encode()
            self._told = time.monotonic(), said
        return said

    def _state(self) -> dict[str, Any]:
        master = self._master
        overrides, addresses = master.board.wheel.said()
        model, _ = self._box.opened(master.served)
        return {
            "version": sidecar.__version__,
            "pid": os.getpid(),
            "seconds": round(time.monotonic() - self._began, 1),
            "draining": master.draining,
            "unreachable": dict(master.unreachable),
            "model": card(master.served, model),
            "policies": effective(master.served.modes, overrides),
            "allowed_by_hand": len(addresses),
            "alarms": [
                {"alarm": name, "says": each.says}
                for name, each in master.alarms.alarms.items()
                if each.since is not None
            ],
            "live": master.feed.snapshot(),
        }

    def _explain(self, asked: Asked) -> Answer:
        """A page of another site's cannot ask: its browser would ask first whether it may send JSON, and we say no."""
        if asked.method != b"POST":
            return line(HTTPStatus.METHOD_NOT_ALLOWED, "there is POST", [(b"Allow", b"POST")])
        kind = (asked.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != b"application/json" or asked.header(b"sec-fetch-site") not in (None, b"same-origin", b"none"):
            return line(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "ask from this page, with application/json")
        try:
            pasted = msgspec.json.decode(asked.body, type=Pasted)
            text = pasted.text.encode("utf-8", "surrogatepass")
            said = self._box.judge(text, pasted.address.strip().encode("utf-8", "surrogatepass"), self._master.served)
        except TooManyError as error:
            return _wrong(HTTPStatus.TOO_MANY_REQUESTS, error)
        except (XbotError, msgspec.MsgspecError, UnicodeError) as error:
            return _wrong(HTTPStatus.BAD_REQUEST, error)
        return Answer(HTTPStatus.OK, json.dumps(said).encode(), [_JSON, _FRESH, *_SAFE])


def _wrong(status: HTTPStatus, error: Exception) -> Answer:
    return Answer(status, json.dumps({"error": str(error)}).encode(), [_JSON, _FRESH, *_SAFE])
