"""pages.py - the site at which real browsers live: pages with parts, data, files, what is gone; and the clock of the table.

Law: what is answered follows from the path's first folder. Time is a file that the sidecar and nginx read (XBOT_CLOCK): it runs by the real
one, and leaps by what somebody rests, or what lies between two requests below /api.
"""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from pathlib import Path

from aiohttp import web

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PAGE = """<!doctype html><title>{path}</title><link rel=stylesheet href=/static/a.css><link rel=stylesheet href=/static/b.css>
<script src=/static/a.js></script><link rel=manifest href=/static/site.webmanifest>
<h1>{path}</h1><p>{links}<p>{pictures}
<form method=post action=/login><input name=name><input name=password type=password><button id=enter>ok</button></form>
<form action=/search><input name=q></form><p style="height:3000px">text"""
WORKER = """addEventListener('install', () => skipWaiting()); addEventListener('activate', event => event.waitUntil(clients.claim()));
const look = async () => { for (let i = 0; i < 60; i++) await fetch('/app/file' + i + '.json', { cache: 'no-cache' }); return 1; };
addEventListener('message', event => event.waitUntil(look().then(() => event.source.postMessage('done'))));
addEventListener('fetch', event => { if (event.request.mode === 'navigate') event.respondWith(caches.open('p').then(async kept => {
  const found = await kept.match('/app/'); if (found) return found; await kept.add('/app/'); return kept.match('/app/'); })); });"""
KEPT, ASKED = {"Cache-Control": "max-age=86400, immutable"}, {"Cache-Control": "no-cache", "ETag": '"1"'}
CROSS = {
    "Access-Control-Allow-Headers": "content-type",
    "Access-Control-Allow-Methods": "POST, PUT",
    "Access-Control-Max-Age": "0",
}


class Clock:
    """`seconds`: what has been skipped. `write` puts the time where the table reads it."""

    def __init__(self, path: Path) -> None:
        self.path, self.skipped = path, 0.0
        self.write()

    def write(self) -> None:
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            file.write(struct.pack("<Q", round(1000 * (time.time() + self.skipped))))

    def rest(self, seconds: float) -> None:
        self.skipped += seconds
        self.write()

    async def run(self) -> None:
        while True:
            self.write()
            await asyncio.sleep(0.01)


class Site:
    """`step`: seconds that pass with each request below /api, /films; `broken`: each page is answered with 502."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.step, self.broken = clock, 0.0, False

    async def start(self, socket: Path) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        socket.chmod(0o666)
        return runner

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        first = request.path.split("/")[1] if request.path.count("/") > 1 else ""
        cross = {**CROSS, "Access-Control-Allow-Origin": request.headers.get("Origin", "*")}
        if request.headers.get("Upgrade", "").lower() == "websocket":
            self.clock.rest(self.step)
            return web.Response(status=502)
        await request.read()
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=cross)
        if first in ("api", "films"):
            self.clock.rest(self.step)
            if request.path.endswith("events"):
                return web.Response(text="data: x\n\n", content_type="text/event-stream", headers=cross)
            return web.Response(
                text='{"ok": true}', content_type="application/json", headers={**cross, "Cache-Control": "no-store"}
            )
        if first == "gone":
            return web.Response(status=404, text="gone", content_type="text/html")
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304, headers=ASKED)
        if (answer := _file(request.path, first)) is not None:
            return answer
        if self.broken:
            return web.Response(status=502, text="<h1>502</h1>", content_type="text/html")
        if request.path == "/login" and request.method == "POST":
            return web.Response(status=200, text=page("/login"), content_type="text/html")
        answer = web.Response(text=page(request.path), content_type="text/html", headers=ASKED)
        if "session" not in request.cookies:
            answer.set_cookie("session", "1", secure=True, samesite="Lax")
        return answer


def _file(path: str, first: str) -> web.Response | None:
    """What is no page, by its folder and ending."""
    ending = path.rpartition(".")[2] if "." in path else ""
    if path == "/worker.js":
        return web.Response(text=WORKER, content_type="text/javascript", headers=ASKED)
    if first in ("tiles", "pictures") or path == "/favicon.ico":
        return web.Response(
            body=PIXEL, content_type="image/png", headers=KEPT if first != "tiles" else {"Cache-Control": "no-store"}
        )
    if first == "papers":
        return web.Response(
            body=b"%PDF-1.4\n" + bytes(2000),
            content_type="application/pdf",
            headers={"Content-Disposition": "attachment"},
        )
    if first == "src":
        return web.Response(text="export default 1", content_type="text/javascript", headers=ASKED)
    if first == "app" and ending == "json":
        return web.Response(text="{}", content_type="application/json", headers=ASKED)
    if first == "static":
        kind = {"css": "text/css", "js": "text/javascript", "webmanifest": "application/manifest+json"}.get(
            ending, "text/plain"
        )
        return web.Response(text="{}" if ending == "webmanifest" else "", content_type=kind, headers=KEPT)
    return None


def page(path: str) -> str:
    """Links to thirty pages, and four pictures without an ending; a page of photographs has one, and a link to the next."""
    if path.startswith("/photos/"):
        number = int(path.rsplit("/", 1)[1])
        head = f"<!doctype html><title>{number}</title><link rel=stylesheet href=/static/a.css>"
        return f"{head}<a id=next href=/photos/{number + 1}>next</a><img src=/tiles/{number}>"
    links = " ".join(f"<a class=page href=/articles/{n}>article {n}</a>" for n in range(30))
    pictures = "".join(f"<img src=/pictures/{sum(map(ord, path)) % 40 + n}>" for n in range(4))
    return PAGE.format(path=path, links=links, pictures=pictures)
