"""Formats of logs: each row reads its golden log as the same requests, every command takes each row, and knows it by its lines.

Law: tests/data/logs/requests.jsonl and lines.jsonl say what a log holds; the others must say the same, but for what is absent
in them.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import DATA, ROOT

from sidecar import core, model
from sidecar.sources import choosing, formats, lines
from sidecar.sources.fields import w3c
from sidecar.sources.fields.w3c import ABOUT_THE_LOG
from sidecar.sources.formats import FORMATS

LOGS = DATA / "logs"
GOLDEN = {path.stem: path for path in LOGS.glob("*.log")}
WITH_HEADERS = {"caddy", "traefik"}
# What a format holds of lines.jsonl.
_LINE = "ip method uri protocol status time"
HOLDS = {
    "aws_alb": f"{_LINE} milliseconds bytes agent scheme host",
    "aws_api_gateway": f"{_LINE} bytes",
    "aws_elb": f"{_LINE} milliseconds bytes agent scheme host",
    "aws_s3": f"{_LINE} bytes agent referrer",
    "bunny": "ip uri status time milliseconds bytes agent referrer scheme host",
    "challenge": "ip agent referrer",
    "cloudfront": f"{_LINE} bytes type agent referrer scheme host",
    "combined": f"{_LINE} bytes agent referrer",
    "common": f"{_LINE} bytes",
    "csv": f"{_LINE} milliseconds bytes agent referrer scheme host",
    "envoy": f"{_LINE} milliseconds bytes agent host",
    "forwarded_combined": f"{_LINE} bytes agent referrer",
    "haproxy": f"{_LINE} milliseconds bytes",
    "iis": "ip method uri status time bytes",
    "logfmt": f"{_LINE} milliseconds bytes agent referrer host",
    "ltsv": f"{_LINE} bytes agent referrer host",
    "nginx_json": f"{_LINE} milliseconds bytes type agent referrer scheme host",
    "nginx_proxy_manager": "ip method uri status time bytes agent referrer scheme host",
    "squid": "ip method uri status time milliseconds bytes scheme host",
    "tab_combined": f"{_LINE} bytes agent referrer",
    "traefik_clf": f"{_LINE} bytes agent referrer",
    "uvicorn": "ip method uri protocol status",
    "varnish": f"{_LINE} bytes agent referrer scheme host",
    "vhost_combined": f"{_LINE} bytes agent referrer host",
    "vhost_common": f"{_LINE} bytes host",
    "w3c": f"{_LINE} bytes agent referrer host",
}


def requests_of(name: str) -> list[bytes]:
    """The lines of a golden log that are requests."""
    lines = [line for line in GOLDEN[name].read_bytes().splitlines() if not line.startswith(b"#")]
    return lines[name == "csv" :]


def test_each_format_has_a_golden_log() -> None:
    assert set(GOLDEN) == set(FORMATS) - {"jsonl"} == WITH_HEADERS | set(HOLDS)


def test_the_page_has_each_row() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    for row in FORMATS.values():
        groups = " ".join(group for group in core.GROUPS if group in row.groups)
        assert f"| `{row.name}` | {row.doc} | {groups} |" in page
        assert f"## {row.name}" in page


@pytest.mark.parametrize("name", sorted(HOLDS))
def test_a_golden_log_of_lines_is_the_same_requests(name: str) -> None:
    wanted = [json.loads(line) for line in (LOGS / "lines.jsonl").read_bytes().splitlines()]
    read = [line for line in lines.of_log(str(GOLDEN[name]), FORMATS[name]) if line[3] != ABOUT_THE_LOG]
    assert len(read) == len(wanted)
    held = HOLDS[name].split()
    # One request object serves all lines, so each is read again, in a log's order.
    form, request = FORMATS[name].opened(), core.Request()
    got = []
    for line in GOLDEN[name].read_bytes().splitlines():
        with contextlib.suppress(core.LineError):
            form.load(line, request)
            reply = {"status": request.status, "bytes": request.size, "type": request.content_type}
            got.append({**request.fields, **reply, "time": request.time_ms, "present": request.present})
    for want, found in zip(wanted, got, strict=True):
        unkept = name == "traefik_clf" and [field for field in ("agent", "referrer") if not want[field]]
        for field in (
            "ip",
            "method",
            "uri",
            "protocol",
            "scheme",
            "host",
            "agent",
            "referrer",
            "status",
            "bytes",
            "type",
        ):
            value = found[field]
            if field not in held or field in (unkept or ()):
                assert value is None, field
            elif isinstance(want[field], str):
                # A lone dash is nothing, in logs as on the wire; a port says no more than the scheme.
                assert value.removeprefix(b"-").removesuffix(b":443") == want[field].encode(), field
            else:
                assert value == want[field], field
        if "time" in held:
            milliseconds = round(want["time"] * 1000)
            assert found["time"] == (milliseconds if "milliseconds" in held else milliseconds // 1000 * 1000)
        else:
            assert found["time"] is None
        groups = {"ip": "ip", "agent": "ua", "referrer": "referrer", "uri": "url"}
        bits = sum(
            core.GROUPS[group] for field, group in groups.items() if field in held and field not in (unkept or ())
        )
        assert found["present"] == bits


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_format_is_known_by_its_lines(xbot, name: str, tmp_path: Path) -> None:
    """By all of them, by any one alone that tells it, and from a pipe; and it says what it took."""
    done = xbot("score", GOLDEN[name])
    assert f"{GOLDEN[name]}: read as {name} (".encode() in done.stderr
    assert xbot("score", "-", stdin=GOLDEN[name].read_bytes()).stdout == done.stdout
    assert xbot("score", "--format", name, GOLDEN[name]).stdout == done.stdout
    if name in ("w3c", "csv"):
        return  # one line alone has no names
    form = choosing.guess(requests_of(name)[:1])
    assert form is not None
    assert form.name == ("combined" if name == "forwarded_combined" else name)


@pytest.mark.parametrize("name", sorted(WITH_HEADERS))
def test_a_golden_log_is_the_same_requests(name: str) -> None:
    """By fields, headers and features; the scheme is not in all of them, so it is left out."""
    own = lines.of_log(str(LOGS / "requests.jsonl"), FORMATS["jsonl"])
    found = lines.of_log(str(GOLDEN[name]), FORMATS[name])
    rows = 0
    for (_, _, want, _), (_, text, got, fault) in zip(own, found, strict=True):
        assert want is not None
        assert got is not None, (text, fault)
        assert {**got.fields, "scheme": None} == {**want.fields, "scheme": None}
        assert (got.time_ms, got.status, got.size, got.content_type) == (
            want.time_ms,
            want.status,
            want.size,
            want.content_type,
        )
        assert None not in (got.time_ms, got.size, got.content_type)
        hops = (b"Connection", b"X-Forwarded", b"X-Real-Ip")
        assert sorted(pair for pair in got.headers if not pair[0].startswith(hops)) == sorted(want.headers)
        features = zip(core.FEATURES, want.features(12)[0], got.features(12)[0], strict=True)
        assert [row.name for row, a, b in features if a != b and a == a and b == b] == []
        assert got.present == want.present
        rows += 1
    assert rows > 5


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_every_command_takes_it(xbot, made_model_path, tmp_path, name: str) -> None:
    log, form = GOLDEN[name], ("--format", name)
    count = len(log.read_bytes().splitlines())
    requests = len(requests_of(name))
    said = xbot("score", "--model", made_model_path, *form, "--json", log).stdout.splitlines()
    assert [json.loads(line)["line"] for line in said] == list(range(1, count + 1))
    scores = [json.loads(line)["score"] for line in said if b'"error"' not in line]
    assert len(scores) == requests
    why = [
        json.loads(line)
        for line in xbot("explain", "--model", made_model_path, *form, "--json", log).stdout.splitlines()
    ]
    assert [line["score"] for line in why if "score" in line] == pytest.approx(scores, abs=1e-4)
    told = tmp_path / "replay.json"
    xbot("replay", "--model", made_model_path, *form, "--json", told, log)
    assert json.loads(told.read_bytes())["requests"] == requests
    table = xbot("features", "--csv", *form, log).stdout.decode()
    assert len(list(csv.DictReader(io.StringIO(table)))) == requests
    labels = xbot("label", *form, "--quiet", log).stdout.splitlines()
    assert len(labels) == count + 1


@pytest.mark.parametrize("name", GOLDEN)
def test_training_takes_each(name: str, tmp_path: Path, xbot: Callable[..., Any]) -> None:
    log = GOLDEN[name]
    count = len(log.read_bytes().splitlines())
    marks, many = tmp_path / "labels.tsv", tmp_path / "log"
    marks.write_text("".join(f"{n}\t{'bot' if n % count % 2 else 'human'}\n" for n in range(1, 20 * count + 1)))
    many.write_bytes(log.read_bytes() * 20)
    xbot(
        "train",
        "--format",
        name,
        "--labels",
        marks,
        "--split",
        "row",
        "--quiet",
        "--out",
        tmp_path / "model.xbot",
        many,
    )
    assert model.load(tmp_path / "model.xbot").header


def test_a_whole_url_in_a_log_of_paths_is_a_visitors() -> None:
    """One who takes the site for his proxy: a log with him among others is no log of Varnish."""
    theirs = requests_of("combined")
    form = choosing.guess([*theirs[:3], requests_of("varnish")[0]])
    assert form is not None
    assert form.name == "combined"


def test_over_http_2_the_proxy_writes_the_whole_url() -> None:
    """HAProxy does; no visitor can. It made a bot of each of them."""
    line = GOLDEN["haproxy"].read_bytes().splitlines()[0]
    request = core.Request()
    for protocol, uri, host in (
        (b"HTTP/2.0", b"/a?b=1", b"e.example"),
        (b"HTTP/1.1", b"https://e.example/a?b=1", None),
    ):
        text = line[: line.index(b'"GET')] + b'"GET https://e.example/a?b=1 ' + protocol + b'"'
        FORMATS["haproxy"].load(text, request)
        assert (request.fields["uri"], request.fields["host"]) == (uri, host)


@pytest.mark.parametrize("nested", [False, True])
def test_names_of_elastics_schema(nested: bool) -> None:
    """Nested as they are, or with dots."""
    flat = {
        "@timestamp": "2026-03-12T07:15:02Z", "source.ip": "192.0.2.10", "http.request.method": "GET", "http.response.status_code": 404,
        "url.path": "/a", "url.query": "b=1", "url.domain": "e.example", "user_agent.original": "curl/8", "http.request.referrer": "-",
        "http.response.body.bytes": 12,
    }  # fmt: skip
    found: dict[str, object] = {}
    for name, value in flat.items():
        place, parts = found, name.split(".")
        for part in parts[:-1] if nested else ():
            place = place.setdefault(part, {})
        place[parts[-1] if nested else name] = value
    request = core.Request()
    FORMATS["nginx_json"].load(json.dumps(found).encode(), request)
    said = request.fields
    assert (said["ip"], said["method"], said["uri"], said["host"]) == (b"192.0.2.10", b"GET", b"/a?b=1", b"e.example")
    assert (said["agent"], request.status, request.size, request.time_ms) == (b"curl/8", 404, 12, 1773299702000)


BROKEN = {
    "aws_api_gateway": {
        b"192.0.2.1,-,-,12/Mar/2026:07:15:00 +0000": "line: 4 fields with ',' between, and there should be 11",
        b"192.0.2.1,-,-,noon,GET,/,HTTP/1.1,200,5,c6af9ac6,JKJa=": "time_local: neither",
        b"192.0.2.1,-,-,12/Mar/2026:07:15:00 +0000,GET,/,HTTP/1.1,ok,5,c6af9ac6,JKJa=": "status: expected three digits",
    },
    "bunny": {
        b"HIT|200|1773299700123": "line: 3 fields with '|' between, and there should be 12",
        b"HIT|ok|1773299700123|5|3|192.0.2.1|-|https://h.example/|DE|curl|32|DE": "status: expected three digits",
        b"HIT|200|noon|5|3|192.0.2.1|-|https://h.example/|DE|curl|32|DE": "msec: neither",
    },
    "iis": {
        b"192.0.2.1, -, noon, 7:15:00, W3SVC1, WEB01, 10.0.0.1, 15, 4, 5, 200, 0, GET, /, -,": "time: expected month/day/year",
        b"192.0.2.1, -, 3/12/2026, 7:15:00, W3SVC1, WEB01, 10.0.0.1, 15, 4, 5, 200, 0, GET, /": "line: 14 fields",
    },
    "caddy": {
        b'{"level": "info", "msg": "serving"}': "request: missing",
        b'{"request": {"client_ip": 7}}': "request.client_ip: expected `str",
        b'{"request": {"headers": {"Accept": "x"}}}': "request.headers[...]: expected `array`",
        b'{"request": {}, "status": "200"}': "status: expected `int",
        b'{"request": {}, "ts": "noon"}': "ts: ",
        b"[]": "line: expected `object`",
        b"{": "line: not JSON",
    },
    "nginx_json": {
        b'{"level": "info", "msg": "serving"}': "line: no member about the visitor",
        b'{"remote_addr": "192.0.2.1", "status": "20x"}': "status: expected three digits",
        b'{"remote_addr": "192.0.2.1", "time_local": "noon"}': "time_local: neither",
        b'{"remote_addr": "192.0.2.1", "time": 1e300}': "time: neither",
        b'{"ip": "192.0.2.1", "headers": {}}': "headers: a member of the format jsonl",
        b"[]": "line: expected `object`",
        b'["\xff"]': "line: expected `object`",
        b"{": "line: not JSON",
    },
    "logfmt": {
        b"level=info msg=serving": "line: no member about the visitor",
        b'method=GET path="/" fwd="192.0.2.1" fwd="192.0.2.2"': "fwd: it comes twice",
        b'path="/a"b" fwd="192.0.2.1"': "path: a quote in it is not escaped",
        b'path="/ fwd=192.0.2.1': "path: a quote in it is not escaped",
        b"remote_addr=192.0.2.1 status=20x": "status: expected three digits",
        b'{"msg": "x remote_addr=192.0.2.1"}': "line: JSON",
    },
    "ltsv": {
        b"192.0.2.1\tcurl/8.5.0\t-": "line: expected name:value",
        b"host:192.0.2.1\tua:x\tua:y": "ua: it comes twice",
        b"host:192.0.2.1\ttime:[noon]": "time: neither",
    },
    "csv": {
        b"192.0.2.1,curl/8.5.0,-": "line: no names of columns about the visitor",
        b"client_ip,duration": "line: no names of columns about the visitor",
        b"client_ip,status,user_agent": "line: it is about the log",
    },
    "tab_combined": {
        b"192.0.2.1\tcurl/8.5.0": "logname: expected",
        b'192.0.2.1\t-\t-\t[noon]\t"GET / HTTP/1.1"\t200\t5\t"-"\t"x"': "time_local: neither",
        b'192.0.2.1\t-\t-\t[12/Mar/2026:07:15:00 +0000]\t"GET / HTTP/1.1"\t200\t5\t"-"\t"x': "http_user_agent: a quote",
    },
    "squid": {
        b"1773299700.123     12 192.0.2.1 TCP_MISS 200": "result: expected '/' behind it",
        b"1773299700.123     12 192.0.2.1 TCP_MISS/2000 5 GET http://a.example/ - HIER_NONE/- -": "status: expected three",
    },
    "aws_elb": {
        b"2026-03-12T07:15:00.123456Z shop-lb": "elb: expected ' ' behind it",
        b'noon shop-lb 192.0.2.1:4000 - 0 0 0 200 200 34 5 "GET http://a.example:80/ HTTP/1.1" "x" - -': "time_iso8601: neither",
    },
    "aws_s3": {
        b'o b [12/Mar/2026:07:15:00 +0000] 192.0.2.1 - 3E REST.GET.OBJECT a "GET /a HTTP/1.1" ok - 5 5 7 6 "-" "x" -': "status: ",
        b"o b 192.0.2.1": "bucket: expected ' [' behind it",
    },
    "nginx_proxy_manager": {
        b"[12/Mar/2026:07:15:00 +0000] - 200 200": "statuses: expected ' - ' behind it",
        b'[12/Mar/2026:07:15:00 +0000] 200 - GET http a.example "/" [Client 192.0.2.1] [Length 5] [Gzip -] "x" "-': "http_referer: a quote",
    },
    "uvicorn": {
        b'[INFO] 192.0.2.1:4000 - "GET / HTTP/1.1" 200 OK': "ip: other words stand before it",
        b'192.0.2.1:4000 - "GET / HTTP/1.1" fine OK': "status: expected three digits",
    },
    "haproxy": {
        b"192.0.2.1:4000 [12/Mar/2026:07:15:00.655] web": "frontend: expected ' ' behind it",
        b'Mar 12 07:15:00 lb haproxy[1]: 192.0.2.1:4000 [noon] a b/c 1 200 5 - - ---- 1/1 0/0 "GET / HTTP/1.1"': "time: neither",
        b'192.0.2.1:4000 [12/Mar/2026:07:15:00.655] a b/c 1 ok 5 - - ---- 1/1 0/0 "GET / HTTP/1.1"': "status: expected three",
        b'192.0.2.1:4000 [12/Mar/2026:07:15:00.655] a b/c 1 200 5 - - ---- 1/1 0/0 "GET /': "request: a quote",
    },
    "envoy": {
        b'192.0.2.1 "GET / HTTP/1.1"': "line: expected '[' first",
        b'[2026-03-12T07:15:00.310Z] "GET / HTTP/1.1" 200 - 0 5 1 1 "192.0.2.1" "curl': "http_user_agent: expected",
        b'[noon] "GET / HTTP/1.1" 200 - 0 5 1 1 "192.0.2.1" "curl" "1" "h" "u"': "time_iso8601: neither",
    },
    "aws_alb": {
        b"https": "type: expected ' ' behind it",
        b'https 2026-03-12T07:15:00.1Z a 192.0.2.1:4 - 0 0 0 200 200 3 5 "GET https://h/ HTTP/1.1" "curl': "http_user_agent: expected",
    },
    "varnish": {
        b'192.0.2.1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"': "request: expected a whole URL",
        b'192.0.2.1 - - [noon] "GET http://h/ HTTP/1.1" 200 5 "-" "curl"': "time_local: neither",
    },
    "cloudfront": {b"2026-03-12\t07:15:00\tFRA": "line: 3 fields, and the log's line #Fields names 33"},
    "w3c": {
        b"2026-03-12 07:15:00": "line: 2 fields, and the log's line #Fields names 15",
        b"2026-13-12 07:15:00 - GET / - 443 - 192.0.2.1 curl - 200 0 0 1": "time: neither",
        b"2026-03-12 07:15:00 - GET / - 443 - 192.0.2.1 curl - ok 0 0 1": "status: expected three digits",
        b"#Fields: date time": "line: it is about the log",
    },
    "traefik": {
        b'{"level": "info", "msg": "started"}': "ClientHost: missing",
        b'{"ClientHost": 7}': "ClientHost: expected `str",
        b'{"ClientHost": "::1", "DownstreamStatus": "200"}': "DownstreamStatus: expected `int",
        b'{"ClientHost": "::1", "StartUTC": "noon"}': "StartUTC: ",
        b'{"ClientHost": "::1", "request_Accept": 1}': "request_Accept: expected `str`",
        b"[]": "line: expected `object`",
        b"{": "line: not JSON",
    },
}


def test_each_reader_in_python_has_its_broken_lines() -> None:
    """Those of csrc are rows of tests/data/lines.tsv; tests/sources/test_logs.py has those of jsonl."""
    assert set(BROKEN) == {row.name for row in FORMATS.values() if row.record is not None} - {"jsonl"}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_line_is_told_by_its_field(name: str) -> None:
    for line, why in BROKEN[name].items():
        with pytest.raises(core.LineError) as caught:
            FORMATS[name].opened().load(line, core.Request())
        assert ": ".join(caught.value.args).startswith(why)


def test_caddy_without_most_of_it() -> None:
    """What a line does not have is absent, and no mistake; repeated headers all count."""
    request = core.Request()
    FORMATS["caddy"].load(b'{"request": {"remote_ip": "::1", "tls": {}}}', request)
    assert request.fields["ip"] == b"::1"
    assert request.fields["scheme"] == b"https"
    assert request.fields["agent"] is None
    assert request.present == core.GROUPS["ip"]
    FORMATS["caddy"].load(b'{"request": {"headers": {"Accept": ["a", "b"]}}}', request)
    assert request.headers == [(b"Accept", b"a"), (b"Accept", b"b")]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("jsonl", b'{"ip": "%s", "agent": "x"}'),
        ("nginx_json", b'{"remote_addr": "%s", "http_user_agent": "x"}'),
        ("caddy", b'{"request": {"client_ip": "%s", "headers": {"User-Agent": ["x"]}}}'),
        ("traefik", b'{"ClientHost": "%s", "request_User-Agent": "x"}'),
        ("combined", b'%s - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x"'),
        ("common", b'%s - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5'),
        ("vhost_combined", b'shop.example %s - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x"'),
        ('$remote_addr [$time_local] "$request"', b'%s [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1"'),
    ],
)
@pytest.mark.parametrize(
    "first", ["unix:", "client.example", "192.0.2.1:4711", "fe80::1%eth0", "192.0.2.x", "192.0.2.300", ""]
)
def test_a_first_field_that_is_no_address_is_none(name: str, line: bytes, first: str) -> None:
    request = core.Request()
    formats.find(name).load(line % first.encode(), request)
    assert request.fields["ip"] is None
    assert not request.present & core.GROUPS["ip"]
    formats.find(name).load(line % b"192.0.2.1", request)
    assert request.fields["ip"] == b"192.0.2.1"


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1773299700", 1773299700),
        ("1773299700123", 1773299700),
        ("1773299700123456", 1773299700),
        ("1773299700.5", 1773299700),
        ('"2026-03-12T07:15:00.123Z"', 1773299700),
        ('"2026-03-12T08:15:00+0100"', 1773299700),
        ('"2026/03/12 07:15:00"', 1773299700),
        ('"12/Mar/2026:08:15:00 +0100"', 1773299700),
    ],
)
def test_times_as_owners_set_them(stamp: str, seconds: int) -> None:
    """Caddy's time_format, Traefik's, and nginx's variables."""
    request = core.Request()
    for name, line in (
        ("caddy", '{"request": {"client_ip": "::1"}, "ts": %s}'),
        ("traefik", '{"ClientHost": "::1", "StartUTC": %s}'),
        ("nginx_json", '{"remote_addr": "::1", "time": %s}'),
    ):
        FORMATS[name].load((line % stamp).encode(), request)
        assert request.time == seconds


def test_names_of_a_log_change_in_it() -> None:
    """IIS writes its first lines again at each start; only the last #Fields counts, and another log begins anew."""
    form, request = FORMATS["w3c"].opened(), core.Request()
    for fields, line in ((b"c-ip sc-status", b"192.0.2.1 404"), (b"sc-status x-other c-ip", b"404 a 192.0.2.1")):
        with pytest.raises(core.LineError, match="about the log"):
            form.load(b"#Fields: " + fields, request)
        form.load(line, request)
        assert (request.fields["ip"], request.status) == (b"192.0.2.1", 404)
    with pytest.raises(core.LineError, match="names 15"):
        form.opened().load(b"404 a 192.0.2.1", request)


def test_traefik_without_most_of_it() -> None:
    """By default Traefik keeps no header; where only the agent is kept, that no other came is not known."""
    request = core.Request()
    FORMATS["traefik"].load(b'{"ClientAddr": "[2001:db8::1]:4000", "RequestPath": "/"}', request)
    assert request.fields["ip"] == b"2001:db8::1"
    assert request.present == core.GROUPS["ip"] | core.GROUPS["url"]
    FORMATS["traefik"].load(b'{"ClientHost": "192.0.2.9, 192.0.2.1", "request_User-Agent": "curl/8"}', request)
    assert request.fields["ip"] == b"192.0.2.1"
    assert request.fields["agent"] == b"curl/8"
    assert request.present == core.GROUPS["ip"] | core.GROUPS["ua"]


@pytest.mark.parametrize(
    ("form", "line", "reply"),
    [
        (
            'LogFormat "%h %{msec}t \\"%r\\" %>s %b \\"%{Content-Type}o\\"" mine',
            b'192.0.2.1 1773299700123 "GET / HTTP/1.1" 304 - "-"',
            (1773299700123, 304, 0, None),
        ),
        (
            "$remote_addr $msec $status $bytes_sent $body_bytes_sent $sent_http_content_type",
            b"192.0.2.1 1773299700.007 200 700 512 text/html; charset=utf-8",
            (1773299700007, 200, 512, b"text/html; charset=utf-8"),
        ),
        (
            "haproxy",
            b'192.0.2.1:4000 [12/Mar/2026:07:15:00.655] a b/c 1 200 +51 - - ---- 1/1 0/0 "GET / HTTP/1.1"',
            (1773299700655, 200, None, None),
        ),
        ("jsonl", b'{"agent": "x", "time": 1773299700.9999, "bytes": 0, "type": ""}', (1773299700999, None, 0, None)),
        ("nginx_json", b'{"remote_addr": "192.0.2.1", "bytes": "12", "time": 1773299700.5}', (1773299700500, None, 12, None)),
        (
            "combined",
            b'::1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5 "-" "x" 1773299700.25 "a/b"',
            (1773299700000, 200, 5, None),
        ),
        (
            "$remote_addr $time_iso8601 $status $bytes_sent $body_bytes_sent",
            b"192.0.2.1 2026-03-12T07:15:00,5Z 000 70 -",
            (1773299700500, None, 70, None),
        ),
        (
            "combined",
            b'::1 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 - "-" "x" 7 1773299700.250 "a/b"',
            (1773299700250, 200, 0, b"a/b"),
        ),
    ],
)  # fmt: skip
def test_what_became_of_a_request(form: str, line: bytes, reply: tuple[object, ...]) -> None:
    """Milliseconds, status, bytes and content type, and none of them where a line does not say it."""
    request = core.Request()
    formats.find(form).load(line, request)
    assert (request.time_ms, request.status, request.size, request.content_type) == reply


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"agent": "x", "bytes": -1}', "bytes: expected `int` >= 0"),
        (b'{"agent": "x", "bytes": 1.5}', "bytes: expected `int"),
        (b'{"agent": "x", "bytes": 9007199254740992}', "bytes: expected `int` <= 9007199254740991"),
        (b'{"agent": "x", "type": 1}', "type: expected `str"),
    ],
)
def test_a_reply_that_cannot_be(line: bytes, why: str) -> None:
    with pytest.raises(core.LineError) as caught:
        FORMATS["jsonl"].load(line, core.Request())
    assert ": ".join(caught.value.args).startswith(why)


CAPTURES = """
    capture request header Host len 64
    capture request header User-Agent len 40
    capture response header Server len 20
"""


def test_captures_of_haproxy_are_what_its_configuration_says(xbot, tmp_path: Path) -> None:
    """With their lengths: an agent that was cut is absent, as it would be another one."""
    line = GOLDEN["haproxy"].read_bytes().splitlines()[0]
    form = formats.find(CAPTURES).opened()
    assert form.groups == FORMATS["haproxy"].groups
    request = core.Request()
    for captures, agent in (
        (b"{shop.example|curl/8.5.0} {nginx}", b"curl/8.5.0"),
        (b"{shop.example|a#7C#22b#22} {}", b'a|"b"'),
        (b"{shop.example|} {}", b""),
        (b"{shop.example|Mozilla/5.0 (X11; Linux x86_64) AppleWeb}", None),
    ):
        form.load(line.replace(b"{shop.example} {}", captures), request)
        assert (request.fields["agent"], request.fields["host"]) == (agent, b"shop.example")
    with pytest.raises(core.LineError, match="captures"):
        form.load(line, request)
    log = tmp_path / "log"
    log.write_bytes(line.replace(b"{shop.example} {}", b"{shop.example|curl/8.5.0} {}") + b"\n")
    said = xbot("score", "--log-format", CAPTURES, log).stdout
    assert b"\tbot\t" in said


def test_fifteen_words_are_no_line_of_iis() -> None:
    """Without a line of names a log of another program, which has as many fields, was taken for one."""
    line = (
        b'[2026-03-12 07:15:00 +0000] [7] [INFO] 192.0.2.1:51 - - [12/Mar/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 5'
    )
    assert len(line.split()) == len(w3c.IIS.split())
    with pytest.raises(core.LineError, match="ip"):
        FORMATS["w3c"].opened().load(line, core.Request())
