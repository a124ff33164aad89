"""Machines that tell each other what clients did, by a real Redis: what is shared, what is not, and what a store that lies can do."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import models
import pytest
import trustme
import uvloop
from places import XBOT
from sidecar_harness import BROWSER, TIMEOUT, Sidecar, ask, children, get, head, wait_until

from sidecar import core
from sidecar.board.clients import Clients
from sidecar.config.options import Clients as Wanted
from sidecar.net.protocol import Server

redis = pytest.importorskip("redis", reason="needs: pip install 'xbot[store]'")
from sidecar.site import exchange  # noqa: E402 -- it says itself what it needs, and that is looked for first
from sidecar.site.exchange import Exchange, Key, packed, unpacked  # noqa: E402

PASSWORD = "a-password-that-nobody-may-see"
SECRET = "5ec2e7" * 11
needs_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


class Store:
    """A redis-server on a port of its own, with a password; with TLS alone, if it gets a certificate."""

    def __init__(self, directory: Path, certificate: trustme.LeafCert | None = None) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self._conf = directory / "redis.conf"
        plain = f'bind 127.0.0.1\nsave ""\nrequirepass {PASSWORD}\ndir {directory}\nlogfile /dev/null\n'
        if certificate is None:
            self._conf.write_text(f"{plain}port {self.port}\n")
            self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
            self.client = redis.Redis.from_url(self.url)
        else:
            certificate.private_key_and_cert_chain_pem.write_to_path(str(directory / "redis.pem"))
            files = "".join(f"tls-{name}-file {directory}/redis.pem\n" for name in ("cert", "key", "ca-cert"))
            self._conf.write_text(f"{plain}port 0\ntls-port {self.port}\n{files}tls-auth-clients no\n")
            self.url = f"rediss://:{PASSWORD}@localhost:{self.port}/0"
            self.client = redis.Redis.from_url(self.url, ssl_cert_reqs="none", ssl_check_hostname=False)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["redis-server", str(self._conf)])
        wait_until(self._answers, "a store that answers")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)

    def dump(self) -> bytes:
        """All that lies in it."""
        return b"".join(
            name + b"".join(fields[b"d"] for _, fields in self.client.xrange(name)) for name in self.client.keys("*")
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.kill()


class Machine(Sidecar):
    """A sidecar that shares, by the store at `url`."""

    def __init__(self, model: Path, url: str, secret: str = SECRET, more: str = "") -> None:
        super().__init__(model, "--admin", "127.0.0.1:0", workers=1, board=True)
        (self.directory / "store.key").write_text(secret)
        (self.directory / "store.key").chmod(0o600)
        self.file = self.directory / "xbot.toml"
        self.file.write_text(f'[clients]\nsize = "2MiB"\nstore = "{url}"\nstore_key = "store.key"\n{more}')
        self._command += ["--config", str(self.file)]

    def count(self, name: str) -> float:
        return self.metrics()[f"xbot_{name}"]

    def visit(self, ip: str, pages: int = 1) -> None:
        for _ in range(pages):
            ask(self.address, head(BROWSER, "/page", ip))

    def status(self) -> str:
        command = [XBOT, "status", "--control", str(self.board / "control")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@needs_server
@pytest.mark.servers
def test_two_machines(model_path: Path, store: Store) -> None:
    with Machine(model_path, store.url) as one, Machine(model_path, store.url) as two:
        for each in (one, two):
            each.wait_for("store reached")
        one.visit("203.0.113.7", 3)
        two.visit("198.51.100.9", 3)
        for each in (one, two):
            wait_until(lambda each=each: each.count("clients_entries") == 5, "both clients, both networks, one shape")
            wait_until(lambda each=each: each.count("store_machines") == 1, "the other machine")
        assert "1 other machines" in one.status()
        # What is known to one is not new to the other: no entry more.
        two.visit("203.0.113.7")
        time.sleep(1.5)
        assert one.count("clients_entries") == two.count("clients_entries") == 5
        told = one.count('store_entries_total{way="told"}') + two.count('store_entries_total{way="told"}')
        assert 6 <= told <= 20  # what came from the other is not told again
        # No secret where others can read, no address in the store.
        for each in (one, two):
            commands = b"".join(
                Path(f"/proc/{pid}/cmdline").read_bytes() for pid in [each.master, *children(each.master)]
            )
            environment = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in children(each.master))
            for place in (commands, environment, each.log_path.read_bytes(), each.status().encode()):
                assert PASSWORD.encode() not in place
                assert SECRET.encode() not in place
        for hidden in (b"203.0.113", b"198.51.100", b"Mozilla", b"/page"):
            assert hidden not in store.dump()
            assert all(hidden not in zlib.decompress(part) for part in bodies(store))
        # One is killed: the other goes on, and so does the store.
        os.kill(two.process.pid, signal.SIGKILL)
        wait_until(lambda: not two.workers, "the workers' end")
        wait_until(lambda: not shares(two), "the end of what it shared by")
        one.visit("203.0.113.7")
        assert one.count("store_up") == 1
        # The store is killed: nobody waits, and what was known is known. It comes back, empty: all goes on.
        before = one.count("clients_entries")
        store.kill()
        assert one.wait_for("store away")["reason"].startswith("ConnectionError")
        one.visit("192.0.2.99")
        assert one.count("clients_entries") == before + 2
        assert one.count("store_up") == 0
        assert "store: away" in one.status()
        assert get(one.admin, "/healthz")[0] == 200
        store.start()
        one.wait_for("store reached", 2)
        two.log_path.unlink()
        two.start()
        two.wait_for("store reached")
        one.visit("192.0.2.98", 2)
        wait_until(lambda: two.count("clients_entries") > 0, "what came after that")
        # An upgrade: the table is the same machine, and tells nothing twice.
        assert one.upgrade()
        one.wait_for("store reached", 3)
        assert PASSWORD not in one.log_path.read_text()


def bodies(store: Store) -> Iterator[bytes]:
    for name in store.client.keys("*"):
        for _, fields in store.client.xrange(name):
            yield fields[b"d"][20:-16]


def shares(machine: Machine) -> list[int]:
    """Processes that share and are the children of nobody: their master was killed."""
    marked = str(machine.directory).encode()
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if (
                marked in each.with_name("cmdline").read_bytes()
                and b"exchange" in each.with_name("cmdline").read_bytes()
            ):
                found.append(int(each.parent.name))
    return found


@needs_server
@pytest.mark.servers
def test_who_has_another_secret_is_not_heard(model_path: Path, store: Store) -> None:
    with Machine(model_path, store.url) as one, Machine(model_path, store.url, "other" * 10) as two:
        for each in (one, two):
            each.wait_for("store reached")
        one.visit("203.0.113.7")
        wait_until(lambda: one.count('store_entries_total{way="told"}') >= 3, "what was told")
        # A stranger in the store writes what he likes.
        name = store.client.keys("*")[0]
        assert len(store.client.keys("*")) >= 1
        for data in (b"", b"x" * 100, os.urandom(5000), b"\0" * (1 << 20)):
            for name in store.client.keys("*"):
                store.client.xadd(name, {"d": data})
                store.client.xadd(name, {"other": data})
        wait_until(lambda: one.count("store_refused_total") >= 8, "what is none")
        assert two.count("clients_entries") == 0
        assert one.count("store_up") == 1


@needs_server
@pytest.mark.servers
def test_a_store_with_tls(model_path: Path, tmp_path: Path) -> None:
    """Two machines meet there, by an authority of their own; nobody is told the password who has another's certificate, or another name."""
    ours, others = trustme.CA(), trustme.CA()
    for name, authority in (("ours", ours), ("others", others)):
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
        (tmp_path / name).mkdir()
    trusted = f"?ssl_ca_certs={tmp_path}/ours.pem"
    store = Store(tmp_path / "ours", ours.issue_cert("localhost"))
    try:
        with Machine(model_path, store.url + trusted) as one, Machine(model_path, store.url + trusted) as two:
            for each in (one, two):
                each.wait_for("store reached")
            one.visit("203.0.113.7", 3)
            wait_until(lambda: two.count("clients_entries") == 3, "what the other saw")
        for wrong, why in (
            (store.url, "CERTIFICATE_VERIFY_FAILED"),  # the system's authorities
            (store.url + f"?ssl_ca_certs={tmp_path}/others.pem", "CERTIFICATE_VERIFY_FAILED"),
            (store.url.replace("localhost", "127.0.0.1") + trusted, "mismatch"),  # the certificate has another name
            (store.url.replace("rediss", "redis"), "ConnectionError"),
        ):
            with Machine(model_path, wrong) as stranger:
                assert why in stranger.wait_for("store away")["reason"]
                assert PASSWORD not in stranger.log_path.read_text()
    finally:
        store.kill()


@needs_server
@pytest.mark.servers
def test_a_store_that_wants_another_password(model_path: Path, store: Store) -> None:
    with Machine(model_path, store.url.replace(PASSWORD, "wrong-and-secret")) as one:
        reason = one.wait_for("store away")["reason"]
        assert "AuthenticationError" in reason
        assert "wrong-and-secret" not in one.log_path.read_text()
        one.visit("203.0.113.7")
        assert one.count("clients_entries") == 3


@pytest.mark.servers
def test_a_store_that_says_more_than_anybody_can_hold(model_path: Path) -> None:
    """Its process has a bound of memory, and begins again; the sidecar goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        with Machine(model_path, f"redis://127.0.0.1:{listening.getsockname()[1]}/0") as one:
            with listening.accept()[0] as liar, contextlib.suppress(OSError):
                liar.recv(1000)
                liar.sendall(b"$4000000000\r\n")
                while True:
                    liar.sendall(bytes(1 << 20))
            one.wait_for("store away")
            one.visit("203.0.113.7")
            assert one.count("clients_entries") == 3
            assert one.count("store_up") == 0
            with listening.accept()[0] as liar:  # it tries again
                liar.sendall(b"-nonsense \x1b[31m\r\n" * 20)
                one.wait_for("store away", 2)
            assert "\\u001b" not in one.log_path.read_text()
            assert not one.events("worker died")


class Fake:
    """A store that answers with what it is told to."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, dict[bytes, bytes]]] = []
        self.fails = False

    def xrevrange(self, name: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        self._may_fail()
        return self.messages[-1:]

    def xread(
        self, streams: dict[str, bytes], count: int
    ) -> list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
        self._may_fail()
        ((name, last),) = streams.items()
        behind = [each for each in self.messages if exchange._number(each[0]) > exchange._number(last)]
        return [(name.encode(), behind[:count])] if behind else []

    def pipeline(self, transaction: bool) -> Fake:
        self._may_fail()
        return self

    def xadd(self, name: str, fields: dict[str, bytes], **_: object) -> None:
        self.messages.append((b"%d-0" % (len(self.messages) + 1), {b"d": fields["d"]}))

    def expire(self, name: str, seconds: int) -> None:
        assert seconds == 3600

    def execute(self) -> None:
        pass

    def _may_fail(self) -> None:
        if self.fails:
            raise OSError("away")


KEY = Key(b"k" * 32)


def table() -> Clients:
    return Clients(Wanted(size="1MiB"), shared=b"k" * 32)


def asked(clients: Clients, ip: str = "203.0.113.7") -> None:
    """One page of a browser."""
    server = Server(core.Answerer(core.Model(models.image()), clients=clients.view))

    async def once() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(server, theirs)
        await loop.sock_sendall(ours, head(BROWSER, "/page", ip))
        assert await loop.sock_recv(ours, 4096)
        ours.close()

    uvloop.run(once())


def entries(clients: Clients) -> int:
    return core.read_clients(clients.view)["entries"]


def test_what_is_told_arrives_once() -> None:
    store, one, two = Fake(), table(), table()
    first, second = (Exchange(store, each.view, KEY, name) for each, name in ((one, b"machine1"), (two, b"machine2")))
    first.round()
    second.round()
    asked(one)
    first.round()
    second.round()
    assert entries(two) == entries(one) == 3
    assert second.taken == 3
    store.messages += [(b"%d-0" % (100 + n), fields) for n, (_, fields) in enumerate(store.messages)]  # a replay
    second.round()
    assert second.taken == 3
    third = Exchange(store, table().view, KEY, b"machine3")  # one that begins now is not told it by a replay
    store.messages += [(b"%d-0" % (300 + n), fields) for n, (_, fields) in enumerate(store.messages)]
    third._last = b"0-0"
    third.round()
    assert third.taken == 0
    store.fails = True  # away, and back
    for each in (first, second):
        with pytest.raises(OSError, match="away"):
            each.round()
    asked(one, "198.51.100.9")
    store.fails = False
    store.messages = []  # it has forgotten all, and counts anew
    first.round()
    second.round()
    assert entries(two) == 5


@pytest.mark.parametrize(
    "answer", [None, 7, [7], [(b"name", [7])], [(b"name", [(b"x", {})])], [(b"n", [(b"1-1", None)])]]
)
def test_answers_that_are_none(answer: object) -> None:
    """Whatever it is, nothing but an error of ours comes of it."""
    store, one = Fake(), table()
    told = Exchange(store, one.view, KEY, b"machine1")
    told.round()
    store.xread = lambda *_, **__: answer  # type: ignore[method-assign]
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        told.round()
    assert entries(one) == 0


def test_messages() -> None:
    mac, entry = KEY.of("message"), bytes(core.CLIENT_DELTA)
    message = packed(b"machine1", 5, entry * 3, mac)
    assert unpacked(message, mac) == (b"machine1", 5, entry * 3)
    assert unpacked(message, Key(b"other" * 8).of("message")) is None
    for at in range(len(message)):
        assert unpacked(message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :], mac) is None
    # Even who has the secret gets no more memory than MOST entries: a number that is none, a body that is larger than it says.
    for number, body in ((exchange.MOST + 1, entry), (2**32 - 1, b""), (1, bytes(10_000_000)), (3, entry)):
        head_ = exchange._HEAD.pack(b"machine1", 5, number) + zlib.compress(body)
        forged = head_ + hmac.digest(mac, head_, "sha256")[:16]
        assert unpacked(forged, mac) is None
    for thing in (None, 7, "text", b"", b"x" * (2 << 20), {}):
        assert unpacked(thing, mac) is None


def test_old_messages_are_not_heard() -> None:
    store, one = Fake(), table()
    told = Exchange(store, one.view, KEY, b"machine1")
    told.round()
    now = time.time_ns() // 1_000_000
    for n, time_ms in enumerate((now - 601_000, now + 601_000, 0, 2**64 - 1)):
        message = packed(b"machine2", time_ms, bytes(core.CLIENT_DELTA), KEY.of("message"))
        store.messages.append((b"%d-0" % (10 + n), {b"d": message}))
    told.round()
    assert told.refused == 4


def test_machines_with_another_table_do_not_meet() -> None:
    streams = {
        Exchange(Fake(), Clients(wanted, shared=b"k" * 32).view, key, b"machine1").stream
        for wanted, key in (
            (Wanted(size="1MiB"), KEY),
            (Wanted(size="2MiB"), KEY),
            (Wanted(size="1MiB", privacy="network"), KEY),
            (Wanted(size="1MiB"), Key(b"other" * 8)),
        )
    }
    assert len(streams) == 4


def test_the_secret_of_the_table_is_that_of_all() -> None:
    hour = 3_600_000
    one, two = (Clients(Wanted(size="1MiB", key_hours=2), shared=b"k" * 32) for _ in range(2))
    secrets = [bytes(each.view[128:144]) for each in (one, two)]
    assert secrets[0] == secrets[1]
    now = core.read_clients(one.view)["keyed_ms"]
    edge = (now // (2 * hour) + 1) * 2 * hour
    assert not one.renew(edge - 1)
    assert one.renew(edge)
    assert two.renew(edge + 5000)  # a little later: the same secret
    assert bytes(one.view[128:144]) == bytes(two.view[128:144]) != secrets[0]
    alone = Clients(Wanted(size="1MiB"))
    before = bytes(alone.view[128:144])
    joined = Clients(Wanted(size="1MiB"), None, os.dup(alone.fd), b"k" * 32)
    assert bytes(joined.view[128:144]) != before


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ('store = "redis://x"\n', "clients.store: needs `store_key`"),
        *(
            (f'store = "{address}"\nstore_key = "k"\n', f"clients.store: {why}")
            for address, why in (
                ("rediss://x?ssl_cert_reqs=none", "says behind ? what is not known"),  # nobody would be checked
                ("rediss://x?ssl_check_hostname=false", "says behind ? what is not known"),
                ("rediss://x?socket_timeout=pass-word", "says behind ? what is not known"),
                ("redis://x?ssl_ca_certs=/etc/ssl/cert.pem", "says behind ? what is not known"),  # and no TLS
                ("rediss://x?ssl_ca_certs=", "ssl_ca_certs is no absolute path"),
                ("rediss://x?ssl_ca_certs=ca.pem", "ssl_ca_certs is no absolute path"),
                ("rediss://x?ssl_ca_certs={here}/none", "ssl_ca_certs: {here}/none: No such file"),
                ("rediss://x?ssl_ca_certs={here}", "ssl_ca_certs: {here}: Is a directory"),
                ("rediss://x?ssl_ca_certs=/dev/zero", "ssl_ca_certs: /dev/zero: no regular file"),
                ("rediss://x?ssl_keyfile={here}/k", "ssl_keyfile: {here}/k: holds nothing in PEM"),
                ("redis://:pass-word/more@x", "has no HOST:PORT"),  # the library says parts of such a password
                ("redis://:pass-word#more@x", "has no HOST:PORT"),
                ("redis://x:99999", "has no HOST:PORT"),
                ("redis://x:0", "has no HOST:PORT"),
                ("redis://[::1", "has no HOST:PORT"),
                ("redis://:pass-word@", "has no HOST:PORT"),
                ("redis://x/pass-word", "ends in what is no number of a database"),
                ("unix:///run/x.sock?db=pass-word", "db is no number of a database"),
            )
        ),
        ('store_key = "k"\n', "clients.store_key: there is no `store`"),
        ('store = "http://:pass-word@x"\nstore_key = "k"\n', "clients.store: is none of redis://"),
        ('store = "redis://x"\nstore_key = "none"\n', "clients.store_key: {here}/none: No such file"),
        ('store = "redis://x"\nstore_key = "fifo"\n', "clients.store_key: {here}/fifo: no regular file"),
        ('store = "redis://x"\nstore_key = "open"\n', "others may read or write it (mode 0644)"),
        ('store = "redis://x"\nstore_key = "short"\n', "5 bytes, and a secret needs 32"),
        ('store = "redis://x"\nstore_key = "k"\nsize = "0"\n', "there is no table to share"),
    ],
)
def test_a_configuration_that_is_none(made_model_path: Path, tmp_path: Path, toml: str, why: str) -> None:
    for name, text, mode in (("k", SECRET, 0o600), ("open", SECRET, 0o644), ("short", "short", 0o600)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "xbot.toml").write_text(f"[clients]\n{toml.replace('{here}', str(tmp_path))}")
    command = [XBOT, "serve", "--model", str(made_model_path), "--config", str(tmp_path / "xbot.toml")]
    command += ["--listen", f"unix:{tmp_path}/xbot.sock", "--board", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 2
    assert why.replace("{here}", str(tmp_path)) in done.stderr
    assert "pass-word" not in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_told_is_no_text() -> None:
    json.dumps(Exchange(Fake(), table().view, KEY, b"machine1").state("away"))
