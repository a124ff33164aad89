"""Published lists are fetched from a local https server in the role of their owners: sound ones, slow, dead, lying, huge and
redirecting ones.

Law: whatever it does, the copy before stays, the rest is fetched, and it takes no longer than said.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nginx_harness import EchoSite, at, guarded, nginx_binary, running_nginx, without_module
from sidecar_harness import Sidecar, ask, head, wait_until

from sidecar.errors import XbotError
from sidecar.verify import catalogue, ranges, refresh, signatures

NETWORKS = [f"8.8.{i}.0/24" for i in range(0, 40, 2)]
SOUND = json.dumps({"prefixes": [{"ipv4Prefix": each} for each in NETWORKS]}).encode()
# RFC 9421, B.1.4
SECRET = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
JWK = {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}
KEYID = "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"
ELSEWHERE: list[str] = []  # who asked the server that a redirect leads to


class Publisher(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name is the library's
        kind = self.path.strip("/")
        if kind == "elsewhere":
            ELSEWHERE.append(self.path)
        if kind == "redirect":
            self.answer(302, b"", Location="/elsewhere")
        elif kind == "etag" and self.headers["If-None-Match"] == '"one"':
            self.answer(304, b"")
        elif kind == "dead":
            self.connection.close()
        elif kind in ("slow_head", "slow_body"):
            if kind == "slow_body":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            for _ in range(200):
                self.wfile.write(b"X")
                time.sleep(0.1)
        elif kind == "short":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n" + SOUND)
            self.close_connection = True
        elif kind == "error":
            self.answer(500, SOUND)
        else:
            bodies = {
                "huge": b"8.8.8.8\n" * 1000000,
                "private": b"10.0.0.0/24\n",
                "giant": b"8.0.0.0/8\n",
                "shrunk": b"\n".join(each.encode() for each in NETWORKS[:4]),
                "page": b"<html>maintenance</html>",
                "keys": json.dumps({"keys": [JWK]}).encode(),
                "no_keys": b'{"keys": []}',
                "huge_keys": b'{"keys": [' + b" " * 70000 + json.dumps(JWK).encode() + b"]}",
            }
            self.answer(200, bodies.get(kind, SOUND), ETag='"one"')

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", place / "key", "-out", place / "cert"], check=True, capture_output=True
    )
    return place / "cert", place / "key"


@pytest.fixture(autouse=True)
def publisher(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the server, which this process and its children trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def today() -> datetime.date:
    return datetime.datetime.now(datetime.timezone.utc).date()


def test_a_list_is_fetched_and_kept(publisher: str, tmp_path: Path) -> None:
    (first,) = refresh.refresh(tmp_path / "new", {"gptbot": f"{publisher}/etag"})
    assert (first.what, first.why) == ("new", "")
    copy = ranges.read(tmp_path / "new" / "gptbot.txt")
    assert [str(each) for each in copy.networks] == NETWORKS
    assert copy.date == today()
    # Not changed, says the server; so the copy is of today again.
    text = copy.place.read_text().replace(str(today()), "2026-01-02")
    copy.place.write_text(text)
    (again,) = refresh.refresh(tmp_path / "new", {"gptbot": f"{publisher}/etag"})
    assert again.what == "new"  # the package's copy is newer than ours, so nothing is asked about ours
    copy.place.write_text(text.replace("2026-01-02", "2026-10-02"))
    (again,) = refresh.refresh(tmp_path / "new", {"gptbot": f"{publisher}/etag"})
    assert (again.what, ranges.read(copy.place).date) == ("same", today())


BAD = {
    "redirect": "answered 302",
    "error": "answered 500",
    "dead": "",
    "short": "",
    "slow_head": "not done after",
    "slow_body": "not done after",
    "huge": "longer than",
    "private": "not of the public internet",
    "giant": "wider than /16",
    "shrunk": "it shrank from 20 networks to 4",
    "page": "does not appear to be",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_publisher_changes_nothing(publisher: str, tmp_path: Path, kind: str) -> None:
    refresh.refresh(tmp_path, {"gptbot": f"{publisher}/good"})
    before = (tmp_path / "gptbot.txt").read_bytes()
    began = time.monotonic()
    bad, good = refresh.refresh(tmp_path, {"gptbot": f"{publisher}/{kind}", "mistralai-user": f"{publisher}/good"}, 1.0)
    assert time.monotonic() - began < 10
    assert bad.what == "failed"
    assert BAD[kind] in bad.why
    assert len(bad.why) <= 300
    assert good.what == "new"
    assert (tmp_path / "gptbot.txt").read_bytes() == before
    assert not ELSEWHERE


def test_nobody_is_believed_without_a_certificate(
    publisher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    (one,) = refresh.refresh(tmp_path, {"gptbot": f"{publisher}/good"})
    assert one.what == "failed"
    assert "CERTIFICATE_VERIFY_FAILED" in one.why
    with pytest.raises(XbotError, match="not https"):
        refresh.fetch("http://127.0.0.1/x", None, 1.0)


def config_of(place: Path, address: str, kind: str) -> Path:
    publishers = "".join(f'{name} = "{address}/error"\n' for name in catalogue.load().ranges if name != "ccbot")
    path = place / "xbot.toml"
    path.write_text(
        f'ranges = "ranges"\nadmin = "127.0.0.1:0"\n[[listen]]\naddress = "unix:{place}/x.sock"\n[policies.default]\nmode = "enforce"\n'
        f'verified = {{ training = "allow" }}\n[publishers]\nccbot = "{address}/{kind}"\n{publishers}'
    )
    return path


def test_the_sidecar_fetches_and_verifies_by_it(publisher: str, model_path: Path, tmp_path: Path) -> None:
    with Sidecar(model_path, "--config", config_of(tmp_path, publisher, "good"), listen=()) as sidecar:
        deadline = time.monotonic() + 30
        while not sidecar.events("ranges fetched") and time.monotonic() < deadline:
            time.sleep(0.05)
        reply = ask(f"unix:{tmp_path}/x.sock", head({"User-Agent": "CCBot/2.0"}, ip="8.8.2.1"))
        assert (reply.status, reply["X-Bot"], reply["X-Bot-Agent"]) == (200, "verified", "ccbot")
        midnight = datetime.datetime.combine(today(), datetime.time(), datetime.timezone.utc).timestamp()
        assert sidecar.metrics()['xbot_ranges_timestamp_seconds{list="ccbot"}'] == midnight
        assert {each["list"] for each in sidecar.events("range kept")} == {*catalogue.load().ranges} - {"ccbot"}


def test_a_publisher_that_hangs_holds_up_nothing(publisher: str, model_path: Path, tmp_path: Path) -> None:
    with Sidecar(model_path, "--config", config_of(tmp_path, publisher, "slow_head"), listen=()) as sidecar:
        assert ask(f"unix:{tmp_path}/x.sock", head({"User-Agent": "x"}, ip="8.8.2.1"))["X-Bot-Score"]
        time.sleep(1)
        began = time.monotonic()
        sidecar.reload()
    assert time.monotonic() - began < 10  # it ends at once, too


# ---- keys of signatures


@pytest.mark.parametrize("kind", ["no_keys", "huge_keys", "page", "redirect", "error", "dead", "slow_body", "huge"])
def test_bad_keys_change_nothing(publisher: str, tmp_path: Path, kind: str) -> None:
    (good,) = refresh.refresh_keys(tmp_path, {"novaact": f"{publisher}/keys"})
    assert (good.name, good.what) == ("novaact.keys", "new")
    before = signatures.file_of(tmp_path, "novaact").read_bytes()
    (bad,) = refresh.refresh_keys(tmp_path, {"novaact": f"{publisher}/{kind}"}, 1.0)
    assert bad.what == "failed"
    assert signatures.file_of(tmp_path, "novaact").read_bytes() == before
    found = signatures.stored(tmp_path, {"novaact": f"{publisher}/keys"})
    assert [(name, key.origin) for name, key in found.items()] == [(KEYID, publisher)]
    assert not signatures.stored(tmp_path, {"novaact": "https://another.example/keys"})
    old = before.replace(str(today()).encode(), str(today() - datetime.timedelta(signatures.OLD + 1)).encode())
    signatures.file_of(tmp_path, "novaact").write_bytes(old)
    assert not signatures.stored(tmp_path, {"novaact": f"{publisher}/keys"})


def signed(agent: str, host: str = "example.com", secret: bytes = SECRET) -> dict[str, str]:
    """The headers of a signed request, as a browser sends it."""
    now = int(time.time())
    params = f'("@authority" "signature-agent");created={now};expires={now + 60};keyid="{KEYID}";tag="web-bot-auth"'
    base = f'"@authority": {host}\n"signature-agent": "{agent}"\n"@signature-params": {params}'
    value = base64.b64encode(Ed25519PrivateKey.from_private_bytes(secret).sign(base.encode())).decode()
    said = {"Signature-Agent": f'"{agent}"', "Signature-Input": f"sig1={params}", "Signature": f"sig1=:{value}:"}
    return {"Host": host, "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/138.0.0.0", **said}


@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
@pytest.mark.parametrize("inside", [False, pytest.param(True, marks=pytest.mark.servers)])
def test_a_signed_request_through_nginx(publisher: str, model_path: Path, tmp_path: Path, inside: bool) -> None:
    """Also where nginx judges by its module: it asks the sidecar about requests that are signed, and no others."""
    if inside and (why := without_module()):
        pytest.skip(why)
    path = config_of(tmp_path, publisher, "good")
    directories = "".join(f'directories.{name} = "{publisher}/error"\n' for name in catalogue.directories())
    directories = directories.replace("chatgpt-agent = ", f'novaact = "{publisher}/keys"\ndirectories.chatgpt-agent = ')
    text = path.read_text().replace('training = "allow"', 'assistant = "allow"')
    path.write_text(f'{text}[signatures]\nhosts = ["example.com"]\n{directories}')
    with (
        Sidecar(model_path, "--config", path, "--admin", "127.0.0.1:0", listen=(), workers=2, board=inside) as sidecar,
        EchoSite() as site,
    ):
        wait_until(
            lambda: "novaact.keys" in [name for each in sidecar.events("ranges fetched") for name in each["new"]]
        )
        with running_nginx(guarded(site, "enforce"), **at(sidecar)) as nginx:
            for _ in range(4):  # both workers
                reply = nginx.ask(headers=signed(publisher))
                told = [reply.seen(name) for name in ("X-Bot", "X-Bot-Reason", "X-Bot-Agent", "X-Bot-Purpose")]
                assert (reply.status, told) == (200, [["verified"], ["verified=novaact"], ["novaact"], ["assistant"]])
            assert nginx.ask(headers=signed(publisher, secret=b"1" * 32)).status == 403  # disproved
        by_sidecar = requests(sidecar)
        assert by_sidecar == 5
        with running_nginx(guarded(site), **at(sidecar)) as nginx:

            def told(headers: dict[str, str]) -> str:
                (reason,) = nginx.ask(headers=headers).seen("X-Bot-Reason")
                return reason

            assert told(signed(publisher, secret=b"1" * 32)) == "impostor=novaact"
            # For another site, which the agent did visit; and shown here by somebody else.
            other = signed(publisher, "elsewhere.example")
            assert told(other) == "unproven=novaact"
            assert told({**other, "Host": "example.com"}) == "impostor=novaact"
            del other["Signature"]
            assert "novaact" not in told(other)
            assert requests(sidecar) == by_sidecar + (3 if inside else 4)
        if inside:
            look_early(sidecar, publisher, site)
        with running_nginx(guarded(site), **at(sidecar)) as nginx:
            if inside:  # away: it is judged here, as if it were not signed
                assert sidecar.stop() == 0
                assert "novaact" not in nginx.ask(headers=signed(publisher)).seen("X-Bot-Reason")[0]


def look_early(sidecar: Sidecar, publisher: str, site: EchoSite) -> None:
    """A request that somebody looks at before the gate counts once: as the sidecar says, or here if it never comes to the gate."""
    early = "if ($xbot = nobody) { return 500; }"
    server = (
        f"include xbot/enforce.conf; {early} location / {{ include xbot/pass.conf; proxy_pass http://{site.address}; }}"
    )
    with running_nginx(f"{server} location /back {{ return 204; }}", **at(sidecar)) as nginx:
        by_sidecar, by_module = requests(sidecar), requests(sidecar, "module")

        def outcomes() -> float:
            return sidecar.metrics()["xbot_outcomes_total"]

        before = outcomes()
        for n in range(1, 4):
            assert nginx.ask(headers=signed(publisher)).seen("X-Bot") == ["verified"]
            assert requests(sidecar) == by_sidecar + n
        assert nginx.ask("/back", signed(publisher)).status == 204
        wait_until(lambda: requests(sidecar, "module") == by_module + 1, "the one that never came to the gate")
        time.sleep(1.1)  # the module tells its counts once a second
        assert (requests(sidecar), requests(sidecar, "module")) == (by_sidecar + 3, by_module + 1)
        assert outcomes() == before + 3  # the policy would refuse the last one: nothing is told of it


def requests(sidecar: Sidecar, host: str = "worker") -> float:
    """How many the sidecar's own workers judged, or another host."""
    return sum(n for name, n in sidecar.metrics().items() if name.startswith(f'xbot_requests_total{{host="{host}"'))
