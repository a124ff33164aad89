"""The handshake through real proxies, over http and https: who tells it, and that no visitor does, under any spelling.

`tests/proxies/test_proxies.py` has the table of proxies for everything else.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_harness import EchoSite, Nginx
from proxy_harness import DEPLOY, KINDS, Kind, Tap, changed, running
from sidecar_harness import BROWSER, Sidecar, wait_until

from sidecar import core

NAMES = (
    "X-TLS-Protocol",
    "X-TLS-Ciphers",
    "X-TLS-Curves",
    "X-TLS-ALPN",
    "X-TLS-Reused",
    "X-TLS-Sigalgs",
    "X-Connection",
    "X-Xbot-Files",
)
TELLING = ("nginx", "haproxy")  # the kinds whose proxy can tell the handshake, and does
FORGED = {
    "X-TLS-Protocol": "TLSv1.1",
    "X-TLS-Ciphers": "0x1a1a:TLS_AES_128_GCM_SHA256",
    "X-TLS-Curves": "0x1a1a:0x11ec",
    "X-TLS-ALPN": "h3",
    "X-TLS-Reused": "r",
    "X-TLS-Sigalgs": "0x0403",
    "X-Connection": "1-77777-1",
    "X-Xbot-Files": "99",
}


def spellings(name: str) -> list[str]:
    """Every way of dividing the words of a name that a server may take for it, in three cases."""
    words = name.split("-")
    divided = [
        "".join(itertools.chain(*zip(words, (*marks, ""), strict=True)))
        for marks in itertools.product("-_.", repeat=len(words) - 1)
    ]
    return [each for one in divided for each in (one, one.lower(), one.upper())]


class Setup:
    """A proxy before a site and a sidecar, with a tap between."""

    def __init__(self, kind: Kind, proxy: Nginx, tap: Tap) -> None:
        self.kind, self.proxy, self.tap = kind, proxy, tap

    def told(self, headers: list[tuple[str, str]]) -> tuple[core.Tls | None, tuple[int, int]]:
        """The handshake and the connection, as the sidecar takes them from the question about this visitor."""
        assert self.proxy.ask("/", headers).status == 200
        request = core.Request()
        request.load_head(self.tap.questions[-1], self.kind.dialect)
        return request.tls, request.connection


@pytest.fixture(scope="module", params=itertools.product(KINDS, ("http", "https")), ids="-".join)
def setup(
    request: pytest.FixtureRequest, model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    kind = KINDS[request.param[0]]
    if kind.binary() is None:
        pytest.skip(f"{kind.name}: {kind.missing}")
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(Sidecar(model_path, "--dialect", kind.dialect, workers=1))
        site = stack.enter_context(EchoSite())
        tap = stack.enter_context(Tap(tmp_path_factory.mktemp(kind.name) / "xbot.sock", sidecar.address))
        yield Setup(
            kind, stack.enter_context(running(kind, tap.address, site, secure=request.param[1] == "https")), tap
        )


def test_who_tells_it(setup: Setup) -> None:
    """A client of Python's: OpenSSL, which offers no protocol to agree on."""
    tls, (_, requests) = setup.told([*BROWSER.items()])
    if setup.kind.name not in TELLING or not setup.proxy.secure:
        assert tls is None
    else:
        assert tls is not None
        assert tls.protocol in (b"TLSv1.2", b"TLSv1.3")
        assert tls.alpn == b"-"
        assert tls.reused == b"."
        assert tls.ciphers
        assert tls.curves
    assert requests == (setup.kind.name == "nginx")


def test_nobody_forges_it(setup: Setup) -> None:
    """Not by any spelling, empty, twice, first or last."""
    own, _ = setup.told([*BROWSER.items()])
    visitor = [*BROWSER.items()]
    ways = [[pair] for pair in FORGED.items()]
    ways += [[(alias, FORGED[name]) for name in NAMES for alias in spellings(name)[start::9]] for start in range(9)]
    ways += [[(name, "") for name in NAMES], [(name, FORGED[name]) for name in NAMES] * 2]
    ways += [[(name, value) for name in NAMES for value in ("", FORGED[name], "other")]]
    for way in ways:
        for headers in (way + visitor, visitor + way):
            tls, (connection, requests) = setup.told(headers)
            assert tls == own, way
            assert connection != 77777
            assert requests == (setup.kind.name == "nginx")


def old_files(text: str) -> str:
    """nginx/question.conf as it was before anybody thought of these headers."""
    lines = [line for line in text.splitlines(keepends=True) if not any(f" {name} " in line for name in NAMES)]
    return "".join(lines)


def test_old_files_and_a_new_sidecar(model_path: Path, tmp_path: Path) -> None:
    """Files of before hand on whatever a visitor sends under these names. The sidecar believes none of it, and answers."""
    kind = KINDS["nginx"]
    if kind.binary() is None:
        pytest.skip(kind.missing)
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(Sidecar(model_path, workers=1))
        site = stack.enter_context(EchoSite())
        tap = stack.enter_context(Tap(tmp_path / "xbot.sock", sidecar.address))
        proxy = stack.enter_context(running(kind, tap.address, site, secure=True))
        for name in ("locations.conf", "question.conf"):
            file = proxy.prefix / "xbot" / name
            assert old_files(file.read_text()) != file.read_text()
            file.write_text(old_files(file.read_text()))
        proxy.reload()
        setup = Setup(kind, proxy, tap)
        forged = [*FORGED.items()]

        def handed_on() -> bool:
            setup.told([*BROWSER.items(), *forged])
            return b"77777" in tap.questions[-1]

        wait_until(lambda: all(handed_on() for _ in range(20)), "the last old worker's end")
        for headers in (forged, [*BROWSER.items(), *forged], [*forged, *BROWSER.items()]):
            assert setup.told(headers) == (None, (0, 0))
        answer = tap.answers[-1].decode()
        assert "X-Bot: human" in answer
        assert sidecar.events("files of nginx") == []


def test_an_old_script_and_a_new_sidecar(model_path: Path, tmp_path: Path) -> None:
    """The same with HAProxy's script as it was."""
    kind = KINDS["haproxy"]
    if kind.binary() is None:
        pytest.skip(kind.missing)
    script = (DEPLOY / "haproxy" / "xbot.lua").read_text()
    script = re.sub(r"\n    for _, line in ipairs\(handshake.*", "", script)
    script = changed(script, (' or name == "x-connection"', ""), (' or name:find("^x%-tls%-")', ""))
    (tmp_path / "xbot.lua").write_text(script)
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(Sidecar(model_path, "--dialect", kind.dialect, workers=1))
        site = stack.enter_context(EchoSite())
        tap = stack.enter_context(Tap(tmp_path / "xbot.sock", sidecar.address))
        other = [
            (
                "lua-load-per-thread /etc/haproxy/xbot.lua",
                f"lua-load-per-thread {tmp_path}/xbot.lua # /etc/haproxy/xbot.lua",
            )
        ]
        proxy = stack.enter_context(running(kind, tap.address, site, other))
        setup = Setup(kind, proxy, tap)
        for headers in ([*FORGED.items(), *BROWSER.items()], [*BROWSER.items(), *FORGED.items()]):
            assert setup.told(headers) == (None, (0, 0))
            assert b"77777" in tap.questions[-1]


def test_behind_another_proxy_it_is_nobodys(model_path: Path, tmp_path: Path) -> None:
    """`lost` says of all of it that it is the other proxy's."""
    ways = {
        "nginx": {},
        "haproxy": {
            "changes": [
                (
                    "    # http-request set-var(txn.xbot_order) str(lost) if { src 192.0.2.0/24 }",
                    "    http-request set-var(txn.xbot_order) str(lost)",
                )
            ]
        },
    }
    for name, options in ways.items():
        kind = KINDS[name]
        if kind.binary() is None:
            continue
        with contextlib.ExitStack() as stack:
            sidecar = stack.enter_context(Sidecar(model_path, "--dialect", kind.dialect, workers=1))
            site = stack.enter_context(EchoSite())
            (tmp_path / name).mkdir()
            tap = stack.enter_context(Tap(tmp_path / name / "xbot.sock", sidecar.address))
            proxy = stack.enter_context(running(kind, tap.address, site, secure=True, **options))
            if name == "nginx":
                conf = proxy.prefix / "nginx.conf"
                conf.write_text(
                    changed(
                        conf.read_text(),
                        ("include xbot/enforce.conf;", "include xbot/enforce.conf; set $xbot_order lost;"),
                    )
                )
                proxy.reload()
            setup = Setup(kind, proxy, tap)

            def nobodys(setup: Setup = setup) -> bool:
                return setup.told([*BROWSER.items()]) == (None, (0, 0))

            wait_until(lambda nobodys=nobodys: all(nobodys() for _ in range(20)), "questions that say so")
            assert b"X-TLS-Protocol: TLSv1" in tap.questions[-1]
