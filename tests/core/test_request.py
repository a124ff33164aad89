"""Request heads, first as Python sees them (h11 is the oracle), then on real connections under uvloop.

Law of the second half: whatever the sizes of the reads, a stream of heads gets the replies that its heads get one by one,
and those follow from Model.judge.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import itertools
import random
import re
import socket
import struct
import termios
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import h11
import models
import pytest
import tables
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar import core
from sidecar.net.protocol import Server

PATIENCE = 20.0  # seconds; only a hang meets it
HEADS = tables.heads()

# ---- one head, against h11 ----

_TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FRAMING = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}
_name = st.text(_TOKEN, min_size=1, max_size=24).map(str.encode).filter(lambda name: name.lower() not in _FRAMING)
_known = st.sampled_from([b"User-Agent", b"REFERER", b"accept", b"Accept-Encoding", b"X-Bot", b"Cookie", b"sec-ch-ua"])
_visible = st.integers(0x21, 0x7E) | st.integers(0x80, 0xFF)
_value = st.lists(_visible | st.sampled_from([0x20, 0x09]), max_size=60).map(bytes).map(lambda v: v.strip(b" \t"))
_target = st.lists(st.integers(0x21, 0x7E), min_size=1, max_size=60).map(bytes)


@st.composite
def valid_heads(draw: st.DrawFn) -> bytes:
    """Heads that every HTTP/1.1 server must take."""
    method = draw(st.text(_TOKEN, min_size=1, max_size=12)).encode()
    headers = draw(st.lists(st.tuples(_known | _name, _value), max_size=20))
    headers.insert(draw(st.integers(0, len(headers))), (b"Host", b"example.com"))
    blanks = st.sampled_from([b"", b" ", b"\t", b"  \t "])
    lines = [name + b":" + draw(blanks) + value + draw(blanks) for name, value in headers]
    end = draw(st.sampled_from([b"\r\n", b"\n"]))
    return end.join([method + b" " + draw(_target) + b" HTTP/1.1", *lines, b"", b""])


@given(valid_heads())
def test_a_head_is_what_h11_says(head: bytes) -> None:
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(head)
    event = peer.next_event()
    assert isinstance(event, h11.Request)
    request = core.Request()
    request.load_head(head, None)  # as the visitor sent it
    assert request.fields["method"] == event.method
    assert request.fields["uri"] == event.target
    assert [(name.lower(), value) for name, value in request.headers] == list(event.headers)
    assert [name for name, _ in request.headers] == [name for name, _ in event.headers.raw_items()]


@given(valid_heads(), st.data())
def test_a_part_of_a_head_is_none(head: bytes, data: st.DataObject) -> None:
    with pytest.raises(core.LineError):
        core.Request().load_head(head[: data.draw(st.integers(0, len(head) - 1))])


# ---- connections ----


def text_of(verdict: core.Verdict, *, dialect: str = "nginx", enforce: bool = False, close: bool = False) -> bytes:
    """The reply that a verdict becomes, stated a second time."""
    refuse = verdict.bot and (enforce or dialect == "challenge")
    first = "403 Forbidden" if refuse else "204 No Content" if dialect == "challenge" else "200 OK"
    lines = [f"HTTP/1.1 {first}"]
    if not first.startswith("204"):
        lines.append("Content-Length: 0")
    # Halves go up, unlike Python's.
    score = int(verdict.score * 10000 + 0.5)
    lines += [
        f"X-Bot: {'bot' if verdict.bot else 'human'}",
        f"X-Bot-Score: {score // 10000}.{score % 10000:04}",
        f"X-Bot-Reason: {verdict.reason}",
    ]
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


ID = re.compile(rb"X-Bot-Id: [0-9a-z]{12}\r\n")  # another one in each reply


class Peer:
    """One connection to a Server, over a pair of sockets; each `send` is one read on the other side."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)

    async def connect(self) -> Peer:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.connect_accepted_socket(self.server, sock=self.theirs)
        return self

    def _unread(self) -> int:
        if self.transport.is_closing():
            return 0
        size = array.array("i", [0])
        fcntl.ioctl(self.theirs, termios.FIONREAD, size)
        return size[0]

    async def send(self, data: bytes) -> None:
        """Sends, and waits until the other side has read it; or has closed."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.ours, data)
        except (BrokenPipeError, ConnectionResetError):
            return
        while self._unread():
            await asyncio.sleep(0)

    async def receive(self, size: int) -> bytes:
        """Exactly `size` bytes of replies without their ids, up to the end of a line; or what came before the end."""
        got, loop = b"", asyncio.get_running_loop()
        while True:
            whole = got.rfind(b"\n") + 1
            held = len(ID.sub(b"", got[:whole]))
            if held >= size:
                break
            # Of a line that has begun it is not known yet whether it counts.
            most = size - held if whole == len(got) else 1
            more = await asyncio.wait_for(loop.sock_recv(self.ours, most), PATIENCE)
            if not more:
                break
            got += more
        return ID.sub(b"", got)

    async def rest(self) -> bytes:
        """Says that no more comes, and takes all up to the other side's end."""
        self.ours.shutdown(socket.SHUT_WR)
        return await self.receive(1 << 30)

    def close(self) -> None:
        self.ours.close()


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine on the module's uvloop."""
    loop = uvloop.new_event_loop()
    yield loop.run_until_complete
    loop.close()


async def converse(server: Server, pieces: Sequence[bytes]) -> bytes:
    """All that a connection answers to these reads, up to its end."""
    peer = await Peer(server).connect()
    for piece in pieces:
        await peer.send(piece)
    answer = await peer.rest()
    peer.close()
    return answer


def expected(model: core.Model, heads: Sequence[bytes], **how: Any) -> bytes:
    """The replies to heads of tests/data that keep the connection."""
    request, replies = core.Request(), b""
    for head in heads:
        request.load_head(head, how.get("dialect", "nginx"))
        replies += text_of(model.judge(request), **how)
    return replies


def cut(stream: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges) if a < b]


KEEPING = [row["head"] for row in HEADS if row["outcome"] == "ok" and row["keep"]]
CLOSING = [row["head"] for row in HEADS if row["outcome"] == "ok" and not row["keep"]]
BROKEN = [row["head"] for row in HEADS if row["outcome"] == "bad"]
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(
    heads=st.lists(st.sampled_from(KEEPING) | valid_heads(), min_size=1, max_size=8),
    places=st.lists(st.integers(0, 4000), max_size=12),
    how=st.sampled_from([{"enforce": True}, *({"dialect": dialect} for dialect in core.DIALECTS)]),
)
def test_any_split_of_pipelined_heads_gets_the_same_replies(run, made_model, heads, places, how) -> None:
    server = Server(core.Answerer(made_model, **how))
    assert run(converse(server, cut(b"".join(heads), places))) == expected(made_model, heads, **how)


NAMES = ["Accept", "Accept-Encoding", "User-Agent", "X-Foo", "X-Scheme", "X-Sent-From", "x-envoy-a", "Sec-Fetch-Site"]


@given(
    heads=st.lists(st.lists(st.sampled_from(NAMES), max_size=5), min_size=1, max_size=6),
    dialect=st.sampled_from(core.DIALECTS),
)
@example(heads=[["Accept", "X-Sent-From"], ["Accept", "X-Foo"]], dialect="ingress-nginx")  # found by fuzz_head
def test_heads_before_decide_nothing(heads, dialect) -> None:
    """What is kept of them makes the next ones cheaper, and no more: of names that a proxy adds by itself, too."""
    used = core.Request()
    for names in heads:
        head = b"GET /xbot HTTP/1.1\r\nX-Real-IP: 203.0.113.7\r\nX-Original-URI: /\r\nX-Original-Order: kept\r\nHost: xbot\r\n"
        head += b"".join(b"%s: a\r\n" % name.encode() for name in names) + b"\r\n"
        fresh = core.Request()
        used.load_head(head, dialect)
        fresh.load_head(head, dialect)
        assert repr(used.features(core.MAX_K)) == repr(fresh.features(core.MAX_K))  # NaN is not itself


@pytest.mark.parametrize("row", HEADS, ids=lambda row: row["name"])
def test_each_head_of_the_table(run, made_model, row) -> None:
    """Whole, and byte by byte, with a good head behind it: answered, or refused, or the last."""
    good = KEEPING[0]
    if row["outcome"] == "bad":
        want = BAD
    elif row["outcome"] == "partial":
        want = b""
    else:
        want = expected(made_model, [row["head"]], close=not row["keep"])
        want += expected(made_model, [good]) if row["keep"] else b""
    stream = row["head"] + (good if row["outcome"] != "partial" else b"")
    assert run(converse(Server(core.Answerer(made_model)), [stream])) == want
    assert run(converse(Server(core.Answerer(made_model)), [bytes([byte]) for byte in stream])) == want


@relaxed
@given(
    first=st.lists(st.sampled_from(KEEPING), max_size=3),
    last=st.sampled_from(CLOSING + BROKEN),
    places=st.lists(st.integers(0, 999), max_size=5),
)
def test_nothing_is_answered_behind_the_last(run, made_model, first, last, places) -> None:
    """A head with a body, one that closes, one that is broken: what comes behind is no request."""
    final = BAD if last in BROKEN else expected(made_model, [last], close=True)
    stream = b"".join(first) + last + b"GET /smuggled HTTP/1.1\r\n\r\n"
    assert run(converse(Server(core.Answerer(made_model)), cut(stream, places))) == expected(made_model, first) + final


@relaxed
@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=6))
def test_noise_is_refused_once_at_most(run, made_model, noise, places) -> None:
    answer = run(converse(Server(core.Answerer(made_model)), cut(noise, places)))
    assert answer in (b"", BAD) or answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert run(converse(Server(core.Answerer(made_model)), [b"GET / HTTP/1.1\r\n\r\n"])).startswith(
        b"HTTP/1.1 200 OK\r\n"
    )


def long_head(size: int, line: bytes) -> bytes:
    """A head of `size` bytes, of lines like this one; `{}` in it is where it grows."""
    start, end = b"GET / HTTP/1.1\r\nUser-Agent: curl/8.5.0\r\n", b"\r\n"
    if b"{}" in line:
        grown = size - len(start) - len(end) - len(line) + 2
        return start + line.replace(b"{}", b"x" * grown) + end
    lines, over = divmod(size - len(start) - len(end) - len(b"L: \r\n"), len(line))
    return start + line * lines + b"L: " + b"x" * over + b"\r\n" + end


def what_fits(head: bytes) -> bytes:
    """The head of those lines that lie whole within the bounds."""
    if len(head) <= core.MAX_HEAD:
        return head
    lines = head[: core.MAX_HEAD].split(b"\r\n")[:-1]
    return b"\r\n".join([*lines, b"", b""])


LONG = [core.MAX_HEAD + more for more in (-1, 0, 1, 2, 3, 4, 5)] + [
    100_000,
    2 * core.MAX_HEAD - 1,
    2 * core.MAX_HEAD,
    300_000,
]


@pytest.mark.parametrize("size", LONG)
@pytest.mark.parametrize(
    "line", [b"X-Padding: {}\r\n", b"X-Padding: " + b"y" * 1000 + b"\r\n", b"A: b\r\n"], ids=["value", "lines", "many"]
)
def test_a_head_that_is_too_long_is_judged_on_what_fits(run, made_model, size, line) -> None:
    """Answered once; then the connection ends, as the rest may announce a body. At the bound it is a head like any other."""
    head = long_head(size, line)
    assert len(head) == size
    request = core.Request()
    request.load_head(what_fits(head))
    cut_short = len(head) > core.MAX_HEAD or request.truncated
    want = text_of(made_model.judge(request), close=cut_short)
    if not cut_short:
        want += expected(made_model, KEEPING[:1])
    stream = head + KEEPING[0]
    for read in (1 << 20, 65_536, 65_535, 40_000, 1_021):
        pieces = [stream[at : at + read] for at in range(0, len(stream), read)]
        assert run(converse(Server(core.Answerer(made_model)), pieces)) == want


@pytest.mark.parametrize("length", [200, core.MAX_HEAD - 100, core.MAX_HEAD + 100])
@pytest.mark.parametrize("line", [b"X-Padding: {}\r\n", b"A: b\r\n"], ids=["value", "many"])
def test_a_body_behind_the_bounds_is_no_request(run, made_model, length, line) -> None:
    """Content-Length beyond the last byte or header that is looked at: what follows could be a body, and is not judged."""
    head = long_head(length, line).removesuffix(b"\r\n") + b"Content-Length: 40\r\n\r\n"
    answer = run(converse(Server(core.Answerer(made_model)), [head + KEEPING[0] * 3]))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"\r\nConnection: close\r\n\r\n")


def test_replies_come_before_the_connection_ends(run, made_model) -> None:
    """No wait for more: a reply is there while the connection is open."""

    async def case() -> None:
        peer = await Peer(Server(core.Answerer(made_model))).connect()
        want = expected(made_model, KEEPING[:1])
        for _ in range(3):
            await peer.send(KEEPING[0])
            assert await peer.receive(len(want)) == want
        await peer.send(KEEPING[0][:-1])
        await peer.send(KEEPING[0][-1:])
        assert await peer.receive(len(want)) == want
        peer.close()

    run(case())


def test_clients_that_vanish(run, made_model) -> None:
    """Mid-head, with replies unread, by reset: the others go on, and no connection is left."""

    async def case() -> None:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        stats = bytearray(core.STATS_SIZE)
        server = Server(core.Answerer(made_model, stats=stats))
        beginnings = (
            b"",
            b"GET",
            KEEPING[0],
            KEEPING[0] * 500,
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            b"x\n",
            b"y" * 70_000,
        )
        for beginning in beginnings:
            for reset in (False, True):
                peer = await Peer(server).connect()
                await peer.send(beginning)
                if reset:
                    peer.ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
        assert await converse(server, [KEEPING[0]]) == expected(made_model, KEEPING[:1])
        for _ in range(2000):
            if not server.connections:
                break
            await asyncio.sleep(0.005)
        assert server.connections == 0
        assert core.read_stats(stats)["connections_total"] == 2 * len(beginnings) + 1
        assert not errors

    run(case())


def test_counts(run, made_model) -> None:
    """What the workers count is what was answered."""
    stats = bytearray(core.STATS_SIZE)
    server = Server(core.Answerer(made_model, enforce=True, stats=stats))
    rows = [row for row in HEADS if row["outcome"] != "partial"]
    replies = b"".join(run(converse(server, [row["head"]])) for row in rows)
    counted = core.read_stats(stats)
    assert counted["connections_total"] == len(rows)
    assert counted["bad_request"] == replies.count(b" 400 ") == len(BROKEN)
    assert counted["requests"] == len(rows) - len(BROKEN) == sum(counted["histogram"])
    human, suspect, bot, verified = counted["outcome"]
    assert bot == counted["refused"] == replies.count(b"X-Bot: bot") == replies.count(b" 403 ")
    assert human == replies.count(b"X-Bot: human")
    assert 0 < bot < counted["requests"] == bot + human == counted["decided_by"][0]
    assert suspect == verified == 0
    assert counted["truncated"] == 0


def test_a_new_model_judges_the_next_head(run, made_model) -> None:
    other = core.Model(models.image(seed=2))

    async def case() -> None:
        server = Server(core.Answerer(made_model))
        peer = await Peer(server).connect()
        one, two = expected(made_model, KEEPING[:1]), expected(other, KEEPING[:1])
        assert one != two
        await peer.send(KEEPING[0] + KEEPING[0][:10])
        server.model = other
        await peer.send(KEEPING[0][10:])
        assert await peer.rest() == one + two
        peer.close()
        with pytest.raises(TypeError):
            server.model = None
        assert server.model is other

    run(case())


def test_drain(run, made_model) -> None:
    """Idle connections end; one amid a head gets its answer and ends; no answer is lost."""

    async def case() -> None:
        server = Server(core.Answerer(made_model))
        idle, busy = await Peer(server).connect(), await Peer(server).connect()
        await busy.send(KEEPING[0][:10])
        server.drain()
        assert await idle.receive(1) == b""
        await busy.send(KEEPING[0][10:])
        want = expected(made_model, KEEPING[:1], close=True)
        assert await busy.receive(len(want) + 1) == want
        idle.close()
        busy.close()

    run(case())


def test_log_hears_of_each_request(run, made_model) -> None:
    heard: list[dict[str, Any]] = []
    server = Server(core.Answerer(made_model), log=heard.append)
    heads = [head for head in KEEPING if b"as" not in head[:2]]
    random.Random(3).shuffle(heads)
    run(converse(server, [b"".join(heads)]))
    assert len(heard) == len(heads)
    for head, said in zip(heads, heard, strict=True):
        request = core.Request()
        request.load_head(head)
        verdict = made_model.judge(request)
        assert said["margin"] == verdict.margin
        assert said["reason"] == verdict.reason
        assert said["verdict"] == ("bot" if verdict.bot else "human")


@pytest.mark.parametrize("dialect", core.DIALECTS)
def test_what_the_server_is_made_with(made_model, dialect) -> None:
    Server(core.Answerer(made_model, dialect=dialect))
    with pytest.raises(ValueError, match="not in"):
        Server(core.Answerer(made_model, dialect="guess"))
    with pytest.raises(TypeError):
        Server(None)
    with pytest.raises(ValueError, match="stats needs"):
        Server(core.Answerer(made_model, stats=bytearray(core.STATS_SIZE - 1)))
    with pytest.raises((TypeError, BufferError)):
        Server(core.Answerer(made_model, stats=bytes(core.STATS_SIZE)))
