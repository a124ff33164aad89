"""The handshake in logs: what a line says of it is what the proxy's question says, and a wrong member is told by name."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import tables

from sidecar import core
from sidecar.sources import records
from sidecar.sources.formats import FORMATS

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
TLS = [row.name for row in core.FEATURES if row.group == "tls"]
HANDSHAKES = {name: (suites, groups) for name, _, suites, groups, _ in tables.rows("handshakes.tsv", 5)}


def record(**more: Any) -> core.Request:
    request = core.Request()
    line = {
        "ip": "192.0.2.7",
        "method": "GET",
        "uri": "/",
        "protocol": "HTTP/1.1",
        "scheme": "https",
        "host": "a.example",
    }
    records.load_record(json.dumps({**line, "headers": [["User-Agent", AGENT]], **more}).encode(), request)
    return request


def rows(request: core.Request) -> dict[str, float]:
    return {row.name: value for row, value in zip(core.FEATURES, request.features(15)[0], strict=True)}


@pytest.mark.parametrize("name", HANDSHAKES)
@pytest.mark.parametrize("alpn", ["h2", "-", ""])
def test_a_line_says_what_the_question_says(name: str, alpn: str) -> None:
    suites, groups = HANDSHAKES[name]
    head = core.Request()
    head.load_head(
        (
            f"GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.7\r\nX-Original-URI: /\r\nX-Original-Method: GET\r\nX-Original-Protocol: HTTP/1.1\r\n"
            f"X-Original-Scheme: https\r\nX-Original-Host: a.example\r\nX-TLS-Protocol: TLSv1.2\r\nX-TLS-Ciphers: {suites}\r\n"
            f"X-TLS-Curves: {groups}\r\nX-TLS-ALPN: {alpn}\r\nX-TLS-Reused: r\r\nX-TLS-Sigalgs: 0x1a1a:0x0403\r\n"
            f"X-Connection: 812-4711-3\r\nUser-Agent: {AGENT}\r\n\r\n"
        ).encode()
    )  # fmt: skip
    tls = {
        "protocol": "TLSv1.2",
        "ciphers": suites,
        "curves": groups,
        "alpn": alpn,
        "reused": "r",
        "sigalgs": "0x1a1a:0x0403",
    }
    line = record(tls=tls, connection=4711, connection_requests=3)
    assert rows(line) == pytest.approx(rows(head), nan_ok=True)
    assert line.features(15)[1] == head.features(15)[1]
    assert line.present == head.present
    assert line.stack == head.stack
    assert line.connection == head.connection == (4711, 3)
    assert line.tls == core.Tls(**{member: text.encode() for member, text in tls.items()})


@pytest.mark.parametrize(
    "tls", [None, {}, {"ciphers": None}, {"ciphers": "", "alpn": "", "curves": ""}, {"cipher": "x"}]
)
def test_what_is_missing_or_empty_is_absent(tls: dict[str, Any] | None) -> None:
    request = record(tls=tls, connection=None, connection_requests=None)
    assert request.tls is None
    assert request.stack is None
    assert request.connection == (0, 0)
    assert all(math.isnan(rows(request)[name]) for name in TLS)
    assert request.present == record().present


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tls": "TLSv1.3"}, "tls: expected `object"),
        ({"tls": {"ciphers": ["0x1301"]}}, "tls.ciphers: expected `str"),
        ({"tls": {"reused": True}}, "tls.reused: expected `str"),
        ({"connection": "7"}, "connection: expected `int"),
        ({"connection": -1}, "connection: expected `int` >= 0"),
        ({"connection": 2**64}, "connection: expected 0 to"),
        ({"connection_requests": 2**32}, "connection_requests: expected `int` <="),
        ({"connection_requests": 1.5}, "connection_requests: expected `int"),
    ],
)
def test_a_wrong_member_is_told_by_name(more: dict[str, Any], why: str) -> None:
    with pytest.raises(core.LineError) as caught:
        record(**more)
    assert ": ".join(caught.value.args).startswith(why)


def test_a_model_file_tests_itself_with_a_handshake(made_model) -> None:
    """The self-test holds the texts: a build that reads them otherwise refuses the file."""
    suites, groups = HANDSHAKES["curl 7.88, OpenSSL 3.0"]
    request = record(tls={"ciphers": suites, "curves": groups})
    test = request.self_test(made_model.judge(request).margin)
    assert suites.encode() in test
    assert groups.encode() in test
    assert suites.encode() not in record().self_test(0.0)


def test_caddy_says_what_was_agreed_on() -> None:
    request = core.Request()
    line = {
        "request": {
            "uri": "/",
            "proto": "HTTP/2.0",
            "tls": {"resumed": True, "version": 772, "cipher_suite": 4865, "proto": "h2"},
        }
    }
    FORMATS["caddy"].load(json.dumps(line).encode(), request)
    found = rows(request)
    assert (found["tls_13"], found["tls_resumed"], found["tls_no_alpn"], found["odd_tls_alpn"]) == (1, 1, 0, 0)
    assert math.isnan(found["tls_openssl"])
    line["request"]["tls"]["proto"] = ""
    FORMATS["caddy"].load(json.dumps(line).encode(), request)
    assert rows(request)["tls_no_alpn"] == 1
    for wrong, why in (
        ({"version": "x"}, "request.tls.version: expected `int"),
        ({"proto": 1}, "request.tls.proto: expected `str"),
    ):
        with pytest.raises(core.LineError) as caught:
            FORMATS["caddy"].load(json.dumps({"request": {"tls": wrong}}).encode(), request)
        assert ": ".join(caught.value.args).startswith(why)
