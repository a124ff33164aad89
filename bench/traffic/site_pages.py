"""The site that clients are recorded on: a small shop with articles and videos, an aiohttp application behind nginx.

Law: it answers all clients alike and never looks at who asks. What came, in its order, goes into the log with nginx's number of
the request ($request_id); what nginx knows of it (recorder.conf) is joined later. Pages differ by size and parts as on real sites;
images and media have paths without an ending, so that only the content type tells what they are.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from aiohttp import web

WORDS = """amber anchor basket birch bottle brush candle canvas cedar chair clay clock copper cotton cup desk drum fern flask frame
garden glass hammer harbor honey iron jar kettle ladder lamp leather linen map maple mirror needle oak paper pebble pencil plate
quilt river rope saddle sail shelf silk silver spoon stone stool table tea thread timber towel tray vase walnut wax willow wool""".split()
CATEGORIES = "kitchen garden desk light textile travel".split()
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
ASK_AGAIN = {"Cache-Control": "no-cache"}  # kept by browsers, and asked about each time
TRAP = "/members-list/"  # robots.txt forbids it, and no person sees the link
SECRET = "TR-"  # what our nginx puts in front of what it tells the recorder
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Product:
    slug: str
    name: str
    category: str
    price: int  # cents


def _products() -> list[Product]:
    rng = random.Random(2)
    names = rng.sample([(a, b) for a in WORDS for b in WORDS if a != b], 90)
    return [
        Product(f"{a}-{b}", f"{a} {b}".title(), CATEGORIES[i % len(CATEGORIES)], rng.randrange(300, 20000))
        for i, (a, b) in enumerate(names)
    ]


PRODUCTS = {product.slug: product for product in _products()}
POSTS = [f"how-to-choose-a-{word}" for word in WORDS[:24]]
VIDEOS = [f"making-a-{word}" for word in WORDS[30:38]]


def png(name: str, side: int) -> bytes:
    """A picture of `side` pixels, its colours by the name."""
    seed = random.Random(name)
    row = b"\0" + bytes(seed.randrange(256) for _ in range(3 * side))
    data = zlib.compress(b"".join(row[:1] + row[1 + i % 7 :] + row[1 : 1 + i % 7] for i in range(side)), 1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", data) + chunk(b"IEND", b""))  # fmt: skip


CSS = """@font-face{font-family:Body;src:url(/static/fonts/body.woff2) format("woff2");font-display:swap}
body{font:16px/1.6 Body,sans-serif;max-width:60rem;margin:auto;padding:1rem}nav a{margin-right:1rem}
.grid{display:grid;grid-template-columns:repeat(3,1fr);gap:1rem}.grid img{width:100%}header{background:url(/img/banner)}
.away{position:absolute;left:-9999px}article p{margin:1.5rem 0}"""
# What pages do by script: a list's stock, suggestions while somebody types, a word that the page was seen, a player's pieces.
SCRIPT = """addEventListener('DOMContentLoaded',()=>{
const list=document.querySelector('[data-stock]');
if(list)fetch('/api/stock?category='+list.dataset.stock).then(r=>r.json()).then(s=>{
for(const e of document.querySelectorAll('[data-slug]'))e.append(' · '+s[e.dataset.slug])});
const q=document.querySelector('input[name=q]');
if(q)q.addEventListener('input',()=>{if(q.value.length>2)fetch('/api/suggest?q='+encodeURIComponent(q.value))});
navigator.sendBeacon&&navigator.sendBeacon('/api/seen',JSON.stringify({page:location.pathname}));
const v=document.querySelector('[data-video]');
if(v){let n=0;window.nextPiece=()=>fetch('/media/'+v.dataset.video+'/'+(n++)).then(r=>r.arrayBuffer());
document.querySelector('#play').addEventListener('click',()=>nextPiece())}
});"""  # fmt: skip


def page(title: str, body: str, *, video: bool = False) -> web.Response:
    """A page in the site's frame."""
    links = "".join(f'<a href="/c/{name}">{name.title()}</a>' for name in CATEGORIES)
    extra = '<script src="/static/player.js" defer></script>' if video else ""
    text = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} – The Shop</title>
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/static/site.css?v=7">
<link rel="stylesheet" href="/static/theme.css?v=7"><link rel="icon" href="/favicon.ico">
<link rel="alternate" type="application/rss+xml" href="/feed.xml">
<script src="/static/site.js?v=7" defer></script>{extra}</head><body><header>
<a href="/"><img src="/img/logo" alt="The Shop" width="48" height="48"></a>
<nav>{links}<a href="/blog">Articles</a><a href="/videos">Videos</a><a href="/login">Log in</a><a href="/cart">Cart</a></nav>
<form action="/search"><input name="q" autocomplete="off"><button id="find">Search</button></form></header>
<main><h1>{title}</h1>{body}</main><footer><a class="away" href="{TRAP}" rel="nofollow" tabindex="-1" aria-hidden="true">Members</a>
<a href="/about">About</a></footer></body></html>"""  # fmt: skip
    return web.Response(text=text, content_type="text/html")


def _text(name: str, paragraphs: int) -> str:
    rng = random.Random(name)
    return "".join(f"<p>{' '.join(rng.choices(WORDS, k=rng.randrange(40, 120)))}.</p>" for _ in range(paragraphs))


def _grid(products: list[Product]) -> str:
    cells = "".join(
        f'<a class="card" href="/p/{p.slug}" data-slug="{p.slug}"><img src="/img/{p.slug}" loading="lazy" width="240" height="240" alt="">'
        f"{p.name} {p.price / 100:.2f}</a>"
        for p in products
    )
    return f'<div class="grid">{cells}</div>'


def kept(request: web.Request, body: bytes, content_type: str, caching: dict[str, str]) -> web.Response:
    """A part of a page with its ETag, or 304 where the client has it."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag, **caching})
    return web.Response(body=body, content_type=content_type, headers={"ETag": tag, **caching})


async def home(_: web.Request) -> web.Response:
    posts = "".join(f'<li><a href="/blog/{post}">{post.replace("-", " ")}</a></li>' for post in POSTS[:6])
    return page("Things that last", _grid(list(PRODUCTS.values())[:9]) + f"<ul>{posts}</ul>")


async def category(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in CATEGORIES:
        raise web.HTTPNotFound
    found = [product for product in PRODUCTS.values() if product.category == name]
    number = request.query.get("page", "1")
    start = 9 * (int(number) - 1) if number.isdigit() else 0
    more = f'<p><a class="more" href="/c/{name}?page={start // 9 + 2}">Next</a></p>' if start + 9 < len(found) else ""
    return page(name.title(), f'<div data-stock="{name}">{_grid(found[start : start + 9])}</div>{more}')


async def product(request: web.Request) -> web.Response:
    found = PRODUCTS.get(request.match_info["slug"])
    if found is None:
        raise web.HTTPNotFound
    like = [p for p in PRODUCTS.values() if p.category == found.category and p is not found][:6]
    pictures = "".join(f'<img src="/img/{found.slug}-{i}" width="480" height="480" alt="">' for i in range(3))
    hidden = f'<input type="hidden" name="slug" value="{found.slug}">'
    form = f'<form method="post" action="/cart">{hidden}<button id="add">Add to cart</button></form>'
    return page(found.name, f"{pictures}<p>{found.price / 100:.2f}</p>{form}{_text(found.slug, 2)}{_grid(like)}")


async def articles(_: web.Request) -> web.Response:
    return page(
        "Articles",
        "".join(f'<p><a class="post" href="/blog/{post}">{post.replace("-", " ")}</a></p>' for post in POSTS),
    )


async def article(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in POSTS:
        raise web.HTTPNotFound
    near = POSTS[(POSTS.index(name) + 1) % len(POSTS)]
    size = 'width="800" height="400" alt=""'
    picture = f'<img src="/img/{name}" {size}><img src="/img/{name}-2" loading="lazy" {size}>'
    answer = page(
        name.replace("-", " ").capitalize(),
        f'<article>{picture}{_text(name, 14)}</article><a class="post" href="/blog/{near}">Next</a>',
    )
    tag = f'"{zlib.crc32(answer.body or b""):08x}"'  # type: ignore[arg-type]
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag, **ASK_AGAIN})
    answer.headers.update({"ETag": tag, **ASK_AGAIN})
    return answer


async def videos(_: web.Request) -> web.Response:
    return page(
        "Videos",
        "".join(f'<p><a class="video" href="/video/{name}">{name.replace("-", " ")}</a></p>' for name in VIDEOS),
    )


async def video(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in VIDEOS:
        raise web.HTTPNotFound
    body = f'<div data-video="{name}"><img src="/img/{name}" width="640" height="360" alt=""><button id="play">Play</button></div>'
    return page(name.replace("-", " ").capitalize(), body + _text(name, 1), video=True)


async def media(request: web.Request) -> web.Response:
    seed = request.path.encode()
    return web.Response(body=(hashlib.sha512(seed).digest() * 400)[:24000], content_type="video/mp2t", headers=FOREVER)


async def search(request: web.Request) -> web.Response:
    words = request.query.get("q", "").lower().split()
    found = [p for p in PRODUCTS.values() if any(word in p.name.lower() for word in words)][:12]
    return page("Search", _grid(found) if found else "<p>Nothing found.</p>")


async def log_in(request: web.Request) -> web.StreamResponse:
    if request.method == "POST":
        said = await request.post()
        if said.get("password") != "correct horse":
            answer = page("Log in", "<p>Name or password is wrong.</p>")
            answer.set_status(401)
            return answer
        found = web.HTTPSeeOther("/account")
        found.set_cookie(
            "session", hashlib.sha256(str(said.get("name")).encode()).hexdigest()[:32], httponly=True, max_age=2592000
        )
        return found
    fields = '<input name="name"><input name="password" type="password"><button id="enter">Log in</button>'
    return page("Log in", f'<form method="post" action="/login">{fields}</form>')


async def account(request: web.Request) -> web.StreamResponse:
    if "session" not in request.cookies:
        return web.HTTPSeeOther("/login")
    return page("Your account", '<p>Welcome back.</p><ul><li><a href="/orders">Orders</a></li></ul>')


async def orders(request: web.Request) -> web.StreamResponse:
    return page("Orders", "<p>None yet.</p>") if "session" in request.cookies else web.HTTPSeeOther("/login")


async def cart(request: web.Request) -> web.StreamResponse:
    slugs = [slug for slug in request.cookies.get("cart", "").split(".") if slug in PRODUCTS]
    if request.method == "POST":
        slug = str((await request.post()).get("slug"))
        answer = web.HTTPSeeOther("/cart")
        answer.set_cookie("cart", ".".join([*slugs, slug]) if slug in PRODUCTS else ".".join(slugs), max_age=2592000)
        return answer
    return page("Cart", f'{_grid([PRODUCTS[slug] for slug in slugs])}<p><a id="pay" href="/checkout">Check out</a></p>')


async def checkout(request: web.Request) -> web.StreamResponse:
    if request.method == "POST":
        return web.HTTPSeeOther("/thanks")
    return page(
        "Check out",
        '<form method="post" action="/checkout"><input name="street"><input name="town"><button id="order">Order</button></form>',
    )


async def plain(request: web.Request) -> web.Response:
    return page(request.path.strip("/").title(), _text(request.path, 3))


async def image(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    seed = zlib.crc32(name.encode())
    return kept(request, png(name, 32 + seed % 97), "image/png", FOREVER if seed % 2 else ASK_AGAIN)


async def static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    parts = {"site.css": (CSS, "text/css"), "theme.css": (CSS[-120:], "text/css"), "site.js": (SCRIPT, "text/javascript"),
             "player.js": ("window.player=true;", "text/javascript"), "fonts/body.woff2": ("x" * 18000, "font/woff2")}  # fmt: skip
    if name not in parts:
        raise web.HTTPNotFound
    text, kind = parts[name]
    return kept(request, text.encode(), kind, FOREVER if "v" in request.query or "woff" in name else ASK_AGAIN)


async def icon(request: web.Request) -> web.Response:
    return kept(request, png("icon", 32), "image/x-icon", {"Cache-Control": "public, max-age=604800"})


async def stock(request: web.Request) -> web.Response:
    name = request.query.get("category")
    return web.json_response(
        {slug: zlib.crc32(slug.encode()) % 40 for slug, p in PRODUCTS.items() if p.category == name}
    )


async def suggest(request: web.Request) -> web.Response:
    start = request.query.get("q", "").lower()
    return web.json_response([p.name for p in PRODUCTS.values() if start in p.name.lower()][:8])


async def prices(request: web.Request) -> web.Response:
    found = PRODUCTS.get(request.match_info["slug"])
    if found is None:
        raise web.HTTPNotFound
    return web.json_response({"slug": found.slug, "cents": found.price})


async def seen(_: web.Request) -> web.Response:
    return web.Response(status=204)


async def feed(_: web.Request) -> web.Response:
    items = "".join(f"<item><title>{post}</title><link>/blog/{post}</link></item>" for post in POSTS[:10])
    return web.Response(
        text=f'<?xml version="1.0"?><rss version="2.0"><channel><title>The Shop</title>{items}</channel></rss>',
        content_type="application/rss+xml",
    )


async def site_map(request: web.Request) -> web.Response:
    paths = [*(f"/p/{slug}" for slug in PRODUCTS), *(f"/blog/{post}" for post in POSTS)]
    urls = "".join(f"<url><loc>https://{request.host}{path}</loc></url>" for path in paths)
    return web.Response(
        text=f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>',
        content_type="application/xml",
    )


async def robots(_: web.Request) -> web.Response:
    return web.Response(
        text=f"User-agent: *\nDisallow: {TRAP}\nDisallow: /account\nSitemap: /sitemap.xml\n", content_type="text/plain"
    )


async def moved(request: web.Request) -> web.StreamResponse:
    return web.HTTPMovedPermanently(f"/p/{request.match_info['slug']}")


async def elsewhere(request: web.Request) -> web.Response:
    """A page of another site, with links to ours: where people come from. `to` is our site as this client reaches it."""
    to = request.query.get("to", "")
    paths = request.query.get("paths", "/").split(",")
    links = "".join(f'<p><a class="result" href="{to}{path}">{path}</a></p>' for path in paths)
    return web.Response(text=f"<!doctype html><title>Results</title>{links}", content_type="text/html")


ROUTES: list[tuple[str, Handler]] = [
    ("/", home), ("/c/{name}", category), ("/p/{slug}", product), ("/blog", articles), ("/blog/{name}", article), ("/videos", videos),
    ("/video/{name}", video), ("/media/{name}/{piece}", media), ("/search", search), ("/login", log_in), ("/account", account),
    ("/orders", orders), ("/cart", cart), ("/checkout", checkout), ("/thanks", plain), ("/about", plain), (TRAP, plain),
    ("/img/{name}", image), ("/static/{name:.*}", static), ("/favicon.ico", icon), ("/api/stock", stock), ("/api/suggest", suggest),
    ("/api/price/{slug}", prices), ("/api/seen", seen), ("/feed.xml", feed), ("/sitemap.xml", site_map), ("/robots.txt", robots),
    ("/old/{slug}", moved), ("/elsewhere", elsewhere),
]  # fmt: skip


def application(log: TextIO) -> web.Application:
    """The site; each request goes into `log` as a line of JSON: id, time of its arrival, and the visitor's headers in order."""

    @web.middleware
    async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
        now = time.time()
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
        ours = {name[len(SECRET) :]: value for name, value in pairs if name.startswith(SECRET)}
        theirs = [pair for pair in pairs if not pair[0].startswith(SECRET) and pair[0] not in ("Host", "Connection")]
        log.write(json.dumps({"id": ours.get("Id"), "arrived": now, "headers": theirs}) + "\n")
        try:
            answer = await handler(request)
        except web.HTTPNotFound:
            answer = page("Not found", "<p>There is no such page.</p>")
            answer.set_status(404)
        if answer.content_type == "text/html" and "visit" not in request.cookies and request.path != "/elsewhere":
            answer.set_cookie("visit", ours.get("Id", ""), max_age=31536000, samesite="Lax")
        return answer

    app = web.Application(middlewares=[recorded])
    for path, handler in ROUTES:
        app.router.add_route("*", path, handler)
    return app


async def serve(socket: Path, log: TextIO) -> web.AppRunner:
    """Starts it on a Unix socket."""
    runner = web.AppRunner(application(log), access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    return runner
