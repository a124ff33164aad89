"""The binding from Python: no call, in whatever order and with whatever it is given, reads or writes memory that is not its
own. What cannot be is an exception.

Law: each test here once read freed or foreign memory, crashed, or took one thing for another. `make asan` runs them under
AddressSanitizer, which sees what a plain run may survive.
"""

from __future__ import annotations

import array
import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import pytest
import tables
from plans import opened

from sidecar import core
from sidecar.net.protocol import Server
from sidecar.sources import records

GOOD = models.image()
LINE = b'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a/b HTTP/1.1" 200 1 "-" "Mozilla/5.0 (X11)"'
HEADS = [row["head"] for row in tables.heads() if row["outcome"] == "ok"]
MINE = [[b"User-Agent", b"Mozilla/5.0"], [b"Accept-Language", b"de-AT"]]


def record(**said: Any) -> core.Request:
    request = core.Request()
    request.load_record(None, False, agent=b"curl/8", **said)
    return request


# ---- None, other types, other sizes ----

NONE: dict[str, Callable[[core.Request, core.Model], object]] = {
    "hash_text": lambda _r, _m: core.hash_text(None),
    "host_hash": lambda _r, _m: core.host_hash(None),
    "parse_address": lambda _r, _m: core.parse_address(None),
    "resolve_path": lambda _r, _m: core.resolve_path(None),
    "report_error": lambda _r, _m: core.report_error(1, None, "why", False),
    "load_line": lambda r, _m: r.load_line("combined", None),
    "load_line's format": lambda r, _m: r.load_line(None, LINE),
    "load_head": lambda r, _m: r.load_head(None),
    "come_from": lambda r, _m: r.come_from(None),
    "ask_policy": lambda r, _m: r.ask_policy(None),
    "a header's name": lambda r, _m: r.load_record([(None, b"x")], True),
    "a header's value": lambda r, _m: r.load_record([(b"x", None)], True),
    "judge": lambda _r, m: m.judge(None),
    "explain": lambda _r, m: m.explain(None),
    "report": lambda _r, m: m.report(None, 1, False),
    "report_lines": lambda _r, m: m.report_lines(None, "combined", LINE, 1, False, print),
    "report_lines' block": lambda r, m: m.report_lines(r, "combined", None, 1, False, print),
    "append": lambda _r, _m: core.Matrix(10).append(None),
    "append_lines": lambda _r, _m: core.Matrix(10).append_lines("combined", None, 1),
    "decide's model": lambda r, _m: opened(paths=["/a"]).decide(None, r, "default"),
    "decide's request": lambda _r, m: opened(paths=["/a"]).decide(m, None, "default"),
    "decide's policy": lambda r, m: opened(paths=["/a"]).decide(m, r, None),
    "Model": lambda _r, _m: core.Model(None),
    "Policies": lambda _r, _m: core.Policies(None),
    "Answerer": lambda _r, _m: core.Answerer(None),
    "Answerer's policy": lambda _r, m: core.Answerer(m, policies=opened(paths=["/a"]), policy=None),
    "read_stats": lambda _r, _m: core.read_stats(None),
}


@pytest.mark.parametrize("call", NONE.values(), ids=NONE)
def test_none_is_not_bytes(call: Callable[..., object], made_model: core.Model) -> None:
    with pytest.raises(TypeError):
        call(core.Request(), made_model)


@pytest.mark.parametrize("made", [core.Matrix, core.Model, core.Policies, core.Answerer, Server])
def test_no_object_without_its_parts(made: Any) -> None:
    """`T.__new__(T)` once gave a matrix of no arrays, and a model of no weights."""
    with pytest.raises(TypeError):
        made.__new__(made)


def test_a_connection_needs_its_server(made_model: core.Model) -> None:
    kind = type(Server(core.Answerer(made_model))())
    with pytest.raises(TypeError):
        kind.__new__(kind)


@pytest.mark.parametrize("given", [bytearray(LINE), memoryview(LINE), "text", 1])
def test_only_bytes_are_bytes(given: Any) -> None:
    """A bytearray may be resized while spans point into it."""
    request = core.Request()
    with pytest.raises(TypeError):
        request.load_line("combined", given)
    with pytest.raises(TypeError):
        request.load_head(given)
    with pytest.raises(TypeError):
        request.load_record([(b"User-Agent", given)], True)
    with pytest.raises(TypeError):
        request.load_record(None, False, agent=given)


@pytest.mark.parametrize("size", [0, 1, core.STATS_SIZE - 1])
def test_statistics_need_their_size(size: int) -> None:
    """`read_stats(b"")` once returned what lay behind the empty bytes on the heap."""
    with pytest.raises(ValueError, match="stats are"):
        core.read_stats(bytes(size))


def test_statistics_of_words_are_those_of_bytes() -> None:
    words = array.array("Q", range(core.STATS_SIZE // 8))
    assert core.read_stats(words) == core.read_stats(words.tobytes())
    with pytest.raises(ValueError, match="stats are"):
        core.read_stats(words[:-1])


def test_statistics_are_aligned(made_model: core.Model) -> None:
    with pytest.raises(ValueError, match="aligned"):
        core.Answerer(made_model, stats=memoryview(bytearray(core.STATS_SIZE + 8))[1:])


@pytest.mark.parametrize("typecode", [code for code in "bBhHiIlLqQfd" if code != "I"])
def test_hosts_of_another_type_are_refused(typecode: str) -> None:
    hosts = array.array(typecode, [1, 2, 3])
    with pytest.raises(TypeError, match="hosts must be"):
        core.Request().features(10, hosts)
    with pytest.raises(TypeError, match="hosts must be"):
        core.Matrix(10, hosts)


def test_hosts_do_not_say_their_own_length() -> None:
    """A subclass that says it is longer than it is had the set searched far behind its end."""

    class Long(array.array):
        def __len__(self) -> int:
            return 1 << 28

    request = core.Request()
    request.load_record([(b"Referer", b"http://known.example/")], True)
    place = [row.name for row in core.FEATURES].index("ref_host_known")
    hosts = Long("I", [core.host_hash(b"known.example")])
    assert request.features(10, hosts)[0][place] == 1.0
    hosts.pop()
    assert request.features(10, hosts)[0][place] != 1.0


def test_hosts_may_change_between_rows() -> None:
    hosts = array.array("I", range(100_000))
    matrix, request = core.Matrix(10, hosts), core.Request()
    request.load_record([(b"Referer", b"http://known.example/")], True)
    matrix.append(request)
    del hosts[:]
    matrix.append(request)
    assert len(matrix) == 2


# ---- what a request holds ----


def test_a_fresh_request_says_nothing(made_model: core.Model) -> None:
    """It once said human, status 0, in 1970."""
    request = core.Request()
    assert (request.label, request.status, request.time, request.present) == (None, None, None, 0)
    assert request.headers == []
    assert set(request.fields.values()) == {None}
    assert request.text == b""
    made_model.explain(request)


def test_a_record_is_the_request_s_own() -> None:
    """The list of headers once was the caller's: what he changed went away under the spans."""
    request = core.Request()
    headers = [[bytes(name), bytes(bytearray(value * 100))] for name, value in MINE]
    request.load_record(headers, True)
    wanted = [(name, value * 100) for name, value in MINE]
    for pair in headers:
        pair[1] = b""
    headers.clear()
    gc.collect()
    other = [os.urandom(1100) for _ in range(100)]  # takes the place of what was freed
    assert request.headers == wanted
    assert request.fields["agent"] == wanted[0][1]
    del other


@pytest.mark.parametrize("headers", [[(b"A", b"b"), (b"C", 1)], [(b"A", b"b", b"c")], [b"A"], [None]])
def test_a_record_that_is_refused_changes_nothing(headers: Any) -> None:
    request = record(ip=b"192.0.2.1")
    before = request.fields
    with pytest.raises((TypeError, ValueError)):
        request.load_record(headers, True)
    assert request.fields == before


@pytest.mark.parametrize("log_format", ["jsonl", "apache", ""])
def test_only_formats_of_lines_are_read(log_format: str, made_model: core.Model) -> None:
    """`jsonl` once was parsed as combined."""
    request = core.Request()
    for call in (
        lambda: request.load_line(log_format, LINE),
        lambda: core.Matrix(10).append_lines(log_format, LINE, 1),
        lambda: made_model.report_lines(request, log_format, LINE, 1, False, print),
    ):
        with pytest.raises(ValueError, match="challenge, combined"):
            call()


def test_a_source_that_cannot_be_read_leaves_nothing() -> None:
    for load in (
        lambda r: r.load_line("combined", LINE[:-1]),
        lambda r: r.load_head(b"GET / HTTP/1.1\r\nUser-Agent: x\r\n"),
        lambda r: r.load_record(None, False, agent=b"x", uri=b"/" * (core.MAX_LINE + 1)),
    ):
        request = record(ip=b"192.0.2.1")
        with pytest.raises(core.LineError):
            load(request)
        assert set(request.fields.values()) == {None}


def test_nothing_of_a_block_is_left(made_model: core.Model) -> None:
    """After report_lines the request once pointed into a block that was gone."""
    request = core.Request()
    made_model.report_lines(
        request, "combined", LINE + b"\n" + LINE.replace(b"Mozilla", b"M" * 1000), 1, False, [].append
    )
    assert set(request.fields.values()) == {None}
    made_model.judge(request)


def test_text_is_the_line_also_after_a_policy() -> None:
    request = core.Request()
    request.load_line("combined", LINE)
    request.ask_policy(bytes(bytearray(b"login")))
    request.come_from(bytes(bytearray(b"192.0.2.7")))
    gc.collect()
    assert request.text == LINE
    assert (request.fields["policy"], request.fields["ip"]) == (b"login", b"192.0.2.7")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"label": 2}, "label"),
        ({"label": 300}, "label"),
        ({"status": 1000}, "status"),
        ({"time_ms": -2}, "time"),
        ({"time_ms": (core.MAX_TIME + 1) * 1000}, "time"),
        ({"size": -2}, "bytes"),
        ({"size": core.MAX_BYTES + 1}, "bytes"),
    ],
)
def test_numbers_out_of_range(said: dict[str, int], field: str) -> None:
    with pytest.raises(core.LineError) as caught:
        record(**said)
    assert caught.value.args[0] == field
    with pytest.raises(OverflowError):
        record(time_ms=1 << 63)


@pytest.mark.parametrize(
    "time", ["253402300800", "1431857103000", "1e300", "-1", '"1969-12-31T23:59:58Z"', '"9999-12-31T23:59:59-01:00"']
)
def test_a_time_that_no_calendar_has(time: str) -> None:
    """Milliseconds are the usual mistake; `xbot replay` ended with a traceback on them."""
    with pytest.raises(core.LineError) as caught:
        records.load_record(b'{"agent": "x", "time": %s}' % time.encode(), core.Request())
    assert caught.value.args[0] == "time"


def test_the_last_second_there_is() -> None:
    request = core.Request()
    records.load_record(b'{"agent": "x", "time": "9999-12-31T23:59:59Z"}', request)
    assert request.time == core.MAX_TIME


# ---- sizes ----


def test_a_target_beyond_the_workspace(made_model: core.Model) -> None:
    """A path of 200,000 bytes, which a line of JSON may hold, once was resolved into a buffer of 65,536."""
    request = core.Request()
    with pytest.raises(core.LineError, match="uri"):
        records.load_record(b'{"agent": "x", "uri": "/%s"}' % (b"a" * 200_000), request)
    request = record(uri=b"/" + b"a" * (core.MAX_LINE - 1))
    opened(paths=["/a"]).decide(made_model, request, "default")


@pytest.mark.parametrize("dialect", [None, *core.DIALECTS])
def test_a_head_beyond_the_workspace(dialect: str | None) -> None:
    """The dialect `challenge` decodes the target into a buffer of 65,536 bytes, however long the head was."""
    request = core.Request()
    head = b"GET /?user_agent=" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n"
    with pytest.raises(core.LineError, match="head"):
        request.load_head(head, dialect)
    longest = b"GET /?user_agent=%s HTTP/1.1\r\n\r\n"
    request.load_head(longest % (b"a" * (core.MAX_HEAD + 4 - len(longest))), dialect)


def test_a_line_has_no_negative_number(made_model: core.Model) -> None:
    with pytest.raises(OverflowError):
        made_model.report(core.Request(), -1, True)
    with pytest.raises(OverflowError):
        core.Request().features(-1)
    for k in (0, core.MIN_K - 1, core.MAX_K + 1, 200):
        with pytest.raises(ValueError, match="k must be"):
            core.Request().features(k)
        with pytest.raises(ValueError, match="k must be"):
            core.Matrix(k)


# ---- buffers ----


@pytest.mark.parametrize("column", ["dense", "indices", "indptr", "label", "time", "line", "client"])
def test_a_matrix_does_not_grow_under_a_buffer(column: str) -> None:
    """A numpy array over a column once was left with freed memory when the next row came."""
    matrix, request = core.Matrix(10), record(ip=b"192.0.2.1")
    matrix.append(request)
    with memoryview(getattr(matrix, column)) as held:
        before = bytes(held)
        with pytest.raises(BufferError):
            matrix.append(request)
        assert bytes(held) == before
    assert len(matrix) == 1
    assert len(matrix.dense) == len(core.FEATURES)
    matrix.append(request)
    assert len(matrix) == 2


def test_what_was_checked_cannot_be_written_to() -> None:
    """The image of policies holds offsets, which are followed without another check."""
    with pytest.raises(TypeError, match="read-only"):
        core.Model(bytearray(GOOD))
    with pytest.raises(TypeError, match="read-only"):
        core.Policies(bytearray(opened(paths=["/a"]).data))
    assert core.Model(memoryview(GOOD)).weight[0] == core.Model(GOOD).weight[0]


def test_a_model_that_was_refused_is_none() -> None:
    made: list[Any] = []

    class Kept(core.Model):
        def __init__(self, data: bytes) -> None:
            made.append(self)

    with pytest.raises(core.ModelError):
        Kept(GOOD[:-8])
    assert made == []


# ---- others' code in the middle ----


def test_a_request_does_not_change_while_it_is_read(made_model: core.Model) -> None:
    """The collector may run anybody's code at any allocation; once the words' bytes went away under the reader."""
    request, said = core.Request(), []
    headers = [(b"X-%d" % n, b"v" * 50) for n in range(200)]

    def meddle(_phase: str, _info: dict[str, int]) -> None:
        try:
            request.load_record([(b"A", b"b")], True)
        except RuntimeError as error:
            said.append(str(error))

    request.load_record(headers, True, uri=b"/a/b/c", ip=b"192.0.2.1")
    threshold = gc.get_threshold()
    gc.callbacks.append(meddle)
    gc.set_threshold(1)
    try:
        for read in (lambda: request.headers, lambda: request.features(15), lambda: made_model.explain(request)):
            read()
    finally:
        gc.callbacks.remove(meddle)
        gc.set_threshold(*threshold)
    assert set(said) <= {"the request is being read"}
    request.load_record(headers, True)  # and then it may
    assert request.headers == headers


# ---- connections ----


class Transport:
    """As much of a transport as a connection needs."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        self.aborted = True


def on_a_loop(case: Callable[[], None]) -> None:
    """The timer of a server is the running loop's."""

    async def run() -> None:
        case()

    asyncio.run(run())


def feed(connection: Any, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


@pytest.mark.parametrize("n", [-1, core.MAX_HEAD + 1, 1 << 40, -(1 << 40)])
def test_a_connection_counts_what_it_was_given(n: int, made_model: core.Model) -> None:
    def case() -> None:
        connection = Server(core.Answerer(made_model))()
        connection.connection_made(Transport())
        for part in (b"", b"GET / HTT"):
            feed(connection, part)
            with pytest.raises(ValueError, match="the buffer has room"):
                connection.buffer_updated(n)

    on_a_loop(case)


def test_nobody_resizes_the_buffer_of_connections(made_model: core.Model) -> None:
    connection = Server(core.Answerer(made_model))()
    shared = connection.get_buffer(-1)
    whole = shared.obj
    shared.release()
    with pytest.raises(BufferError):
        whole.clear()


def test_a_connection_that_is_not_there_answers_nothing(made_model: core.Model) -> None:
    """Before it was made, and after it was lost, in whatever state; made twice, it is refused."""

    def case() -> None:
        server = Server(core.Answerer(made_model))
        for part in (b"", HEADS[0], HEADS[0][:20], b"nonsense\r\n"):
            connection, transport = server(), Transport()
            feed(connection, HEADS[0])
            connection.connection_made(transport)
            with pytest.raises(RuntimeError, match="made before"):
                connection.connection_made(transport)
            feed(connection, part)
            said = transport.written
            for _ in range(2):
                connection.connection_lost(None)
            feed(connection, HEADS[0])
            assert transport.written == said
            assert server.connections == 0

    on_a_loop(case)


def test_a_server_that_goes_takes_its_connections_with_it(made_model: core.Model) -> None:
    """Beginnings of heads are memory of no Python object."""

    def case() -> None:
        server = Server(core.Answerer(made_model))
        for _ in range(4):
            connection = server()
            connection.connection_made(Transport())
            feed(connection, b"GET /" + b"x" * 60_000)

    def cases() -> None:
        for _ in range(300):
            on_a_loop(case)
        gc.collect()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    cases()
    before = resident()
    cases()
    assert resident() - before < 20 << 20  # they are 75 MB in all


def test_a_logger_may_end_the_connection(made_model: core.Model) -> None:
    """What a head came in stays until it is answered, though the log's reader asks for more in between."""
    transport, heard = Transport(), []

    def log(said: dict[str, Any]) -> None:
        heard.append(said)
        if len(heard) == 1:
            connection.buffer_updated(0)
        if len(heard) == 2:
            connection.connection_lost(None)

    connection = Server(core.Answerer(made_model), log=log)()

    def case() -> None:
        connection.connection_made(transport)
        head = HEADS[0]
        for part in (head[:10], head[10:] + head):
            feed(connection, part)

    on_a_loop(case)
    assert len(heard) == 2
    assert not transport.written


def test_no_description_before_an_answer(made_model: core.Model) -> None:
    """It read a policy that was not there. Only a connection, which has the bytes, may ask."""
    assert not hasattr(core.Answerer(made_model), "describe")
