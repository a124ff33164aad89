"""What is read from a request: agents, absent groups, and that every source of the same request gives the same features.

Law: the sources are compared with each other (a log line, a record, the head that a proxy sends), not with numbers written
down here; what stands here as a number is the meaning of a feature.
"""

from __future__ import annotations

import datetime
import math
import random
import re
import string
import subprocess
import sys
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
import row_versions
import tables
import visits
from hypothesis import example, given
from hypothesis import strategies as st
from places import ROOT

from sidecar import core
from sidecar.sources import records, sentences

K = 15
NAMES = [row.name for row in core.FEATURES]
GROUP = {row.name: row.group for row in (*core.FEATURES, *core.FAMILIES)}
AGENTS = tables.rows("agents.tsv", 5)


def features(request: core.Request, **how: Any) -> tuple[dict[str, float], dict[str, set[str]]]:
    """(name -> value, family -> words)."""
    dense, tokens = request.features(K, **how)
    words: dict[str, set[str]] = {}
    for _, family, text in tokens:
        words.setdefault(family, set()).add(text)
    return dict(zip(NAMES, dense, strict=True)), words


def by_bucket(request: core.Request) -> dict[int, tuple[str, str]]:
    """Bucket -> (family, word)."""
    return {bucket: (family, text) for bucket, family, text in request.features(K)[1]}


def of_agent(agent: str) -> dict[str, float]:
    request = core.Request()
    request.load_record([(b"User-Agent", agent.encode())], True)
    return features(request)[0]


def same(one: dict[str, float], other: dict[str, float], *, groups: set[str] | None = None) -> bool:
    """Equal values, absent ones too, in the rows of these groups."""
    rows = [name for name in NAMES if groups is None or GROUP[name] in groups]
    different = [
        (n, one[n], other[n]) for n in rows if one[n] != other[n] and not (math.isnan(one[n]) and math.isnan(other[n]))
    ]
    assert not different
    return True


# ---- agents ----


def test_agents_cover_every_name() -> None:
    """The table has an agent for each browser, system and kind of device that is a feature."""
    for column, prefix in enumerate(("ua_browser_", "ua_os_", "ua_category_")):
        assert {row[column] for row in AGENTS} == {
            name.removeprefix(prefix) for name in NAMES if name.startswith(prefix)
        }


@pytest.mark.parametrize("row", AGENTS, ids=lambda row: row[4][:60])
def test_agent(row: list[str]) -> None:
    browser, system, category, version, agent = row
    found = of_agent(agent)
    for prefix, name in (("ua_browser_", browser), ("ua_os_", system), ("ua_category_", category)):
        assert [n.removeprefix(prefix) for n in NAMES if n.startswith(prefix) and found[n]] == [name]
    assert found["ua_version_known"] == (version == "yes")
    assert found["ua_bot_word"] <= found["ua_category_crawler"]


@given(st.sampled_from([row[4] for row in AGENTS]), st.data())
def test_case_of_an_agent_does_not_count(agent: str, data: st.DataObject) -> None:
    swapped = "".join(c.swapcase() if data.draw(st.booleans()) else c for c in agent)
    assert same(of_agent(agent), of_agent(swapped))


@given(st.text(max_size=80) | st.sampled_from([row[4] for row in AGENTS]))
def test_exactly_one_of_each_kind(agent: str) -> None:
    """Of systems and categories one is 1 for any text, of browsers one, which may be where no browser says it; counts are what they
    say."""
    found = of_agent(agent)
    raw = b"" if agent == "-" else agent.encode()
    for prefix in ("ua_os_", "ua_category_"):
        assert sum(found[name] for name in NAMES if name.startswith(prefix)) == 1
    named = sum(found[name] for name in NAMES if name.startswith("ua_browser_") and name != "ua_browser_unknown")
    assert named == 1 or (named == 0 and found["ua_browser_unknown"])
    assert found["ua_length"] == len(raw)
    assert found["ua_empty"] == (not raw)
    assert found["ua_semicolons"] == min(32, raw.count(b";"))
    assert found["ua_digits"] == min(256, sum(byte in string.digits.encode() for byte in raw))
    assert found["ua_mail"] == bool(re.search(rb"@[A-Za-z]", raw))
    assert found["ua_strange"] == any(byte < 0x20 or byte > 0x7E for byte in raw)
    assert found["ua_mozilla"] == raw.lower().startswith(b"mozilla/")


# ---- what a source does not hold ----


@pytest.mark.parametrize(
    ("log_format", "line", "groups"),
    [
        ("challenge", b"192.0.2.1\tcurl\t", {"ip", "ua", "referrer"}),
        (
            "combined",
            b'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"',
            {"ip", "ua", "referrer", "url"},
        ),
        (
            "combined",
            b'192.0.2.1 - - [17/May/2015:10:05:03 +0000] "\\x16\\x03" 400 1 "-" "-"',
            {"ip", "ua", "referrer"},
        ),
        ("jsonl", b'{"headers": []}', {"ua", "referrer", "headers"}),
        (
            "jsonl",
            b'{"headers": {}, "ip": "::1", "uri": "/", "method": "GET"}',
            {"ip", "ua", "referrer", "url", "headers"},
        ),
    ],
)
def test_an_absent_group_is_nan_in_all_its_rows(log_format: str, line: bytes, groups: set[str]) -> None:
    request = core.Request()
    if log_format == "jsonl":
        records.load_record(line, request)
    else:
        request.load_line(log_format, line)
    dense, words = features(request)
    assert all(math.isnan(dense[name]) for name in NAMES if GROUP[name] not in groups)
    assert {GROUP[family] for family in words} <= groups
    for group in groups:
        assert any(not math.isnan(dense[name]) for name in NAMES if GROUP[name] == group)
    held = {name for name, bits in core.GROUPS.items() if request.present & bits}
    assert held == groups


def test_chosen_headers_know_no_order() -> None:
    """An object of chosen headers: their number and order are absent, the headers are not."""
    request = core.Request()
    records.load_record(b'{"headers": {"User-Agent": "curl/8", "Accept": "*/*", "X-Own": "1"}}', request)
    dense, words = features(request)
    assert math.isnan(dense["hdr_count"])
    assert math.isnan(dense["odd_few"])
    assert dense["hdr_accept_any"] == 1
    assert "hdr_order" not in words
    assert words["hdr_name"] == {"user-agent", "accept"}  # a name of its own may not have been chosen elsewhere


# ---- the same request from several sources ----

_NOBODYS = ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0:0", "::ffff:0.0.0.0"]
_ADDRESS = st.ip_addresses().map(str) | st.sampled_from(_NOBODYS)
# What can be in a header's value: no line break, and no blank at its ends.
_TEXT = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x2FF, exclude_characters="\r\n", exclude_categories=["Cs"]),
    max_size=60,
).map(str.strip)
_AGENT = st.sampled_from([row[4] for row in AGENTS]) | _TEXT.map(
    lambda text: text.strip(" \t\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0")
)
_REFERRER = (
    st.sampled_from(
        [
            "",
            "-",
            "https://example.com/",
            "http://www.example.com:8080/a?b",
            "https://[2001:db8::1]/x",
            "android-app://a.b/",
        ]
    )
    | _AGENT
)
_PATH = st.text(string.ascii_letters + string.digits + '/.?&=%-_~\x80\xff"\\', max_size=40).map(lambda text: "/" + text)
_METHOD = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"])
_PROTOCOL = st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"])


def nginx_escaped(text: bytes) -> bytes:
    """As nginx writes a variable into a log of the default escape."""
    return b"".join(
        b"\\x%02X" % byte if byte in b'"\\' or byte < 0x20 or byte > 0x7E else bytes([byte]) for byte in text
    )


def apache_escaped(text: bytes) -> bytes:
    """As Apache writes a header into a log."""
    short = {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t", 0x08: b"\\b", 0x0B: b"\\v"}
    return b"".join(
        short.get(byte) or (b"\\x%02x" % byte if byte < 0x20 or byte > 0x7E else bytes([byte])) for byte in text
    )


def proxied(ip: str, method: str, uri: bytes, protocol: str, headers: list[tuple[bytes, bytes]], **more: str) -> bytes:
    """The head that nginx sends for this request."""
    asked = {"X-Real-IP": ip, "X-Original-Method": method, "X-Original-Protocol": protocol, **more}
    lines = [f"{name}: {value}".encode() for name, value in asked.items()]
    lines += [b"X-Original-URI: " + uri, *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([b"GET /xbot HTTP/1.1", *lines, b"", b""])


@given(_ADDRESS, _METHOD, _PATH, _PROTOCOL, _REFERRER, _AGENT, st.sampled_from([nginx_escaped, apache_escaped]))
@example("::ffff:192.0.2.1", "GET", "/", "HTTP/1.1", '"\\', "\\x22", nginx_escaped)
@example(  # a word of a header in the bucket of the address
    "d2d7:9dbf:e246:4fc7:5c21:93e2:6314:a0b4", "GET", "/", "HTTP/1.0", "",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", nginx_escaped,
)  # fmt: skip
@example("2001:db8::", "GET", '/\\x22"', "HTTP/1.1", "-", "", apache_escaped)
def test_a_combined_line_and_the_head_agree(ip, method, path, protocol, referrer, agent, escaped) -> None:
    """All but what the log does not hold: headers, and whether the referrer is the site's own."""
    uri, agent, referrer = path.encode("latin-1"), agent.encode(), referrer.encode()
    request = b" ".join([method.encode(), escaped(uri), protocol.encode()])
    line = b'%s - - [17/May/2015:10:05:03 +0000] "%s" 200 17 "%s" "%s"' % (
        ip.encode(), request, escaped(referrer) or b"-", escaped(agent) or b"-",
    )  # fmt: skip
    logged, asked = core.Request(), core.Request()
    logged.load_line("combined", line)
    asked.load_head(proxied(ip, method, uri, protocol, [(b"Referer", referrer), (b"User-Agent", agent)]))
    assert same(features(logged)[0], features(asked)[0], groups={"ip", "ua", "referrer", "url"})
    one, two = by_bucket(logged), by_bucket(asked)
    # A word of a header may have taken another's bucket.
    of_headers = {bucket for bucket, (family, _) in two.items() if GROUP[family] == "headers"}
    assert {bucket: one[bucket] for bucket in one.keys() - of_headers} == {
        bucket: two[bucket] for bucket in two.keys() - of_headers
    }


@given(_ADDRESS, _REFERRER, _AGENT, st.booleans())
def test_a_challenge_line_and_the_challenge_dialect_agree(ip, referrer, agent, labelled) -> None:
    """Every feature, every word."""
    fields = [quote_plus(text.encode()) for text in (ip, agent, referrer)]
    logged, asked = core.Request(), core.Request()
    logged.load_line("challenge", "\t".join([*fields, "false"][: 3 + labelled]).encode())
    asked.load_head("GET /?ip={}&user_agent={}&referer={} HTTP/1.1\r\n\r\n".format(*fields).encode(), "challenge")
    assert logged.label is (True if labelled else None)
    assert same(features(logged)[0], features(asked)[0])
    assert features(logged)[1] == features(asked)[1]


_HEADER = st.sampled_from(
    [
        "Accept",
        "accept-encoding",
        "Accept-Language",
        "Cookie",
        "Sec-Fetch-Mode",
        "X-Own",
        "Host",
        "sec-ch-ua",
        "X-Real-IP",
    ]
)
_HEADERS = st.lists(st.tuples(_HEADER, _AGENT), max_size=12)


@given(
    _ADDRESS,
    _METHOD,
    _PATH.map(lambda path: path.encode("latin-1").decode("latin-1")),
    _PROTOCOL,
    _HEADERS,
    _REFERRER,
    _AGENT,
    st.sampled_from(["http", "https"]),
)
def test_a_record_and_the_head_agree(ip, method, path, protocol, headers, referrer, agent, scheme) -> None:
    """An ordered record holds all that a head does."""
    headers = [*headers, ("Referer", referrer), ("User-Agent", agent)]
    record = {
        "ip": ip,
        "method": method,
        "uri": path,
        "protocol": protocol,
        "scheme": scheme,
        "host": "www.example.com",
        "headers": headers,
    }
    logged, asked = core.Request(), core.Request()
    records.load_record(msgspec.json.encode(record), logged)
    raw = [(name.encode(), value.encode()) for name, value in headers]
    more = {"X-Original-Scheme": scheme, "X-Original-Host": "www.example.com:443"}
    asked.load_head(proxied(ip, method, path.encode(), protocol, raw, **more))
    assert same(features(logged)[0], features(asked)[0])
    assert features(logged)[1] == features(asked)[1]


@given(st.lists(st.tuples(_HEADER, _AGENT), max_size=8, unique_by=lambda pair: pair[0].lower()), _AGENT)
def test_a_record_of_chosen_headers_agrees_where_it_can(headers, agent) -> None:
    """The same headers as an object: all but number, order and names of their own."""
    headers = [(name, value) for name, value in [*headers, ("User-Agent", agent)] if value]
    ordered, chosen = core.Request(), core.Request()
    records.load_record(msgspec.json.encode({"headers": headers}), ordered)
    records.load_record(msgspec.json.encode({"headers": dict(headers)}), chosen)
    (one, one_words), (two, two_words) = features(ordered), features(chosen)
    for name in NAMES:
        assert one[name] == two[name] or math.isnan(two[name])
    lost = {name for name in NAMES if math.isnan(two[name]) and not math.isnan(one[name])}
    assert lost == {"hdr_count", "odd_few"} | {name for name in NAMES if name.startswith("odd_order_")}
    assert two_words.get("hdr_name", set()) == one_words.get("hdr_name", set()) - {"x-own"}
    assert two_words.get("hdr_value") == one_words.get("hdr_value")


# ---- single meanings ----


def record(headers: list[tuple[str, str]] | None = None, **fields: str) -> dict[str, float]:
    request = core.Request()
    records.load_record(msgspec.json.encode({"headers": headers or [], **fields}), request)
    return features(request)[0]


LONG_HOST = ".".join(["a" * 60] * 3)  # longer than what is kept of a referrer


@pytest.mark.parametrize(
    ("referrer", "host", "own"),
    [
        ("https://example.com/a", "example.com", 1),
        ("https://www.example.com/a", "example.com", 1),
        ("https://EXAMPLE.com:8443/a", "www.example.com:80", 1),
        ("https://example.com.evil.test/", "example.com", 0),
        ("https://evil.test/example.com", "example.com", 0),
        ("https://user@example.com/", "example.com", 1),
        ("http://[2001:db8::1]:80/", "2001:db8::1", 1),
        ("https://example.com#top", "example.com", 1),
        ("https://example.com?a=b", "example.com", 1),
        (f"https://{LONG_HOST}/a", LONG_HOST, 1),
        (f"https://{LONG_HOST}.evil.test/a", LONG_HOST, 0),
        ("", "example.com", 0),
        ("https://example.com/", None, math.nan),
    ],
)
def test_own_and_external_referrers(referrer: str, host: str | None, own: float) -> None:
    found = record([("Referer", referrer)], **({"host": host} if host else {}))
    external = 0 if not referrer else 1 - own
    for name, want in (("ref_own", own), ("ref_external", external)):
        assert found[name] == want or (math.isnan(own) and math.isnan(found[name])), name


def test_address_in_four_parts() -> None:
    assert [record(ip="192.0.2.255")[f"ip_{i}"] for i in range(1, 5)] == [192, 0, 2, 255]
    assert record(ip="192.0.2.255")["ip_v6"] == 0
    assert record(ip="2001:db8::1")["ip_v6"] == 1
    assert math.isnan(record(ip="2001:db8::1")["ip_1"])
    assert record(ip="::ffff:192.0.2.7")["ip_4"] == 7


@given(st.ip_addresses())
def test_networks_of_an_address(address) -> None:
    """The words of ip_net are the address and its networks."""
    import ipaddress

    request = core.Request()
    request.load_record([], True, ip=str(address).encode())
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped:
        address = mapped
    prefixes = () if address.is_unspecified else (32, 24, 16) if address.version == 4 else (128, 64, 48)
    wanted = {str(ipaddress.ip_network((address, prefix), strict=False)) for prefix in prefixes}
    # In one of 300,000 draws two of them fall into one bucket, where the first one stays.
    found = {
        str(ipaddress.ip_network(text)) for _, family, text in request.features(core.MAX_K)[1] if family == "ip_net"
    }
    assert found == wanted


@given(
    st.text(string.hexdigits + ".:/% -", max_size=45).map(str.encode)
    | st.ip_addresses().map(lambda ip: str(ip).encode())
)
@example(b"1.2.3")
@example(b"01.02.03.04")
@example(b"1.2.3.256")
@example(b"fe80::1%eth0")
def test_addresses_are_those_of_the_standard_library(text: bytes) -> None:
    """But for zeros in front of an octet, which logs of old do have."""
    import ipaddress

    parts = [part.lstrip("0") or "0" for part in text.decode().split(".")]
    padded = text.count(b".") == 3 and all(part.isdigit() and len(part) <= 3 for part in text.decode().split("."))
    try:
        want = ipaddress.ip_address(".".join(parts) if padded else text.decode())
        want = getattr(want, "ipv4_mapped", None) or want
        packed = None if "%" in text.decode() else want.packed
    except ValueError:
        packed = None
    assert core.parse_address(text) == packed


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("/", {"url_root": 1, "url_depth": 1, "url_page": 1, "url_length": 1}),
        ("/robots.txt", {"url_robots": 1, "url_page": 0, "url_asset": 0}),
        ("/a/b/style.CSS?v=1&w=2", {"url_asset": 1, "url_depth": 3, "url_parameters": 2, "url_query_length": 7}),
        ("/index.php", {"url_script": 1, "url_page": 0}),
        ("/feed.xml", {"url_feed": 1}),
        ("/.git/config", {"url_hidden": 1}),
        ("/a/../b/./c", {"url_hidden": 0}),
        ("/.well-known/x", {"url_hidden": 0}),
        ("/.well-known/.git/config", {"url_hidden": 1}),
        ("/a/.well-known/x", {"url_hidden": 1}),
        ("/logo.png", {"url_asset": 0, "url_media": 1}),
        ("/%41%42?%43", {"url_percent": 3}),
        ("http://example.com/x", {"url_absolute": 1, "url_depth": 1}),
        ("/a.b/c", {"url_page": 1}),
        ("/cart.jsp;jsessionid=1A2B.node3", {"url_script": 1}),
        ("/app.js;v=1.2;w", {"url_asset": 1}),
        ("/login;x.js", {"url_page": 1, "url_asset": 0}),
        ("/a;v=1/style.css", {"url_asset": 1}),
        ("*", {"url_root": 1, "url_depth": 0}),
    ],
)
def test_urls(uri: str, wanted: dict[str, float]) -> None:
    found = record(uri=uri)
    assert {name: found[name] for name in wanted} == wanted


def test_known_hosts() -> None:
    import array

    hosts = array.array("I", sorted(core.host_hash(host) for host in (b"example.com", b"other.example")))
    request = core.Request()
    for referrer, known in (
        ("http://www.EXAMPLE.com/", 1),
        ("http://other.example:81", 1),
        ("http://third.example/", 0),
        ("", 0),
    ):
        request.load_record([(b"Referer", referrer.encode())], True)
        assert features(request, hosts=hosts)[0]["ref_host_known"] == known
        assert math.isnan(features(request)[0]["ref_host_known"])  # no set: nothing can be said


@given(st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2099, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_times_of_a_combined_line(moment: datetime.datetime, minutes: int) -> None:
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    moment = moment.replace(microsecond=0, tzinfo=zone)
    request = core.Request()
    # The zone as nginx writes it: a sign, hours and minutes.
    text = moment.strftime("%d/%b/%Y:%H:%M:%S ") + "{}{:02}{:02}".format(
        "-" if minutes < 0 else "+", *divmod(abs(minutes), 60)
    )
    request.load_line("combined", f'192.0.2.1 - - [{text}] "GET / HTTP/1.1" 200 1 "-" "-"'.encode())
    assert request.time == int(moment.timestamp())
    assert request.status == 200


# ---- the documentation ----


def test_the_page_of_features_is_current() -> None:
    made = subprocess.run([sys.executable, ROOT / "docs" / "make_features.py"], capture_output=True, check=True).stdout
    assert (ROOT / "docs" / "features.md").read_bytes() == made, "run: make docs"
    for row in (*core.FEATURES, *core.FAMILIES):
        assert f"| `{row.name}` |".encode() in made


def test_rows_say_what_they_are() -> None:
    rows = (*core.FEATURES, *core.FAMILIES)
    assert len({row.name for row in rows}) == len(rows)
    assert len({row.doc for row in rows}) == len(rows)
    assert {row.group for row in rows} <= set(core.GROUPS)
    assert all(row.doc and not row.doc.endswith(".") for row in rows)


def test_what_rows_say_fits_their_values() -> None:
    """A row that says no bound is 0 or 1, and says what the visitor does; only so can its text be turned round for a 0."""
    says = [sentences.counts(row.doc) for row in core.FEATURES]
    for row, count in zip(core.FEATURES, says, strict=True):
        assert count or re.match(r"(has|[a-z]+s) ", row.doc), row.name
    counted = 0
    for request in row_versions.requests():
        dense, _ = request.features(8, None)
        for i, value in enumerate(dense):
            if value not in (0.0, 1.0) and not math.isnan(value):
                assert says[i], core.FEATURES[i].name
                counted += 1
    assert counted > 100
    assert all(re.match(r"(a|the) ", row.doc) for row in core.FAMILIES)


# ---- what clients do ----

# Values that mean something, each beside one that does not; None: the header is not sent.
_SENT: dict[str, list[str | None]] = {
    "Host": ["www.example.com", "localhost"],
    "Accept": [None, "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "image/avif,image/webp,*/*;q=0.8", "application/json", ""],
    "Accept-Encoding": [None, "gzip, deflate, br, zstd", "gzip", "identity"],
    "Accept-Language": [None, "en-US,en;q=0.9"],
    "Accept-Charset": [None, None, "utf-8"],
    "Referer": [None, "", "https://www.example.com/a", "https://example.org/", "/a"],
    "Sec-Fetch-Dest": [None, "document", "image", "style", "script", "font", "iframe", "empty"],
    "Sec-Fetch-Mode": [None, "navigate", "no-cors", "cors"],
    "Sec-Fetch-Site": [None, "none", "same-origin", "cross-site"],
    "sec-ch-ua": [None, '"Chromium";v="126", "Google Chrome";v="126"', '"Microsoft Edge";v="126"', '"Opera";v="110"'],
    "sec-ch-ua-mobile": [None, "?0", "?1"],
    "sec-ch-ua-platform": [None, '"Windows"'],
    "X-Requested-With": [None, None, "XMLHttpRequest"],
    "Sec-WebSocket-Key": [None, None, None, "AA=="],
    "Origin": [None, None, "https://www.example.com"],
    "Cookie": [None, "a=b"],
    "If-None-Match": [None, None, '"a"'],
    "If-Modified-Since": [None, None, "Wed, 21 Oct 2015 07:28:00 GMT"],
    "Range": [None, None, "bytes=0-"],
    "Icy-MetaData": [None, None, None, "1"],
    "Upgrade-Insecure-Requests": [None, "1"],
    "Cache-Control": [None, "no-cache", "max-age=0"],
}  # fmt: skip
_TARGETS = [
    "/", "/a", "/a?b=c", "/a.php", "/a.css", "/a.jpg", "/feed.xml", "/robots.txt", "/favicon.ico", "/.well-known/a", "/.well-known/%2e",
    "/.well-known/x/../b", "/.git/config", "http://www.example.com/a", "/" + "a/" * 9,
]  # fmt: skip
_MORE_AGENTS = """
Opera/9.80 (Windows NT 6.1) Presto/2.12
[FBAN/FBIOS;FBAV/1]
Lynx/2.8.9
Links (2.29; Linux)
ELinks/0.13
w3m/0.5.3
Dillo/3.0
NetSurf/3.10
UCWEB/2.0 (Linux) UCBrowser/9
BlackBerry9000/4.6
SAMSUNG-GT-I9100 SamsungBrowser/1
Safari/1 CFNetwork/1
Dalvik/2.1.0 (Linux; Android 9)
Chrome/126.0 Safari/537
Mozilla/5.0 (X11; Linux) Gecko Firefox/120.0 AppleWebKit/537
Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Firefox/120 FxiOS/120 Safari/605
Mozilla/5.0 (X11) Chrome/126.0 Firefox/120.0 AppleWebKit/537
Mozilla/5.0 (X11) Gecko Firefox/120.0
Mozilla/5.0 (compatible; Foobot/1.0; +http://a.test)
Mozilla/5.0 (compatible; spider)
Mozilla/5.0 (X11) HeadlessChrome/126.0
Mozilla/5.0
Mozilla/5.0 Lynx/2.8
Mozilla/5.0 (X11) Chrome/126.0.6478.127 Safari/537
Mozilla/5.0 (X11; wv) Version/4.0 Chrome/126.0.6478.127 Safari/537
Mozilla/5.0 (X11) Chrome/126.0.6478.127 Safari/537 Instagram
Mozilla/5.0 (X11) Chrome/126.0.0.0 Safari/537 python-requests/2
-
""".strip().splitlines()
_FROM = [
    "203.0.113.7",
    "203.0.113.9",
    "127.0.0.1",
    "::1",
    "10.0.0.1",
    "2001:db8::7",
    "2001:db8:0:0:9::7",
    "198.51.100.1",
]


def _requests(seed: int, count: int) -> list[dict[str, Any]]:
    """Requests of a few clients that send anything, in the order of their times; of each a client keeps half."""
    chance = random.Random(seed)
    handshakes = tables.rows("handshakes.tsv", 5)
    agents = [*(row[4] for row in AGENTS), *_MORE_AGENTS * 3]
    own: dict[str, dict[str, Any]] = {}
    out, now = [], 1_800_000_000.0
    for _ in range(count):
        ip = chance.choice(_FROM)
        sent = {name: chance.choice(values) for name, values in _SENT.items()}
        before = own.setdefault(ip, {"agent": chance.choice(agents), "sent": sent, "tls": chance.choice(handshakes)})
        if chance.random() < 0.1:
            before |= {"agent": chance.choice(agents), "tls": chance.choice(handshakes)}
        sent = {name: chance.choice([value, before["sent"][name]]) for name, value in sent.items()}
        headers = [
            [chance.choice([name, name, name.lower()]), value] for name, value in sent.items() if value is not None
        ]
        headers.append(["User-Agent", before["agent"]])
        if chance.random() < 0.5:
            chance.shuffle(headers)
        now += chance.choice([0.0, 0.1, 1.0, 1.0, 30.0, 4000.0])
        _, _, suites, groups, _ = before["tls"]
        out.append(
            {
                "ip": ip,
                "time": round(now, 3),
                "method": chance.choice(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"]),
                "uri": chance.choice(_TARGETS),
                "protocol": chance.choice(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]),
                "scheme": chance.choice(["http", "https"]),
                "host": "www.example.com",
                "status": chance.choice([200, 304, 403, 404, 429]),
                "bytes": chance.randrange(9000),
                "type": chance.choice(["text/html", "text/css", "font/woff2", "application/json", "image/png", "text/javascript", ""]),
                "tls": {
                    "protocol": chance.choice(["TLSv1.3", "TLSv1.3", "TLSv1.2", "TLSv1", "TLSv1.0", "", None]),
                    "ciphers": suites,
                    "curves": chance.choice([groups, groups, "", None]),
                    "reused": chance.choice([".", "r", "R", "", None]),
                },
                "headers": headers,
            }
        )  # fmt: skip
    return out


@pytest.mark.parametrize("seed", range(3))
def test_what_clients_did_is_the_same_on_every_road(seed: int) -> None:
    """Anything in any order: csrc's reader of lines, Python's, and the head that a proxy sends give each row the same value; with a
    table of clients each, the first two also those of what came before."""
    quick, slow, asked = core.Request(), core.Request(), core.Request()
    one, two = core.Clients(1), core.Clients(1)
    fired: set[str] = set()
    known = list(
        map(msgspec.json.decode, visits.lines())
    )  # without these the table knows nothing of people, and speaks of nobody
    for record in [*known, *_requests(seed, 1500)]:
        line = msgspec.json.encode(record)
        assert quick.load_json(line)
        records._any_record(line, slow)
        assert one.read(quick) == two.read(slow)
        (first, words), (second, others) = features(quick), features(slow)
        assert same(first, second)
        assert words == others
        if "tls" in record:
            headers = [(name.encode(), value.encode()) for name, value in record["headers"]]
            told = {"X-Original-Scheme": record["scheme"], "X-Original-Host": record["host"]}
            asked.load_head(
                proxied(record["ip"], record["method"], record["uri"].encode(), record["protocol"], headers, **told)
            )
            assert same(first, features(asked)[0], groups=set(core.GROUPS) - {"tls", "client"})
        one.count(quick)
        two.count(slow)
        fired |= {name for name, value in first.items() if value and not math.isnan(value)}
    assert len([name for name in fired if GROUP[name] == "client"]) > 20


def test_tables_of_clients_know_nothing_of_each_other() -> None:
    """However many there are in a process: one says what was counted in it, and no other."""
    request, every = core.Request(), [core.Clients(1) for _ in range(20)]
    lines = list(visits.lines())

    def said(table: core.Clients) -> str:
        assert request.load_json(lines[-1])
        table.read(request)
        return str([value for name, value in features(request)[0].items() if GROUP[name] == "client"])

    for line in lines:
        for table in every[::2]:
            records.load_record(line, request)
            table.read(request)
            table.count(request)
    known, unknown = {said(table) for table in every[::2]}, {said(table) for table in every[1::2]}
    assert len(known) == len(unknown) == 1
    assert known != unknown
