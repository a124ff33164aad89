"""Formats of logs: each row reads its golden log as the same requests, and every command takes each row.

Law: tests/data/logs/requests.jsonl says what a log holds; the others must say the same, but for what is absent in them.
"""

from __future__ import annotations

import csv
import io
import json

import pytest
from places import DATA, ROOT

from sidecar import core
from sidecar.sources import lines
from sidecar.sources.formats import FORMATS

LOGS = DATA / "logs"
GOLDEN = {path.stem: path for path in LOGS.glob("*.log")}
OTHERS = {"challenge", "combined", "jsonl"}  # tests/sources/test_logs.py has their lines


def test_each_json_format_of_others_has_a_golden_log() -> None:
    assert set(GOLDEN) == set(FORMATS) - OTHERS


def test_the_page_has_each_row() -> None:
    page = (ROOT / "docs" / "formats.md").read_text()
    for row in FORMATS.values():
        groups = " ".join(group for group in core.GROUPS if group in row.groups)
        assert f"| `{row.name}` | {row.doc} | {groups} |" in page
        assert f"## {row.name}" in page


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_golden_log_is_the_same_requests(name: str) -> None:
    """By fields, headers and features; the scheme is not in all of them, so it is left out."""
    own = lines.of_log(str(LOGS / "requests.jsonl"), FORMATS["jsonl"])
    found = lines.of_log(str(GOLDEN[name]), FORMATS[name])
    rows = 0
    for (_, _, want, _), (_, text, got, fault) in zip(own, found, strict=True):
        assert want is not None
        assert got is not None, (text, fault)
        assert {**got.fields, "scheme": None} == {**want.fields, "scheme": None}
        assert (got.time, got.status) == (want.time, want.status)
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
    marks = tmp_path / "marks"
    count = len(log.read_bytes().splitlines())
    marks.write_text("".join(f"{n}\t{'bot' if n % 2 else 'human'}\n" for n in range(1, 20 * count + 1)))
    many = tmp_path / "many.log"
    many.write_bytes(log.read_bytes() * 20)
    said = xbot("score", "--model", made_model_path, *form, "--json", log).stdout.splitlines()
    assert [json.loads(line)["line"] for line in said] == list(range(1, count + 1))
    assert all("error" not in json.loads(line) for line in said)
    why = xbot("explain", "--model", made_model_path, *form, "--json", log).stdout.splitlines()
    assert [json.loads(line)["score"] for line in why] == pytest.approx(
        [json.loads(line)["score"] for line in said], abs=1e-4
    )
    told = tmp_path / "replay.json"
    xbot("replay", "--model", made_model_path, *form, "--json", told, log)
    assert json.loads(told.read_bytes())["requests"] == count
    table = xbot("features", "--csv", *form, log).stdout.decode()
    assert len(list(csv.DictReader(io.StringIO(table)))) == count
    labels = xbot("label", *form, "--quiet", log).stdout.splitlines()
    assert len(labels) == count + 1
    xbot("train", *form, "--labels", marks, "--split", "row", "--quiet", "--out", tmp_path / "m.xbot", many)


BROKEN = {
    "caddy": {
        b'{"level": "info", "msg": "serving"}': "request: missing",
        b'{"request": {"client_ip": 7}}': "request.client_ip: expected `str",
        b'{"request": {"client_ip": "moon"}}': "ip: not an IPv4 or IPv6 address",
        b'{"request": {"headers": {"Accept": "x"}}}': "request.headers[...]: expected `array`",
        b'{"request": {}, "status": "200"}': "status: expected `int",
        b'{"request": {}, "ts": "noon"}': "ts: ",
        b"[]": "line: expected `object`",
        b"{": "line: not JSON",
    },
    "traefik": {
        b'{"level": "info", "msg": "started"}': "ClientHost: missing",
        b'{"ClientHost": 7}': "ClientHost: expected `str",
        b'{"ClientHost": "moon"}': "ip: not an IPv4 or IPv6 address",
        b'{"ClientHost": "::1", "DownstreamStatus": "200"}': "DownstreamStatus: expected `int",
        b'{"ClientHost": "::1", "StartUTC": "noon"}': "StartUTC: ",
        b'{"ClientHost": "::1", "request_Accept": 1}': "request_Accept: expected `str`",
        b"[]": "line: expected `object`",
        b"{": "line: not JSON",
    },
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_broken_line_is_told_by_its_field(name: str) -> None:
    for line, why in BROKEN[name].items():
        with pytest.raises(core.LineError) as caught:
            FORMATS[name].load(line, core.Request())
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
