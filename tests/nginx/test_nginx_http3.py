"""Requests over HTTP/3, judged by nginx's module and by the sidecar: the very verdict of the same request in a log.

Law: the client is aioquic, and nginx is one that speaks HTTP/3, which Debian 12's does not: `make http3 NGINX_SRC=DIR` builds it from
nginx's source, with the module. Without it these tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from nginx_harness import EchoSite, running_nginx, without_module
from places import ROOT
from sidecar_harness import BROWSER, CURL, Sidecar

pytest.importorskip("aioquic", reason="aioquic is not installed: pip install --group test")

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

BUILT = ROOT / "build" / "http3"
NGINX = BUILT / "objs" / "nginx"
MODULE = BUILT / "module" / "ngx_http_xbot_module.so"
WITHOUT = without_module(MODULE, "make http3 NGINX_SRC=DIR")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT),
]
Pairs = Sequence[tuple[str, str]]
Xbot = Callable[..., subprocess.CompletedProcess[bytes]]


class Client(QuicConnectionProtocol):
    """A connection, on which requests are made one after the other, or at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._h3 = H3Connection(self._quic)
        self._replies: dict[int, asyncio.Future[dict[str, str]]] = {}
        self._headers: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytes] = {}

    async def ask(self, target: str, pairs: Pairs, method: str = "GET", body: bytes = b"") -> dict[str, str]:
        """The reply's headers, and its body as `body`."""
        stream = self._quic.get_next_available_stream_id()
        self._replies[stream] = asyncio.get_running_loop().create_future()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "example.com"), (":path", target)]
        said = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in (*pseudo, *pairs)]
        self._h3.send_headers(stream, said, end_stream=not body)
        if body:
            self._h3.send_data(stream, body, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(self._replies[stream], 20)

    def quic_event_received(self, event: QuicEvent) -> None:
        for one in self._h3.handle_event(event):
            if isinstance(one, HeadersReceived):
                self._headers[one.stream_id] = {name.decode(): value.decode() for name, value in one.headers}
            elif isinstance(one, DataReceived):
                self._bodies[one.stream_id] = self._bodies.get(one.stream_id, b"") + one.data
            else:
                continue
            if one.stream_ended and not (reply := self._replies[one.stream_id]).done():
                body = self._bodies.get(one.stream_id, b"").decode("utf-8", "replace")
                reply.set_result({**self._headers[one.stream_id], "body": body})


def over_http3(port: int, asks: Sequence[tuple[str, Pairs, str, bytes]], at_once: bool = False) -> list[dict[str, str]]:
    """The replies to these requests, all on one connection."""

    async def run() -> list[dict[str, str]]:
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
        async with connect(
            "127.0.0.1", port, configuration=configuration, create_protocol=Client, wait_connected=True
        ) as client:
            assert isinstance(client, Client)
            if at_once:
                return await asyncio.gather(*(client.ask(*each) for each in asks))
            return [await client.ask(*each) for each in asks]

    return asyncio.run(run())


def pairs(headers: dict[str, str]) -> Pairs:
    """As HTTP/3 has them: in small letters, without a host."""
    return [(name.lower(), value) for name, value in headers.items() if name.lower() not in ("host", "connection")]


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as site:
        yield site


@pytest.fixture(params=["sidecar", "module"])
def inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether nginx judges by its module."""
    monkeypatch.setenv("XBOT_NGINX", str(NGINX))
    return bool(request.param == "module")


def speaking(sidecar: Sidecar, server: str, inside: bool) -> Any:
    """An nginx that speaks HTTP/3 at the UDP port that comes with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listen = f"listen 127.0.0.1:{port} quic; ignore_invalid_headers off; underscores_in_headers on;"
    board = sidecar.board if inside else None
    text = f"{listen} {server}"
    return port, running_nginx(text, socket=sidecar.address, secure=True, board=board, module=MODULE)


SAID = 'add_header Said "$xbot $xbot_score $xbot_reason" always;'
STRANGE = [
    ("user-agent", "Mozilla/5.0 \udcff\udc80 <script>"),
    ("accept", ""),
    ("cookie", "a=b"),
    ("cookie", "c=d"),
    ("x_bot", "human"),
    ("accept-language", "de, en;q=0.5"),
]


def test_http3_is_judged_as_the_log_is(model_path: Path, xbot: Xbot, tmp_path: Path, inside: bool) -> None:
    """People, programs and strange bytes; several on one connection, one after the other, and all at once."""
    asks: list[tuple[str, Pairs, str, bytes]] = [
        ("/", pairs(BROWSER), "GET", b""),
        ("/a/b.css?c=%2f..&d", pairs(BROWSER), "GET", b""),
        ("/", pairs(CURL), "GET", b""),
        ("/login", pairs({**BROWSER, "Content-Type": "text/plain"}), "POST", b"x" * 40_000),
        ("/", STRANGE, "GET", b""),
        ("/", [], "GET", b""),
    ]
    rows = []
    for target, headers, method, _ in asks:
        given = [list(each) for each in (("host", "example.com"), *headers) if each[0] != "cookie"]
        cookies = "; ".join(value for name, value in headers if name == "cookie")
        given += [["cookie", cookies]] if cookies else []
        rows.append(
            {"ip": "127.0.0.1", "method": method, "uri": target, "protocol": "HTTP/3.0", "scheme": "https",
             "headers": given}
        )  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_bytes(
        b"".join(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n" for row in rows)
    )
    told = xbot("score", "--json", "--format", "jsonl", "--stateless", "--model", model_path, log).stdout.splitlines()
    expected = [f"{one['verdict']} {one['score']:.4f} {one['reason']}" for one in map(json.loads, told)]
    toml = tmp_path / "xbot.toml"
    toml.write_text('[clients]\nsize = "0"\n')
    with Sidecar(model_path, "--config", toml, workers=1, board=True) as sidecar:
        port, nginx = speaking(
            sidecar, f"{SAID} include xbot/observe.conf; location / {{ root {{prefix}}/none; }}", inside
        )
        with nginx:
            for at_once in (False, True):
                found = [reply["said"] for reply in over_http3(port, asks, at_once)]
                assert found == expected


def test_http3_is_refused_and_its_forged_headers_are_removed(site: EchoSite, model_path: Path, inside: bool) -> None:
    with Sidecar(model_path, "--mode", "enforce", workers=1, board=True) as sidecar:
        to = f"include xbot/pass.conf; proxy_pass http://{site.address};"
        port, nginx = speaking(sidecar, f"include xbot/enforce.conf; location / {{ {to} }}", inside)
        forged = [("x-bot", "human"), ("x_bot", "human"), ("x-bot-score", "0"), ("x-bot_score", "0")]
        with nginx:
            bot, person = over_http3(
                port, [("/", pairs(CURL), "GET", b""), ("/", [*pairs(BROWSER), *forged], "GET", b"")]
            )
        assert (bot[":status"], person[":status"]) == ("403", "200")
        seen = [tuple(each) for each in json.loads(person["body"])["headers"]]
        assert [value for name, value in seen if name.lower() == "x-bot"] == ["human"]
        assert not [name for name, _ in seen if name.lower() in ("x_bot", "x-bot_score")]
