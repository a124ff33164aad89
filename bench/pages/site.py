"""A site whose pages ask for all that pages ask for, and that writes down each request as it came.

Law: it answers whatever is asked below /m/ by the path's suffix; what is served matters only so far as the browser then asks for more.
nginx stands before it and speaks TLS; what it knows of a connection and of a request comes along in headers of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pages import authority

HERE = Path(__file__).parent
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_STYLE = """@import url(/m/imported.css); @font-face { font-family: own; src: url(/m/font.woff2) }
body { font-family: own; background: url(/m/background.png) } .mask { mask-image: url(/m/mask.svg) }"""
_PAGE = "<!doctype html><title>moments</title><link rel=manifest href=/site.webmanifest><script src=/moments.js></script><body><p>a page"
_TYPES = {
    "json": "application/json", "webmanifest": "application/manifest+json", "js": "text/javascript", "mjs": "text/javascript",
    "css": "text/css", "png": "image/png", "svg": "image/svg+xml", "html": "text/html", "pdf": "application/pdf",
    "mp4": "video/mp4", "ogg": "audio/ogg", "vtt": "text/vtt", "woff2": "font/woff2", "txt": "text/plain", "xml": "text/xml",
    "xsl": "text/xsl", "wasm": "application/wasm",
}  # fmt: skip
_BODIES: dict[str, str | bytes] = {
    "/": _PAGE,
    "style.css": _STYLE,
    "style_cross.css": "@font-face { font-family: other; src: url(/m/font_cross.woff2) } body { font-family: other }",
    "fetching.js": "fetch('/m/in_worker.json')",
    "importing.js": "importScripts('/m/imported.js')",
    "shared.js": "onconnect = () => fetch('/m/in_shared_worker.json')",
    "module.mjs": "import '/m/imported.mjs'; import('/m/imported_later.mjs')",
    "refresh.html": '<meta http-equiv=refresh content="0;url=/m/refreshed.html">',
    "styled.xml": '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="/m/style.xsl"?><a/>',
    "policy.html": "<img src=http://127.0.0.1:9/elsewhere.png>",
}
_BY_SUFFIX: dict[str, str | bytes] = {
    "png": _PIXEL, "json": "{}", "webmanifest": "{}", "vtt": "WEBVTT\n", "html": "<!doctype html><p>a page", "mp4": bytes(500_000),
    "svg": "<svg xmlns='http://www.w3.org/2000/svg'><g id='a'/></svg>", "pdf": b"%PDF-1.4\n" + bytes(200_000), "ogg": bytes(500_000),
}  # fmt: skip
_HEADERS = {
    "policy.html": {"Content-Security-Policy": "img-src 'self'; report-uri /m/policy_report"},
    "signed_in.html": {"Set-Cookie": "session=abc; Path=/"},
}
_FILE = 4_000_000
NAMES = ("www.site.example", "other.example")  # of a site without https, and of another
_TLS = ("protocol", "ciphers", "curves", "alpn", "reused")
_TOLD = "seen-"  # so begin the names of the headers in which nginx tells


class Site:
    """`asked`: each request in the order in which they came, as a line of `jsonl`. Only the loopback reaches it.

    `plain` is a site without https, by names that are not this machine's: whom a browser trusts as it trusts https. Else it is this
    machine's, over HTTP/2 or, without `http2`, over HTTP/1.1. `here` is a directory for its files; `authority` there, whom to trust;
    `key`, the digest of its own, as Chromium's options name one.
    """

    def __init__(self, here: Path, *, plain: bool, http2: bool = True) -> None:
        self.asked: list[dict[str, Any]] = []
        self.here, self.plain, self.http2 = here, plain, http2
        self.port, self.key = 0, ""
        self.authority = here / "ca.crt"
        self._nginx: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Takes free ports. RuntimeError where nginx does not start."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        listener = web.TCPSite(self._runner, "127.0.0.1", 0)
        await listener.start()
        self.port = self._runner.addresses[0][1]
        if not self.plain:
            self._certificate()
            await self._in_front(self.port)

    def _certificate(self) -> None:
        """Of this machine's names; its key's digest."""
        key = x509.load_pem_x509_certificate(authority.issue(self.here).cert_chain_pems[0].bytes()).public_key()
        digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        self.key = base64.b64encode(digest).decode()

    async def _in_front(self, behind: int) -> None:
        """nginx, on a port that takes the place of the site's own."""
        binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if binary is None:
            raise RuntimeError("nginx is not installed: apt-get install nginx-light")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = {"here": self.here, "port": self.port, "behind": behind, "h2": "http2" if self.http2 else "",
                 "user": "user root;" if os.geteuid() == 0 else ""}  # fmt: skip
        (self.here / "nginx.conf").write_text((HERE / "site.conf").read_text().format(**words))
        command = [binary, "-p", str(self.here), "-c", str(self.here / "nginx.conf")]
        self._nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not (self.here / "nginx.pid").exists():
            if self._nginx.poll() is not None:
                raise RuntimeError(f"nginx did not start: {(self.here / 'error.log').read_text().strip()}")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        if self._nginx is not None:
            self._nginx.terminate()
            self._nginx.wait()
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        return f"http://{NAMES[0]}:{self.port}" if self.plain else f"https://127.0.0.1:{self.port}"

    @property
    def other(self) -> str:
        """Another site for a browser."""
        return f"http://{NAMES[1]}:{self.port}" if self.plain else f"https://localhost:{self.port}"

    def requests(self, name: str) -> list[dict[str, Any]]:
        """What was asked, as a public site of this name would have been asked, over https unless it is plain."""
        scheme = "http" if self.plain else "https"
        public = {self.origin: f"{scheme}://{name}", self.other: f"{scheme}://elsewhere.example"}
        public |= {url.partition("//")[2]: named.partition("//")[2] for url, named in public.items()}
        out = []
        for request in self.asked:
            pairs = []
            for header, value in request["headers"]:
                for own, named in public.items():
                    value = value.replace(own, named)
                # A browser with a window says nothing else but this; that of some tests is without one.
                pairs.append([header, value.replace("HeadlessChrome", "Chrome")])
            out.append({**request, "scheme": scheme, "host": name, "headers": pairs})
        return out

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
        sent = [pair for pair in pairs if not pair[0].lower().startswith(_TOLD)]
        asked = {"method": request.method, "uri": request.raw_path, "protocol": "HTTP/1.1", "headers": sent}
        if not self.plain:
            asked["protocol"] = request.headers["Seen-Protocol"]
            asked["tls"] = dict(zip(_TLS, request.headers["Seen-TLS"].split(" "), strict=True))
        self.asked.append(asked)
        cross = {
            "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Headers": "content-type, x-app",
            "Access-Control-Allow-Methods": "PUT, DELETE",
        }
        name = request.path.rsplit("/", 1)[-1]
        suffix = name.rsplit(".", 1)[-1] if "." in name else "html"
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=cross)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            channel = web.WebSocketResponse(protocols=("graphql-transport-ws",))
            await channel.prepare(request)
            await channel.close()
            return channel
        await request.read()
        if request.path in ("/moments.js", "/service_worker.js"):
            return web.Response(body=(HERE / name).read_bytes(), content_type="text/javascript")
        if name.startswith("redirect") and "to" in request.query:
            return web.Response(status=302, headers={"Location": request.query["to"]})
        if name.startswith("events"):
            return web.Response(text="data: x\n\n", content_type="text/event-stream", headers=cross)
        if name == "interrupted.bin":
            return await _interrupted(request)
        headers = cross | _HEADERS.get(name, {}) | {"ETag": '"1"'}
        if name.startswith(("attachment", "export")):
            headers["Content-Disposition"] = "attachment"
        body = _BODIES.get(request.path if request.path == "/" else name, _BY_SUFFIX.get(suffix, ""))
        data = body.encode() if isinstance(body, str) else body
        return _range(request, data, _TYPES.get(suffix, "application/octet-stream"), headers)


def _range(request: web.Request, data: bytes, kind: str, headers: dict[str, str]) -> web.Response:
    """Films and PDFs are asked for in parts."""
    headers = headers | {"Accept-Ranges": "bytes"}
    said = request.headers.get("Range", "").removeprefix("bytes=").split(",")[0]
    first, _, last = said.partition("-")
    if not first.isdigit() or int(first) >= len(data):
        return web.Response(body=data, content_type=kind, headers=headers)
    start, end = int(first), min(int(last or len(data)), len(data) - 1)
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return web.Response(status=206, body=data[start : end + 1], content_type=kind, headers=headers)


async def _interrupted(request: web.Request) -> web.StreamResponse:
    """Half of a file, and then nothing more, until the browser asks for the rest."""
    start = int(request.headers["Range"].removeprefix("bytes=").split("-")[0]) if "Range" in request.headers else 0
    reply = web.StreamResponse(status=206 if start else 200)
    reply.headers.update({"Accept-Ranges": "bytes", "ETag": '"1"', "Content-Length": str(_FILE - start),
                          "Content-Disposition": "attachment"})  # fmt: skip
    if start:
        reply.headers["Content-Range"] = f"bytes {start}-{_FILE - 1}/{_FILE}"
    await reply.prepare(request)
    await reply.write(bytes(_FILE - start if start else _FILE // 2))
    if not start:
        await asyncio.sleep(0.5)
        if request.transport is not None:  # who asked may be gone meanwhile
            request.transport.abort()
    return reply
