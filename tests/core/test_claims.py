"""Contradictions of csrc/features/claims.c: none on what a browser sends, and just the one that a change makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import tables

from sidecar import core

Pairs = list[tuple[str, str]]

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
CHROME: Pairs = [
    ("sec-ch-ua", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Windows"'),
    ("Upgrade-Insecure-Requests", "1"),
    ("User-Agent", WINDOWS),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-User", "?1"),
    ("Sec-Fetch-Dest", "document"),
    ("Referer", "https://www.example.org/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Cookie", "a=b"),
]
FIREFOX: Pairs = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example.org/"),
    ("Cookie", "a=b"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
]


def contradictions(
    headers: Pairs, method: str = "GET", uri: str = "/", scheme: str = "https", ordered: bool = True, **more: str
) -> set[str]:
    request = core.Request()
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    fields = {"host": "www.example.org", "ip": "192.0.2.7", "protocol": "HTTP/1.1", **more}
    request.load_record(
        pairs, ordered, method=method.encode(), uri=uri.encode(), scheme=scheme.encode(),
        **{name: value.encode() for name, value in fields.items()},
    )  # fmt: skip
    dense, _ = request.features(15)
    return {
        row.name for row, value in zip(core.FEATURES, dense, strict=True) if row.name.startswith("odd_") and value == 1
    }


def without(*names: str) -> Callable[[Pairs], Pairs]:
    return lambda pairs: [pair for pair in pairs if pair[0] not in names]


def with_value(name: str, value: str) -> Callable[[Pairs], Pairs]:
    return lambda pairs: [(one, value if one == name else old) for one, old in pairs]


def last(name: str) -> Callable[[Pairs], Pairs]:
    return lambda pairs: [*without(name)(pairs), *(pair for pair in pairs if pair[0] == name)]


def renamed(name: str, other: str) -> Callable[[Pairs], Pairs]:
    return lambda pairs: [(other if one == name else one, value) for one, value in pairs]


@pytest.mark.parametrize("headers", [CHROME, FIREFOX], ids=["Chrome", "Firefox"])
def test_what_a_browser_sends_contradicts_nothing(headers: Pairs) -> None:
    assert contradictions(headers) == set()
    assert contradictions(headers, "POST", "/login") == {"odd_no_origin"}


@pytest.mark.parametrize(
    ("headers", "change", "wanted"),
    [
        (CHROME, without("Cookie", "Accept-Language"), {"odd_no_language"}),
        (CHROME, without("Accept-Encoding"), {"odd_no_encoding"}),
        (CHROME, with_value("Accept-Encoding", "gzip"), {"odd_encoding", "odd_no_br", "odd_no_zstd"}),
        (CHROME, with_value("Accept-Encoding", "gzip, deflate, br"), {"odd_no_zstd"}),
        (CHROME, without("Upgrade-Insecure-Requests"), {"odd_no_upgrade"}),
        (CHROME, without("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform"), {"odd_no_hints"}),
        (CHROME, without("sec-ch-ua-platform"), {"odd_hint_part"}),
        (CHROME, with_value("sec-ch-ua-platform", '"Linux"'), {"odd_hint_platform"}),
        (CHROME, with_value("sec-ch-ua-mobile", "?1"), {"odd_hint_mobile"}),
        (CHROME, with_value("User-Agent", WINDOWS.replace("142", "110")), {"odd_hint_version"}),
        (CHROME, with_value("User-Agent", f"{WINDOWS} Edg/142.0.0.0"), {"odd_hint_brand"}),
        (CHROME, without("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-User", "Sec-Fetch-Dest"), {"odd_no_fetch"}),
        (CHROME, without("Sec-Fetch-Site"), {"odd_fetch_part"}),
        (CHROME, with_value("Sec-Fetch-Site", "none"), {"odd_fetch_misfit"}),
        (CHROME, with_value("Accept", FIREFOX[1][1]), {"odd_accept"}),
        (CHROME, last("Accept-Encoding"), {"odd_order_language", "odd_order_cookie"}),
        (CHROME, last("Referer"), {"odd_order_referer"}),
        (CHROME, last("User-Agent"), {"odd_order_agent"}),
        (CHROME, renamed("Accept", "accept"), {"odd_case_lower"}),
        (CHROME, renamed("sec-ch-ua", "Sec-Ch-Ua"), {"odd_case_hints"}),
        (CHROME, renamed("sec-ch-ua-mobile", "Sec-Ch-Ua-Mobile"), {"odd_case_hints"}),
        (CHROME, renamed("User-Agent", "user-agent"), {"odd_case_lower"}),
        (FIREFOX, with_value("Accept", CHROME[5][1]), {"odd_accept"}),
        (FIREFOX, lambda pairs: [*pairs, CHROME[0]], {"odd_hints"}),
        (FIREFOX, last("Accept-Language"), {"odd_order_language", "odd_order_cookie"}),
    ],
)
def test_a_change_makes_its_contradiction(headers: Pairs, change: Callable[[Pairs], Pairs], wanted: set[str]) -> None:
    assert contradictions(change(headers)) == wanted


def test_what_nearly_contradicts() -> None:
    tablet = with_value("User-Agent", WINDOWS.replace("Windows NT 10.0; Win64; x64", "Linux; Android 13"))(
        with_value("sec-ch-ua-platform", '"Linux"')(CHROME)
    )
    assert contradictions(tablet) == set()  # a tablet that asks for a site's desktop form
    unnumbered = with_value("User-Agent", WINDOWS.replace("142.0.0.0", "x"))(CHROME)
    assert "odd_hint_version" not in contradictions(unnumbered)
    zstd = with_value("Accept-Encoding", "gzip, deflate, zstd")(CHROME)
    assert "odd_plain_encoding" in contradictions(zstd, scheme="http")
    player = [("User-Agent", "VLC/3.0.20 LibVLC/3.0.20")]
    assert "odd_program" in contradictions(player)
    for name in ("Range", "Icy-MetaData"):
        assert "odd_program" not in contradictions([*player, (name, "1")])


def before(name: str, other: str) -> Callable[[Pairs], Pairs]:
    def moved(pairs: Pairs) -> Pairs:
        rest = [pair for pair in pairs if pair[0] != name]
        at = [one for one, _ in rest].index(other)
        return [*rest[:at], *(pair for pair in pairs if pair[0] == name), *rest[at:]]

    return moved


def of_version(headers: Pairs, version: int) -> Pairs:
    """The same of another version of Chromium."""
    return [(name, value.replace("142", str(version))) for name, value in headers]


MODES = ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-User", "Sec-Fetch-Dest")
SAFARI: Pairs = [
    ("Accept", FIREFOX[1][1]),
    ("Referer", "https://www.example.org/"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15",
    ),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-US"),
]
ON_A_MAC = with_value(
    "User-Agent", dict(SAFARI)["User-Agent"].replace("X11; Linux x86_64", "Macintosh; Intel Mac OS X 10_15_7")
)(SAFARI)


def test_hints_that_name_nobody() -> None:
    nobody = with_value("sec-ch-ua", "")
    assert contradictions(nobody(of_version(CHROME, 90))) == set()  # QtWebEngine 6.2
    assert contradictions(nobody(CHROME)) == {"odd_no_hints"}  # they buy no more than hints that are left out


def test_small_browsers_of_qt_set_their_languages() -> None:
    own = with_value("User-Agent", WINDOWS.replace("Chrome/", "QtWebEngine/6.8.2 Chrome/"))
    early, none = before("Accept-Language", "Sec-Fetch-Site"), without("Accept-Language", "Cookie")
    assert contradictions(own(early(CHROME))) == contradictions(own(none(CHROME))) == set()
    assert contradictions(early(CHROME)) == {"odd_order_language"}
    assert contradictions(none(CHROME)) == {"odd_no_language"}
    for name, wanted in (
        ("Sec-Fetch-Site", "odd_no_language"),
        ("Sec-Fetch-Dest", "odd_no_language"),
        ("Sec-Fetch-Mode", "odd_stripped"),
    ):
        assert contradictions(own(none(without(name)(CHROME)))) >= {wanted, "odd_fetch_part"}


def test_sec_fetch_dest_came_last() -> None:
    for version, wanted in ((79, set()), (80, {"odd_fetch_part"})):
        assert contradictions(without("Sec-Fetch-Dest")(of_version(CHROME, version))) == wanted
        assert "odd_fetch_part" in contradictions(without("Sec-Fetch-Site")(of_version(CHROME, version)))
    framed = with_value("Sec-Fetch-Mode", "nested-navigate")(without("Sec-Fetch-Dest")(CHROME))
    mode_first = before("Sec-Fetch-Mode", "User-Agent")(CHROME)
    assert contradictions(of_version(framed, 79)) == contradictions(of_version(mode_first, 82)) == set()
    assert "odd_fetch_misfit" in contradictions(of_version(framed, 80))
    assert contradictions(of_version(mode_first, 83)) == {"odd_order_fetch"}
    agent_last = before("Accept", "sec-ch-ua")(CHROME)
    assert contradictions(of_version(agent_last, 79)) == set()
    assert contradictions(of_version(agent_last, 80)) == {"odd_order_agent"}


def test_what_is_asked_ahead_or_passed_on_has_accept_first() -> None:
    passed = with_value("Sec-Fetch-Dest", "empty")(without("Sec-Fetch-User")(before("Accept", "sec-ch-ua")(CHROME)))
    assert contradictions(passed) == set()
    ahead = [*with_value("Sec-Fetch-Site", "none")(before("Accept", "sec-ch-ua")(CHROME)), ("Sec-Purpose", "prefetch")]
    assert contradictions(ahead) == set()
    assert contradictions(with_value("Sec-Fetch-Site", "same-origin")(ahead)) == {"odd_order_agent"}
    assert contradictions(before("Accept", "sec-ch-ua")(CHROME)) == {"odd_order_agent"}
    signing_in = [  # a browser asks a site whether it signs people in, by itself
        ("Accept", "application/json"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "webidentity"),
        ("User-Agent", WINDOWS),
        *CHROME[-3:-1],
    ]
    assert contradictions(signing_in, uri="/.well-known/web-identity") == set()
    scripted = with_value("Sec-Fetch-Dest", "empty")(signing_in)
    assert contradictions(scripted, uri="/.well-known/web-identity") == {"odd_order_agent"}


def test_webkit_saves_without_sec_fetch() -> None:
    assert contradictions(SAFARI) == contradictions(ON_A_MAC) == set()
    gtk, mac = before("User-Agent", "Accept")(without(*MODES)(SAFARI)), without(*MODES)(ON_A_MAC)
    assert (
        contradictions(gtk, uri="/export")
        == contradictions(mac, uri="/a.zip")
        == contradictions(mac, uri="/a.mp4")
        == set()
    )
    assert contradictions(without(*MODES)(SAFARI), uri="/export") == {"odd_no_fetch"}  # in the order of an opened page
    assert contradictions(gtk, uri="/export", ordered=False) == {"odd_no_fetch"}  # nothing shows that it saves
    assert contradictions(gtk, uri="/a.zip", ordered=False) == set()
    for uri in ("/export", "/a.html", "/a.php", "/a.js"):
        assert contradictions(mac, uri=uri) >= {"odd_no_fetch"}
    for headers in (gtk, mac):
        assert "odd_no_fetch" in contradictions(with_value("Accept", "*/*")(headers), uri="/a.zip")
        assert "odd_no_fetch" in contradictions(headers, method="POST", uri="/a.zip")


def test_older_chromiums_save_without_accept() -> None:
    old = [
        ("User-Agent", WINDOWS.replace("142", "64")),
        ("Accept-Encoding", "gzip, deflate"),
        ("Accept-Language", "en-US"),
    ]
    assert "odd_no_accept" not in contradictions(old, uri="/a.zip", scheme="http")
    newer = with_value("User-Agent", WINDOWS)(old)
    for headers, uri in ((old, "/a.html"), (old, "/a"), (newer, "/a.zip"), (old[:2], "/a.zip")):
        assert "odd_no_accept" in contradictions(headers, uri=uri, scheme="http")


def test_a_worker_asks_for_a_page() -> None:
    anew = with_value("Sec-Fetch-Mode", "same-origin")
    for shown in ("document", "iframe", "frame"):
        assert contradictions(with_value("Sec-Fetch-Dest", shown)(anew(SAFARI))) == set()
    of_firefox = with_value("Sec-Fetch-Dest", "empty")(anew(FIREFOX))
    assert contradictions(of_firefox) == set()
    assert contradictions(with_value("Sec-Fetch-Mode", "cors")(of_firefox)) == {"odd_fetch_misfit"}
    assert contradictions(with_value("Sec-Fetch-Dest", "image")(anew(SAFARI))) == {"odd_fetch_misfit"}
    assert contradictions(anew(without("Sec-Fetch-User")(CHROME))) == {"odd_fetch_misfit"}


def test_webkit_fetches_a_page_ahead() -> None:
    ahead = [*with_value("Accept", "*/*")(SAFARI), ("Sec-Purpose", "prefetch")]
    assert contradictions(ahead) == set()
    assert "odd_fetch_misfit" in contradictions(ahead[:-1])
    assert "odd_fetch_misfit" in contradictions([*with_value("Accept", "*/*")(CHROME), ("Sec-Purpose", "prefetch")])


def test_libsoup_2_reads_no_br() -> None:
    older = with_value("Accept-Encoding", "gzip, deflate")
    assert contradictions(older(SAFARI)) == set()
    assert contradictions(older(ON_A_MAC)) == {"odd_no_br"}


@pytest.mark.parametrize(
    ("method", "content_type", "wanted"),
    [
        ("POST", "application/x-www-form-urlencoded", {"odd_no_origin"}),
        ("POST", "multipart/form-data; boundary=x", {"odd_no_origin"}),
        ("POST", "text/plain", {"odd_no_origin"}),
        ("POST", None, {"odd_no_origin"}),
        ("POST", "application/json", {"odd_no_origin", "odd_navigate_body"}),
        ("PUT", "text/plain", {"odd_no_origin", "odd_navigate_body"}),
        ("GET", "application/json", {"odd_navigate_body"}),
        ("GET", None, set()),
        ("HEAD", None, set()),
        ("", "application/json", set()),  # the source does not say the method
    ],
)
def test_only_forms_post_to_a_page(method: str, content_type: str | None, wanted: set[str]) -> None:
    headers = [*CHROME, *([("Content-Type", content_type)] if content_type else [])]
    assert contradictions(headers, method) == wanted
    scripted = with_value("Sec-Fetch-Mode", "cors")(headers)
    assert "odd_navigate_body" not in contradictions(scripted, method)


def test_what_is_opened_as_a_page() -> None:
    assert contradictions(CHROME, uri="/site.css") == {"odd_navigate_asset"}
    assert contradictions(CHROME, uri="/logo.png") == set()


@pytest.mark.parametrize(
    "more", [{"host": "localhost:8080"}, {"host": "[::1]:8080"}, {"host": "127.0.0.1"}, {"ip": "::1"}]
)
def test_plain_http_to_a_host_that_browsers_trust(more: dict[str, str]) -> None:
    assert contradictions(CHROME, scheme="http") == {"odd_plain_fetch", "odd_plain_hints", "odd_plain_encoding"}
    assert contradictions(CHROME, scheme="http", **more) == set()


OPENSSL = (
    "TLSv1.3",
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
    "X25519:P-256:X448:P-521",
)
OLD_VIEW = (
    "Mozilla/5.0 (Linux; Android 6.0; SM-G900F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/44.0.0.0"
    " Mobile Safari/537.36"
)
OPENSSL_12 = ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA", "P-521:P-384:P-256")  # Android 4's, too
DALVIK = ("User-Agent", "Dalvik/2.1.0 (Linux; U; Android 12; SM-A125F Build/SP1A.210812.016)")
APPLE = ("User-Agent", "HarbourShop/214 CFNetwork/1498.700.2 Darwin/23.6.0")
PHONE = ("User-Agent", "Nokia6300/2.0 (07.21) Profile/MIDP-2.0 Configuration/CLDC-1.1")
JAVA = ("User-Agent", f"{PHONE[1]} UNTRUSTED/1.0")
ELINKS = ("User-Agent", "ELinks/0.13.2 (textmode; Linux x86_64; 80x24-2)")
ELINKS_DUMP = ("User-Agent", "ELinks/0.13.2 (textmode; Linux x86_64; -)")
W3M = ("User-Agent", "w3m/0.5.3+git20230121")
OPERA = ("User-Agent", "Opera/9.80 (Windows NT 6.1; U; de) Presto/2.12.388 Version/12.16")
OUTLOOK = ("User-Agent", "Mozilla/4.0 (compatible; ms-office; MSOffice 16)")
ANY, LANGUAGE = ("Accept", "*/*"), ("Accept-Language", "de-DE,de;q=0.9")
WAP = ("Accept", "application/vnd.wap.xhtml+xml, text/html, */*")


def packed(how: str) -> tuple[str, str]:
    return "Accept-Encoding", how


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([APPLE, ANY, LANGUAGE, packed("gzip, deflate, br")], set()),
        ([APPLE], {"odd_no_language", "odd_no_encoding", "odd_no_accept"}),
        ([APPLE, ANY, packed("gzip, deflate")], {"odd_program", "odd_no_language"}),
        ([DALVIK, packed("gzip")], set()),
        ([DALVIK], {"odd_program", "odd_no_encoding"}),
        ([DALVIK, ("Range", "bytes=0-")], {"odd_program"}),  # its library names no gzip then
        ([DALVIK, packed("gzip, deflate")], {"odd_program", "odd_encoding"}),
        ([DALVIK, packed("gzip, deflate, br")], {"odd_program"}),  # by the library of Chromium
        ([PHONE, WAP, LANGUAGE], set()),
        ([PHONE], {"odd_program", "odd_no_accept"}),
        ([PHONE, ANY], {"odd_program", "odd_page_any"}),
        ([PHONE, ANY, ("Referer", "https://www.example.org/")], set()),
        ([JAVA], set()),  # it says what it likes
        ([("User-Agent", "DoCoMo/2.0 P903i(c100;TB;W24H12)")], {"odd_program", "odd_no_accept"}),
        ([("User-Agent", "HarbourShop/5.1 (Android 13; Pixel 7)"), packed("gzip")], set()),
        ([("User-Agent", "HarbourShop/5.1 (Android 13; Pixel 7)"), ("Range", "bytes=0-")], set()),
        ([("User-Agent", "HarbourShop/5.1 (Android 13; Pixel 7)"), ANY], {"odd_page_any", "odd_no_encoding"}),
        ([("User-Agent", "HarbourShop/5.1 (Android 13; Nokia G42)"), packed("gzip")], set()),  # no phone from before apps
        ([("User-Agent", "HarbourShop/5.1 (Android 13; Nokia G42)")], {"odd_program", "odd_no_encoding"}),
        ([("User-Agent", "HarbourShop/5.1 (Windows NT 10.0)"), ANY], set()),
        ([("User-Agent", "VLC/3.0.20 LibVLC/3.0.20"), ANY, LANGUAGE], {"odd_program", "odd_page_any"}),
        ([("User-Agent", "VLC/3.0.20 LibVLC/3.0.20"), ANY, LANGUAGE, ("Range", "bytes=0-")], set()),
        ([ELINKS, ANY, LANGUAGE], set()),  # built without what unpacks
        ([ELINKS_DUMP, ANY, LANGUAGE], {"odd_text_browser"}),
        ([ELINKS_DUMP, ANY, LANGUAGE, packed("gzip")], set()),
        ([W3M, ANY, LANGUAGE, packed("gzip")], {"odd_text_browser"}),
        ([W3M, ("Accept", "text/html, text/*;q=0.5"), LANGUAGE, packed("gzip")], set()),
        ([OPERA, WAP, LANGUAGE, packed("gzip, deflate")], set()),
        ([OPERA], {"odd_no_language", "odd_no_accept"}),
        ([OPERA, ANY, LANGUAGE, packed("gzip, deflate")], {"odd_program", "odd_page_any"}),
        ([("User-Agent", "Opera/9.80 (Linux mips; Opera TV Store/5477) Presto/2.12.362")], {"odd_program"}),
        ([OUTLOOK, ANY, packed("gzip, deflate")], set()),
        ([OUTLOOK, ANY], {"odd_program", "odd_no_encoding"}),
        ([("User-Agent", "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0)"), ANY], {"odd_program", "odd_no_encoding"}),
        ([("User-Agent", "[FBAN/FB4A;FBAV/531.0]"), ("X-FB-HTTP-Engine", "Liger"), packed("gzip, deflate")], set()),
        ([("User-Agent", "[FBAN/FB4A;FBAV/531.0]")], {"odd_no_encoding", "odd_no_accept"}),
    ],
)  # fmt: skip
def test_whoever_takes_the_agent_of_a_program_lacks_what_its_library_sends(headers: Pairs, wanted: set[str]) -> None:
    assert contradictions(headers) - {"odd_few"} == wanted


def handshake(agent: str, tls: tuple[str, str, str]) -> set[str]:
    """Those of the handshake."""
    request = core.Request()
    lists = core.Tls(*map(str.encode, tls), b"http/1.1", b".", None)
    about = {"method": b"GET", "uri": b"/", "protocol": b"HTTP/1.1", "scheme": b"https"}
    request.load_record([(b"User-Agent", agent.encode())], True, tls=lists, **about)
    dense, _ = request.features(15)
    return {
        row.name
        for row, value in zip(core.FEATURES, dense, strict=True)
        if row.name.startswith("odd_tls_") and value == 1
    }


@pytest.mark.parametrize(
    ("agent", "modern", "old"),
    [
        (APPLE[1], {"odd_tls_safari"}, set()),
        (DALVIK[1], {"odd_tls_chrome"}, set()),
        (OUTLOOK[1], {"odd_tls_ie"}, {"odd_tls_ie"}),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)", {"odd_tls_ie"}, {"odd_tls_ie"}),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Word 16.0.17328; Pro)", {"odd_tls_ie"}, {"odd_tls_ie"}),
        ("Microsoft Office/16.0 (Macintosh; Microsoft Outlook 16.0.17328; Pro)", set(), set()),
        ("HarbourShop/5.1 (Android 13; Pixel 7)", {"odd_tls_chrome"}, set()),
        ("HarbourShop/5.1 (Android 13; Nokia G42)", {"odd_tls_chrome"}, set()),
        ("HarbourShop/5.1 (iPhone; iOS 17.1; Scale/3.00)", {"odd_tls_safari"}, set()),
        ("HarbourShop/5.1 (Windows NT 10.0)", set(), set()),
        (WINDOWS.replace("142", "43"), {"odd_tls_chrome"}, set()),
        (WINDOWS.replace("142", "57"), set(), set()),  # some had drafts of TLS 1.3
        (OLD_VIEW, {"odd_tls_chrome"}, set()),
        ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/38.0.2125.122 Safari/537.36", set(), set()),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.0", {"odd_tls_firefox"}, {"odd_tls_firefox"}),
    ],
)  # fmt: skip
def test_whose_handshake_a_program_cannot_have(agent: str, modern: set[str], old: set[str]) -> None:
    assert handshake(agent, OPENSSL) == modern
    assert handshake(agent, OPENSSL_12) == old


def test_whose_handshake_a_program_may_bring() -> None:
    known = {row[0]: ("TLSv1.3", row[2], row[3]) for row in tables.rows("handshakes.tsv", 5)}
    rust, chromium = known["rustls 0.23"], known["chromium 156"]
    assert handshake("HarbourShop/5.1 (Android 13; Pixel 7)", rust) == set()  # a library of its own
    assert handshake(DALVIK[1], rust) == {"odd_tls_chrome"}  # the system's is Android's
    assert handshake(OLD_VIEW, chromium) == set()  # as the program has its requests made
    assert handshake(OLD_VIEW, rust) == {"odd_tls_chrome"}
    assert handshake(WINDOWS.replace("142", "44"), chromium) == {"odd_tls_chrome"}


@pytest.mark.parametrize(
    ("path", "excused"), [("/.well-known/x", True), ("/.well-known/..", False), ("/.well-known/..;/x", False)]
)
def test_only_what_stays_in_well_known_is_excused(path: str, excused: bool) -> None:
    assert (contradictions([("User-Agent", WINDOWS)], uri=path) == {"odd_few"}) == excused


def test_internet_explorer_begins_with_accept() -> None:
    eleven = ("User-Agent", "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko")
    html = ("Accept", "text/html, application/xhtml+xml, */*")
    assert contradictions([html, LANGUAGE, eleven, packed("gzip, deflate")]) == set()
    assert contradictions([eleven, packed("gzip, deflate"), html, LANGUAGE]) == {"odd_order_encoding"}
