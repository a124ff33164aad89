"""The live page, as a browser and as anything else meets it.

Law: what it shows is what the metrics count, a reader that stalls slows nobody, and nothing that a visitor sends acts on who watches.
The last part is in a real browser, while a real nginx serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nginx_harness import EchoSite, guarded, nginx_binary, running_nginx
from places import ROOT, run_xbot
from sidecar_harness import BROWSER, CURL, TIMEOUT, Sidecar, ask, connect, get, head, read_replies, wait_until

STATIC = ROOT / "sidecar" / "observe" / "static"
PATHS = ("/", "/page.css", "/page.js", "/icon.svg", "/live.json")
STREAMS = 16  # that is the bound
HOSTILE = [
    "<script>document.title='pwned';alert(1)</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    '"><svg onload="document.title=\'pwned\'">',
    "</script><script src=//evil.example/x.js></script>",
    "javascript:alert(1)",
    "\u202eevil\u2066\x1b[31m".encode().decode("latin-1"),
    b"\xff\xfe\xed\xa0\x80".decode("latin-1"),
    "A" * 8000,
    "{{constructor.constructor('alert(1)')()}}",
]


@pytest.fixture(scope="module")
def sidecar(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    board = tmp_path_factory.mktemp("board")
    board.chmod(0o755)
    with Sidecar(model_path, "--mode", "enforce", "--board", board, "--admin", "127.0.0.1:0") as running:
        yield running


def request(
    sidecar: Sidecar, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, and body."""
    host, _, port = sidecar.admin.rpartition(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)) as client:
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = client.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


def explain(sidecar: Sidecar, text: str, address: str = "", **headers: str) -> tuple[int, dict[str, Any]]:
    """What the box says."""
    asked = json.dumps({"text": text, "address": address})
    status, _, body = request(sidecar, "/explain", "POST", asked, **{"Content_Type": "application/json", **headers})
    return status, json.loads(body) if body.startswith(b"{") else {}


def live(sidecar: Sidecar) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(request(sidecar, "/live.json")[2])
    return said


# ---- its files


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_is_told_to_run_and_load_nothing_else(sidecar: Sidecar, path: str) -> None:
    status, headers, body = request(sidecar, path)
    assert status == 200
    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert request(sidecar, path, "HEAD")[::2] == (200, b"")
    assert request(sidecar, path, "POST", "x")[0] == 405
    assert request(sidecar, path, Host="evil.example")[0] == 421
    if path != "/live.json":
        assert request(sidecar, path, If_None_Match=headers["etag"])[::2] == (304, b"")
        assert request(sidecar, path, If_None_Match=f'W/"x", W/{headers["etag"]}')[0] == 304
        assert request(sidecar, path, If_None_Match='"other"')[2] == body


def test_the_page_needs_no_permission_that_it_does_not_have() -> None:
    """No script and no style in the page itself, nothing from elsewhere; its script makes no markup."""

    class Read(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                assert not name.startswith("on"), (tag, name)
                assert name != "style", tag
                if name in ("src", "href"):
                    assert re.fullmatch(r"[a-z.]+", value or ""), value
            assert tag not in ("style", "base", "iframe", "object")
            assert tag != "script" or dict(attrs).get("src")

    Read().feed((STATIC / "page.html").read_text())
    script = (STATIC / "page.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|\.srcdoc|setAttribute\(\"on", script
    )
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", script + (STATIC / "page.css").read_text())


# ---- what it shows


def test_page_top_and_metrics_agree(sidecar: Sidecar) -> None:
    with connect(sidecar.address) as sock:
        sock.sendall(head(CURL) * 150 + head(BROWSER) * 50)
        read_replies(sock, 200)
    wait_until(lambda: live(sidecar)["live"]["totals"]["requests"] >= 200)
    control = sidecar.events("started")[-1]["control"].removeprefix("unix:")
    top = json.loads(run_xbot("top", "--once", "--json", "--control", control).stdout)["live"]
    page = live(sidecar)["live"]
    for verdict in ("human", "suspect", "bot", "verified"):
        counted = sidecar.counted("xbot_requests_total", verdict=verdict)
        assert page["totals"][verdict] == top["totals"][verdict] == counted
    assert page["totals"]["refused"] == top["totals"]["refused"] == sidecar.counted("xbot_refused_total")
    assert page["window"]["policies"]["default"]["requests"] == sidecar.counted("xbot_requests_total", policy="default")
    assert sum(page["window"]["scores"]) == page["window"]["requests"]
    assert page["refusals"][0]["parts"]


def test_alarms_are_shown(sidecar: Sidecar) -> None:
    """On the page and by `xbot top`; over when they are over."""
    control = sidecar.events("started")[-1]["control"].removeprefix("unix:")

    def ran(**what: Any) -> tuple[list[str], str]:
        with connect(f"unix:{control}") as sock:
            sock.sendall(json.dumps({"op": "canaries", **what}).encode() + b"\n")
            assert json.loads(b"".join(iter(lambda: sock.recv(65536), b"")))["ok"]
        screen = run_xbot("top", "--once", "--control", control).stdout.decode()
        wait_until(
            lambda: (
                [each["alarm"] for each in live(sidecar)["alarms"]] == (["canaries_wrong"] if "wrong" in what else [])
            )
        )
        return [each["says"] for each in live(sidecar)["alarms"]], screen

    says, screen = ran(right=9, wrong=["firefox"])
    assert "firefox" in says[0]
    assert f"alarm canaries_wrong: {says[0]}" in screen
    says, screen = ran(right=10)
    assert says == []
    assert "alarm" not in screen


# ---- the stream


@contextlib.contextmanager
def stream(sidecar: Sidecar) -> Iterator[Any]:
    """A stream that was asked for, with nothing read."""
    with connect(sidecar.admin) as sock:
        sock.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield sock


def test_a_stream_says_each_second_what_there_is(sidecar: Sidecar) -> None:
    with stream(sidecar) as sock, sock.makefile("rb") as file:
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        before = -1
        for _ in range(2):
            line = next(line for line in file if line.startswith(b"data: "))
            said = json.loads(line.removeprefix(b"data: "))
            assert said["live"]["time"] > before
            before = said["live"]["time"]


def test_readers_that_stall_slow_nobody_and_are_bounded(sidecar: Sidecar) -> None:
    """As many as may watch read nothing. One more is refused; all else is answered, and visitors are, too."""
    with contextlib.ExitStack() as stack:

        def one() -> bytes:
            return bytes(stack.enter_context(stream(sidecar)).recv(12))

        for _ in range(STREAMS):  # those of the tests before may still be ending
            wait_until(lambda: one() == b"HTTP/1.1 200", "room")
        with stream(sidecar) as one_more:
            assert one_more.recv(12) == b"HTTP/1.1 503"
        for _ in range(20):
            assert get(sidecar.admin, "/healthz")[0] == 200
            assert ask(sidecar.address, head(BROWSER)).status == 200
        assert live(sidecar)["live"]["ready"]
    # Who goes away makes room.
    wait_until(lambda: _status_of_a_stream(sidecar) == b"HTTP/1.1 200", "room")


def _status_of_a_stream(sidecar: Sidecar) -> bytes:
    with stream(sidecar) as sock:
        return bytes(sock.recv(12))


def test_a_stream_ends_when_another_master_takes_over(model_path: Path) -> None:
    """So that the page asks the new one."""
    with Sidecar(model_path, "--admin", "127.0.0.1:0", workers=1) as running, stream(running) as sock:
        sock.recv(12)
        running.signal(signal.SIGUSR2)
        running.wait_for("took over")
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(65536):
                pass
        assert _status_of_a_stream(running) == b"HTTP/1.1 200"


# ---- the box


CURL_HEAD = "GET /a HTTP/1.1\nHost: www.example.com\nUser-Agent: curl/8.5.0\nAccept: */*\n"
DEVTOOLS = ":authority: www.example.com\n:method: GET\n:path: /a\n:scheme: https\nuser-agent: curl/8.5.0\naccept: */*"
LINE = '203.0.113.7 - - [27/Nov/2026:13:24:01 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8.5.0"'


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (CURL_HEAD, "the headers of a request"),
        (DEVTOOLS, "the headers of a request"),
        (LINE, "a line of a log: combined"),
    ],
    ids=["head", "devtools", "line"],
)
def test_the_box_explains_what_is_pasted(sidecar: Sidecar, text: str, read_as: str) -> None:
    """The parts add up to the margin, it says what it did not know, and nothing is counted."""
    before = sidecar.counted("xbot_requests_total")
    status, said = wait_until(lambda: (found := explain(sidecar, text, "203.0.113.9"))[0] != 429 and found)
    assert (status, said["verdict"], said["refused"], said["read_as"]) == (200, "bot", True, read_as)
    assert sum(part["added"] for part in said["parts"]) == pytest.approx(said["margin"], abs=1e-9)
    assert (said["ip"], said["method"], said["uri"], said["agent"]) == ("203.0.113.9", "GET", "/a", "curl/8.5.0")
    assert sidecar.counted("xbot_requests_total") == before


def test_the_box_says_what_explain_says(sidecar: Sidecar, model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "head").write_text(CURL_HEAD)
    shown = run_xbot("explain", "--model", model_path, "--format", "head", "--json", tmp_path / "head").stdout
    status, said = wait_until(lambda: (found := explain(sidecar, CURL_HEAD))[0] != 429 and found)
    assert status == 200
    assert said["margin"] == pytest.approx(json.loads(shown)["margin"], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "address", "why"),
    [
        ("", "", "there is no text"),
        ("hello", "", "neither a line of a log that is known nor the headers of a request"),
        ("\x00\x1b[31m\uffff", "", "neither a line of a log that is known nor the headers of a request"),
        (CURL_HEAD, "nowhere\x1b", "'nowhere\\\\x1b' is no address"),
        ("A: " + "b" * 60_000, "", None),
        ("GET / HTTP/1.1\n" + "\n".join(f"A{n}: b" for n in range(400)), "", None),
    ],
    ids=["empty", "words", "no text", "no address", "long", "many"],
)
def test_the_box_takes_anything(sidecar: Sidecar, text: str, address: str, why: str | None) -> None:
    status, said = wait_until(lambda: (found := explain(sidecar, text, address))[0] != 429 and found)
    assert (status, said.get("error")) == (200 if why is None else 400, why)


def test_the_box_is_bounded_and_for_this_page_alone(sidecar: Sidecar) -> None:
    assert request(sidecar, "/explain")[0] == 405
    assert request(sidecar, "/explain", "OPTIONS", Origin="http://evil.example")[0] == 405
    assert request(sidecar, "/explain", "POST", "{}", Content_Type="text/plain")[0] == 415
    assert explain(sidecar, CURL_HEAD, Sec_Fetch_Site="cross-site")[0] == 415
    assert explain(sidecar, CURL_HEAD, Host="evil.example")[0] == 421
    assert request(sidecar, "/explain", "POST", "x" * 70_000, Content_Type="application/json")[0] == 413
    for wrong in ("{", "[]", '{"text": 1}', '{"text": "a", "other": 1}', '"' + "[" * 1000, '{"text": "\\ud800"}'):
        status, _, body = request(sidecar, "/explain", "POST", wrong, Content_Type="application/json")
        assert (status, list(json.loads(body))) == (400, ["error"])
    wait_until(lambda: explain(sidecar, CURL_HEAD)[0] == 200, "a second in which nothing was explained")
    began = time.monotonic()
    statuses = [explain(sidecar, CURL_HEAD)[0] for _ in range(40)]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) <= 5 * (time.monotonic() - began + 2)
    assert ask(sidecar.address, head(BROWSER)).status == 200


# ---- in a browser


@pytest.mark.servers
@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
def test_in_a_browser_while_nginx_serves(model_path: Path, tmp_path: Path) -> None:
    """Visitors who want to act on who watches are text; nothing goes to the console, nothing is fetched from elsewhere, light or dark,
    wide or on a phone; a refusal opens into its parts, and the box answers."""
    from chromium import CHROMIUM, tab

    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: apt-get install chromium")
    done = threading.Event()
    with (
        EchoSite() as site,
        Sidecar(model_path, "--mode", "enforce", "--admin", "127.0.0.1:0", "--board", "none") as running,
        running_nginx(guarded(site, "enforce"), socket=running.address) as nginx,
    ):

        def visit() -> None:
            while not done.is_set():
                for agent in (*HOSTILE, CURL["User-Agent"]):
                    with contextlib.suppress(OSError):
                        nginx.ask(
                            headers={"User-Agent": agent, "Referer": agent[:2000]}, target="/?q=<b>&x=" + "y" * 300
                        )
                with contextlib.suppress(OSError):
                    nginx.ask(headers=BROWSER)
                time.sleep(0.02)

        visitors = threading.Thread(target=visit)
        visitors.start()
        try:
            asyncio.run(_browse(running, tab))
        finally:
            done.set()
            visitors.join()


async def _browse(sidecar: Sidecar, tab: Any) -> None:
    async with tab() as page:
        await page.size(1240, 900)
        await page.open(f"http://{sidecar.admin}/")
        await page.until("document.documentElement.dataset.messages > 1")
        await page.until("document.querySelectorAll('#refusals details').length > 5")
        await page.until(
            "[...document.querySelectorAll('#shapes .item')].some((each) => each.textContent.includes('<script>document.title='))"
        )
        for width, dark, phone in ((1240, True, False), (390, False, True), (320, True, True)):
            await page.size(width, 900, dark=dark, phone=phone)
            count = await page.evaluate("document.documentElement.dataset.messages")
            await page.until(f"document.documentElement.dataset.messages > {count}")
            assert await page.evaluate("document.documentElement.scrollWidth") == width
        paper = "getComputedStyle(document.body).backgroundColor"
        dark_paper = await page.evaluate(paper)
        await page.size(1240, 900)
        assert await page.evaluate(paper) != dark_paper
        # Opened, it stays, however many come after it.
        await page.evaluate("document.querySelector('#refusals details').open = true; 0")
        key = await page.evaluate("document.querySelector('#refusals details[open]').parentElement.dataset.key")
        count = await page.evaluate("document.documentElement.dataset.messages")
        await page.until(f"document.documentElement.dataset.messages > {int(count) + 2}")
        parts = await page.evaluate(
            f"[...document.querySelectorAll('[data-key=\"{key}\"] .parts tr')].map((row) => row.cells[0].textContent)"
        )
        added = [float(each.replace("\u2212", "-")) for each in parts]
        assert sum(added[:-1]) == pytest.approx(added[-1], abs=0.01)
        await page.evaluate(
            f"document.getElementById('pasted').value = {json.dumps(CURL_HEAD)}; document.querySelector('#box button').click(); 0"
        )
        assert (await page.until("document.querySelector('#answer .verdict')?.textContent")).startswith("bot, score")
        await page.evaluate(
            "document.getElementById('pasted').value = '<img src=x onerror=alert(1)>'; document.querySelector('#box button').click(); 0"
        )
        await page.until("document.querySelector('#answer').textContent.startsWith('neither')")
        assert await page.evaluate("document.title") == "xbot, live"
        assert (
            await page.evaluate("document.querySelectorAll('main script, main img, [onerror], [onload]').length") == 0
        )
        asked = {url.removeprefix(f"http://{sidecar.admin}/") for url in page.asked}
        assert asked == {"", "page.css", "page.js", "icon.svg", "live", "explain"}
        # The one thing that it says is what the box was answered about the image.
        assert [each for each in page.console if "400 (Bad Request)" not in each] == []
