"""A small site behind nginx: every page shows what the sidecar said of the visitor, and what reached the site.

Law: it knows nothing but the request. What it was told it says back in the header Site-Was-Told, so that a program can
read it too, and keeps each request in a file that `xbot explain --format jsonl` reads.
"""

from __future__ import annotations

import html
import json
import string
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

HERE = Path(__file__).resolve().parent
PAGES = {"/", "/news", "/members/"}
# Set by nginx on the way: not the visitor's.
NGINX = {"x-bot", "x-bot-score", "x-bot-reason", "x-real-ip", "x-visitor", "connection"}
HANDSHAKE = ("protocol", "ciphers", "curves", "alpn", "reused")  # in X-Visitor, behind scheme and protocol


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; `visits` is the file that requests are kept in."""

    protocol_version = "HTTP/1.1"
    visits: ClassVar[Path]
    writing: ClassVar[threading.Lock] = threading.Lock()

    def do_GET(self) -> None:
        """Answers with the page, or its style sheet; both say what the site was told."""
        self._keep()
        path = self.path.partition("?")[0]
        if path == "/style.css":
            self._reply(200, "text/css", (HERE / "style.css").read_bytes())
        else:
            self._reply(200 if path in PAGES else 404, "text/html; charset=utf-8", self._page().encode())

    do_HEAD = do_POST = do_GET  # noqa: N815  the base class calls them so

    def _told(self) -> tuple[str, str, str]:
        told = self.headers.get
        return told("X-Bot", "nothing"), told("X-Bot-Score", "-"), told("X-Bot-Reason", "-")

    def _page(self) -> str:
        verdict, score, reason = map(html.escape, self._told())
        rows = "".join(f"<tr><td>{html.escape(name)}<td>{html.escape(value)}" for name, value in self.headers.items())
        percent = f"{float(score) * 100:.1f}" if score != "-" else "50"
        request = html.escape(f"{self.command} {self.path}")
        page = string.Template((HERE / "page.html").read_text(encoding="utf-8"))
        return page.substitute(
            verdict=verdict, score=score, reason=reason, percent=percent, request=request, headers=rows
        )

    def _reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Site-Was-Told", " ".join(self._told()))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _keep(self) -> None:
        scheme, protocol, *handshake = self.headers.get("X-Visitor", "").split("|")
        record = {
            "ip": self.headers.get("X-Real-IP"),
            "method": self.command,
            "uri": self.path,
            "protocol": protocol,
            "scheme": scheme,
            "host": self.headers.get("Host"),
            "headers": [pair for pair in self.headers.items() if pair[0].lower() not in NGINX],
            "tls": dict(zip(HANDSHAKE, handshake, strict=True)),  # over plain http all of it is empty, which is absent
        }
        with self.writing, self.visits.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def log_message(self, *_: object) -> None:
        """Says nothing: nginx keeps the log."""


class Site:
    """The site on a free loopback port, in a thread, for the time of a `with` block."""

    def __init__(self, visits: Path) -> None:
        visits.write_bytes(b"")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"visits": visits}))
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Site:
        threading.Thread(target=self._server.serve_forever, name="site", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
