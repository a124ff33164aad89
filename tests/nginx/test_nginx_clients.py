"""What nginx tells about requests afterwards, and traps: the files of nginx/ in a real nginx, with a real sidecar behind them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nginx_harness
import pytest
from nginx_harness import EchoSite, guarded, nginx_binary, running_nginx
from sidecar_harness import BROWSER, Sidecar, wait_until

from sidecar import model

pytestmark = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")


@pytest.fixture(scope="module")
def site() -> Iterator[EchoSite]:
    with EchoSite() as site:
        yield site


@pytest.fixture
def sidecar(model_path: Path, tmp_path: Path) -> Iterator[Sidecar]:
    toml = tmp_path / "xbot.toml"
    toml.write_text(f'[clients]\nsize = "1MiB"\noutcomes = "unix:{tmp_path}/outcome.sock"\n')
    with Sidecar(model_path, "--config", toml, "--board", "none", "--admin", "127.0.0.1:0", workers=1) as sidecar:
        yield sidecar


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The files of nginx/ as the owner edits them: where the socket is, and a trap of his own."""
    copy = nginx_harness.copy_files

    def edited(to: Path, listen: str, board: Path | None = None) -> None:
        copy(to, listen, board)
        for name, old, new in (
            ("outcome.conf", "/run/xbot/outcome.sock", f"{tmp_path}/outcome.sock"),
            ("traps.conf", "/choose-your-own-path/", "/archive-4711/"),
            ("traps.conf", "/var/log/nginx", str(tmp_path)),
        ):
            text = (to / name).read_text()
            assert old in text, name
            (to / name).write_text(text.replace(old, new))

    monkeypatch.setattr(nginx_harness, "copy_files", edited)


def socket_of(sidecar: Sidecar) -> str:
    return sidecar.address.removeprefix("unix:")


@pytest.mark.usefixtures("files")
def test_nginx_tells_what_happened(sidecar: Sidecar, site: EchoSite) -> None:
    """Once for each request that the sidecar was asked about; and neither the site nor the visitor hears of keys."""
    server = "include xbot/outcome.conf;\nlocation /unasked/ { auth_request off; root /; }\n" + guarded(site)
    with running_nginx(server, socket=socket_of(sidecar)) as nginx:
        for n in range(10):
            reply = nginx.ask(f"/missing/{n}", BROWSER)
            assert (reply.status, reply.seen("X-Bot-Client")) == (404, [])
            assert "x-bot-client" not in reply.headers
        assert nginx.ask("/unasked/").status == 404
        wait_until(lambda: sidecar.metrics()["xbot_outcomes_total"] == 10, "ten outcomes")
        assert sidecar.metrics()["xbot_bad_outcomes_total"] == 0


@pytest.mark.usefixtures("files")
def test_nginx_waits_for_nobody(sidecar: Sidecar, site: EchoSite) -> None:
    """A master that stands still, or is gone: the visitors do not notice."""
    with running_nginx("include xbot/outcome.conf;\n" + guarded(site), socket=socket_of(sidecar)) as nginx:
        os.kill(sidecar.process.pid, signal.SIGSTOP)
        answers = [nginx.ask("/", BROWSER) for _ in range(600)]  # more than the queue of any system holds
        assert {(reply.status, reply.seen("X-Bot")[0] != "unknown") for reply in answers} == {(200, True)}
        os.kill(sidecar.process.pid, signal.SIGCONT)
        wait_until(lambda: sidecar.metrics()["xbot_outcomes_total"] > 0, "those that fit into the queue")
        assert sidecar.stop() == 0
        assert [nginx.ask("/", BROWSER).seen("X-Bot") for _ in range(3)] == [["unknown"]] * 3


@pytest.mark.usefixtures("files")
def test_who_walks_into_a_trap_is_noted(sidecar: Sidecar, site: EchoSite, tmp_path: Path, model_path: Path) -> None:
    with running_nginx("include xbot/traps.conf;\n" + guarded(site), socket=socket_of(sidecar)) as nginx:
        for path in ("/archive-4711/", "/archive-4711/more", "/.env", "/.git/config", "/WP-login.php"):
            assert nginx.ask(path, BROWSER).status == 404
        for path in ("/", "/archive", "/env", "/blog/wp-login-explained", "/robots.txt"):
            assert nginx.ask(path, BROWSER).status == 200
        path = tmp_path / "xbot-traps.jsonl"
        wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") == 5, "five lines")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["uri"] for line in lines][:2] == ["/archive-4711/", "/archive-4711/more"]
        threshold = model.load(model_path).threshold
        assert [line["verdict"] for line in lines] == [["human", "bot"][line["score"] >= threshold] for line in lines]
