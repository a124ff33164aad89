"""A site whose pages ask for all that pages ask for, and that writes down each request as it came.

Law: it answers whatever is asked below /m/ by the path's suffix; what is served matters only so far as the browser then asks for more.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

from aiohttp import web

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


class Site:
    """`asked`: each request in the order in which they came, as a line of `jsonl`. Only the loopback reaches it.

    A browser trusts this machine as it trusts https; `plain` is a site by names that are not this machine's, without https.
    """

    def __init__(self, *, plain: bool) -> None:
        self.asked: list[dict[str, Any]] = []
        self.plain = plain
        self.port = 0

    async def start(self) -> None:
        """Takes a free port."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        listener = web.TCPSite(self._runner, "127.0.0.1", 0)
        await listener.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        return f"http://{'www.site.example' if self.plain else '127.0.0.1'}:{self.port}"

    @property
    def other(self) -> str:
        """Another site for a browser."""
        return f"http://{'other.example' if self.plain else 'localhost'}:{self.port}"

    def requests(self, name: str) -> list[dict[str, Any]]:
        """What was asked, as a public site of this name would have been asked, over https unless it is plain."""
        scheme = "http" if self.plain else "https"
        public = {self.origin: f"{scheme}://{name}", self.other: f"{scheme}://elsewhere.example"}
        public |= {url.removeprefix("http://"): name for url in public}
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
        self.asked.append({"method": request.method, "uri": request.raw_path, "protocol": "HTTP/1.1", "headers": pairs})
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
            socket = web.WebSocketResponse(protocols=("graphql-transport-ws",))
            await socket.prepare(request)
            await socket.close()
            return socket
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
    if not start and request.transport is not None:
        await asyncio.sleep(0.5)
        request.transport.abort()
    return reply
