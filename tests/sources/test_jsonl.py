"""Lines of jsonl: what csrc reads of them is what the reader in Python makes of them, and what it does not read, that one decides.

Law: the reader in Python (msgspec) is the one that counts; here it reads every line a second time.
"""

from __future__ import annotations

import io
import itertools
import json
import random
from collections.abc import Callable

import models
import pytest
from places import ROOT

from sidecar import core
from sidecar.sources import records
from sidecar.sources.formats import find

BROWSER = [
    ["Host", "www.example.org"],
    ["User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"],
    ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    ["Accept-Encoding", "gzip, deflate, br, zstd"],
    ["If-None-Match", '"5f1-\\abc"'],
    ["Cookie", "a=1; b=\t2"],
]
TLS = {
    "protocol": "TLSv1.3",
    "ciphers": "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256",
    "curves": "X25519",
    "alpn": "",
    "reused": ".",
}
WHOLE = {
    "ip": "203.0.113.7",
    "time": 1773299700.123,
    "method": "GET",
    "uri": "/a/b?c=d",
    "protocol": "HTTP/2.0",
    "scheme": "https",
    "host": "www.example.org",
    "status": 200,
    "bytes": 5120,
    "type": "text/html; charset=utf-8",
    "label": "bot",
    "policy": "shop",
    "tls": TLS,
    "order": "kept",
    "connection": 17,
    "connection_requests": 3,
    "headers": BROWSER,
}
# A value for any member, or as text for what no dump of JSON writes.
VALUES = [
    *(
        None,
        "",
        "-",
        "a",
        "lost",
        "human",
        "bot",
        "unix:",
        "::1",
        "192.0.2.1",
        "é",
        "\x00",
        "\x1f",
        "\x7f",
        "\\",
        '"',
        "/",
        "\ud800",
    ),
    *(
        0,
        1,
        -1,
        200,
        999,
        1000,
        2**53 - 1,
        2**53,
        2**64,
        10**15,
        0.5,
        1773299700,
        253402300799.999,
        253402300800,
        True,
        False,
    ),
    *(
        [],
        {},
        [[]],
        [["a", "b"]],
        [["a"]],
        [["a", 1]],
        [["a", "b", "c"]],
        [["", ""]],
        {"a": "b"},
        {"a": None},
        {"Host": ""},
    ),
    *({"A": "", "a": "x"}, {"protocol": None, "more": [1, {"a": None}]}, BROWSER, dict(map(tuple, BROWSER)), TLS),
    *("00" * 40, "2026-03-12T07:15:00Z"),
]
TEXTS = [
    *(
        "01",
        "-0",
        "1e3",
        "1E-2",
        "1.",
        ".5",
        "1.50",
        "1773299700.1234567890",
        "0.1000000000000000055511151231257827",
        "00",
        " 1 ",
    ),
    *(
        "NaN",
        "Infinity",
        "nul",
        "nulll",
        "tru",
        '"',
        '"\\u0041"',
        '"\\u0042"',
        '"\\ud83d\\ude00"',
        '"\\x"',
        '"\\u00"',
        '"\\/"',
    ),
    *('"a\nb"', '"\x01"', '"a" "b"', '"\xff"', "[1,]", "{,}", '{"a":1,}', '{"a":"b","a":"c"}', '{"a":"","a":"c"}'),
    *('{"Host":"a","host":"b"}', '[["a","b"],]', '[["a","b",]]', '[["a" "b"]]'),
]


def state(request: core.Request) -> list[object]:
    """All that a request says."""
    line = [request.label, request.time_ms, request.size, request.content_type, request.status]
    said = [request.present, request.tls, request.connection, request.fields, request.truncated]
    return [*line, *said, repr(request.features(core.MIN_K))]


REQUEST = core.Request()


def read(load: Callable[[bytes, core.Request], None], line: bytes, request: core.Request = REQUEST) -> list[object]:
    try:
        load(line, request)
    except core.LineError as error:
        return ["error", *error.args]
    return state(request)


def check(line: bytes) -> None:
    assert read(records.load_record, line) == read(records._any_record, line), line


def test_a_plain_line_is_read_by_csrc() -> None:
    """Or nothing here would be tried."""
    for said in (WHOLE, WHOLE | {"headers": dict(map(tuple, BROWSER))}, {"agent": "curl/8"}):
        assert core.Request().load_json(json.dumps(said).encode())


@pytest.mark.parametrize("name", [*WHOLE, "agent", "referrer", "handshake", "other"])
def test_any_value_of_any_member(name: str) -> None:
    for text in (*map(json.dumps, VALUES), *TEXTS):
        for others in ({}, {"agent": "curl/8"}, {"headers": BROWSER}, WHOLE):
            rest = {each: value for each, value in others.items() if each != name}
            line = json.dumps(rest)[:-1] + (", " if rest else "") + f'"{name}": {text}' + "}"
            check(line.encode("latin-1"))


def test_a_member_that_is_there_twice() -> None:
    for name in (*WHOLE, "agent", "referrer", "other"):
        for values in itertools.permutations(
            ("null", '"a"', '"::1"', "1", json.dumps(BROWSER), "{}", json.dumps(TLS)), 2
        ):
            rest = "" if name == "agent" else ', "agent": "curl/8"'
            check(f'{{"{name}": {values[0]}, "{name}": {values[1]}{rest}}}'.encode())
            check(f'{{"{name}": {values[0]}, "{name}": {values[1]}}}'.encode())


@pytest.mark.parametrize("ordered", [True, False])
def test_lines_with_any_byte_changed(ordered: bool) -> None:
    draw = random.Random(7)
    whole = WHOLE if ordered else WHOLE | {"headers": dict(map(tuple, BROWSER))}
    line, by_csrc = json.dumps(whole).encode(), 0
    for _ in range(4000):
        changed = bytearray(line)
        for _ in range(draw.choice((1, 1, 2, 3))):
            at, what = draw.randrange(len(changed)), draw.randrange(4)
            if what == 0:
                changed[at] = draw.choice(b'{}[]:,"\\ 0189.-+eEtfnu\x00\t\r\x1f\x7f\xc3\xa9aA/')
            elif what == 1:
                del changed[at : at + draw.choice((1, 1, 2, 5, 20))]
            elif what == 2:
                changed.insert(at, draw.choice(b'{}[]:,"\\ 019.-e\x01\xffa'))
            else:
                start = draw.randrange(len(changed))
                changed[at:at] = changed[start : start + draw.choice((1, 5, 20, 60))]
        check(bytes(changed))
        by_csrc += REQUEST.load_json(bytes(changed))
    assert by_csrc > 400


def test_times_are_as_exact() -> None:
    draw = random.Random(3)
    for _ in range(3000):
        time = f"{draw.randrange(10 ** draw.randrange(1, 13))}.{draw.randrange(10**9):0{draw.randrange(1, 9)}d}"
        check(f'{{"agent": "a", "time": {time}}}'.encode())


def test_the_false_positives_and_sizes() -> None:
    for line in (ROOT / "tests" / "data" / "false_positives.jsonl").read_bytes().splitlines():
        check(line)
    for size in (65_000, 65_536, 70_000, 262_144, 262_145):
        check(json.dumps({"agent": "a", "uri": "/" * size}).encode())
    check(json.dumps({"headers": [["a", "b"]] * 400}).encode())
    check(json.dumps({"headers": {f"x-{n}": "b" for n in range(70)}}).encode())


def test_a_block_is_judged_as_its_lines_are() -> None:
    """Plain lines and others, in turns, with connections that tell their handshake once, and lines that cannot be read."""
    model, form = core.Model(models.image()), find("jsonl")
    said = []
    for n in range(60):
        first = n % 3 == 0
        one = WHOLE | {
            "time": 1773299700 + n,
            "ip": f"203.0.113.{n % 5}",
            "connection": n // 3,
            "connection_requests": n % 3 + 1,
        }
        one = one if first else {name: value for name, value in one.items() if name != "tls"}
        said.append(json.dumps(one | ({"host": "é"} if n % 7 == 0 else {}), ensure_ascii=n % 2 == 0))
        said += ["", '{"status": "x"}', '{"agent": 1}'] if n % 20 == 0 else []
    block = "\n".join(said).encode() + b"\n"
    out, request, handshakes, clients = io.BytesIO(), core.Request(), core.Handshakes(), core.Clients(1)
    done = model.report_lines(
        core.Request(), "jsonl", block, 1, True, out.write, core.Clients(1), form.record, core.Handshakes()
    )
    expected = []
    for number, line in enumerate(block.splitlines(), 1):
        try:
            records._any_record(line, request)
        except core.LineError as error:
            expected.append(core.report_error(number, *error.args, True))
            continue
        handshakes.recall(request)
        clients.read(request)
        expected.append(model.report(request, number, True))
        clients.count(request)
    assert out.getvalue() == b"".join(expected)
    assert (done.lines, done.bad) == (len(said), 9)


def test_the_beginning_of_a_line_is_no_line() -> None:
    """Wherever it breaks off: csrc's reader stops at its end, and says nothing of it."""
    request = core.Request()
    lines = [
        b'{"time":1773299700.125,"more":12.5,"host":"a\\u0041\\"b","status":200,"bytes":null,"headers":{"Host":"\\u0042","A":"b"}}',
        b'{"connection":17,"other":true,"another":"\\n","tls":{"alpn":"h2","new":1.5,"curves":null},"headers":[["Host","a"],["A","\\\\"]]}',
        b'{"order":"kept","policy":"","label":"human","ip":"::1","headers":[],"handshake":null,"last":0.25}',
    ]
    for line in lines:
        assert request.load_json(line), line
        for cut in range(len(line)):
            assert not request.load_json(line[:cut]), line[:cut]
