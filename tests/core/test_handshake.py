"""The TLS handshake: names and forms of csrc/request/handshake.c, and what handshake_claims.c says of a handshake and an agent.

Law: of names the oracle is an OpenSSL, Python's own; of programs it is tests/data/handshakes.tsv. A contradiction is shown by two
requests that differ in nothing but what makes it.
"""

from __future__ import annotations

import math
import re
import ssl

import pytest
import tables
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from sidecar import core

NAMES = [row.name for row in core.FEATURES]
TLS = [row.name for row in core.FEATURES if row.group == "tls"]
SUITES = {
    name: int(code, 16)
    for code, name in re.findall(
        r'^XB_SUITE\(0x(\w{4}), "([^"]+)"\)$', (ROOT / "csrc/request/suites.def").read_text(), re.MULTILINE
    )
}
GROUPS = {
    name: int(code, 16)
    for code, name in re.findall(
        r'^XB_GROUP\(0x(\w{4}), "([^"]+)"\)$', (ROOT / "csrc/request/suites.def").read_text(), re.MULTILINE
    )
}
GREASE = [0x1010 * n + 0x0A0A for n in range(16)]
HANDSHAKES = {name: (stack, suites, groups) for name, stack, suites, groups, _ in tables.rows("handshakes.tsv", 5)}
FAMILIES = sum(1 << i for i, family in enumerate(core.FAMILIES) if family.group == "tls")
STACKS = ("openssl", "gnutls", "nss", "chromium", "apple", "go", "java", "schannel", "rustls", "unknown")

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
)
OLD_CHROME = CHROME.replace("150", "49")
WEBVIEW = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/150.0.0.0 Mobile Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
OLD_FIREFOX = FIREFOX.replace("153", "45")
SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15"
OLD_SAFARI = SAFARI.replace("17.6", "10.1")
WEBKITGTK = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15"
CHROME_IOS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/150.0.0.0 "
    "Mobile/15E148 Safari/604.1"
)
EDGE_18 = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 "
    "Safari/537.36 Edge/18.17763"
)
IE = "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko"
CHROME_DETAILS = {
    "tls_no_grease": 1, "tls_no_group_grease": 1, "tls_openssl": 1, "odd_tls_chrome": 1, "odd_tls_group": 1,
    "tls_fits": 0,
}  # fmt: skip


def loaded(suites: str | None, groups: str | None = None, agent: str = "curl/8", **more: str) -> core.Request:
    request = core.Request()
    said = {"protocol": "TLSv1.3", "ciphers": suites, "curves": groups, "alpn": None, "reused": None, "sigalgs": None}
    said.update({name: value for name, value in more.items() if name not in ("http", "encodings")})
    tls = core.Tls(**{name: None if value is None else value.encode() for name, value in said.items()})
    request.load_record(
        [(b"User-Agent", agent.encode()), (b"Accept-Encoding", more.get("encodings", "").encode())], True,
        uri=b"/", method=b"GET", protocol=more.get("http", "HTTP/1.1").encode(),
        scheme=b"https", tls=tls,
    )  # fmt: skip
    return request


def rows(request: core.Request) -> dict[str, float]:
    return dict(zip(NAMES, request.features(15)[0], strict=True))


def lists(request: core.Request) -> dict[str, str]:
    """Family -> the hash of the list that it is of."""
    found = request.features(core.MAX_K, families=FAMILIES)[1]  # alone: no other word has their bucket
    return {family: text for _, family, text in found}


def odd(agent: str, handshake: str, **more: str) -> set[str]:
    """Contradictions of an agent and a handshake of tests/data/handshakes.tsv."""
    _, suites, groups = HANDSHAKES[handshake]
    return {
        name
        for name, value in rows(loaded(suites, groups, agent, **more)).items()
        if name.startswith("odd_tls_") and value == 1
    }


# ---- names and forms ----


def test_an_openssl_agrees_with_the_names() -> None:
    """Whatever this Python's OpenSSL can name, xbot has under the same number."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    theirs = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
    assert len(theirs) > 100
    assert {name: SUITES.get(name) for name in theirs} == theirs


@pytest.mark.parametrize("name", HANDSHAKES)
def test_whose_handshake_it_is(name: str) -> None:
    stack, suites, groups = HANDSHAKES[name]
    request = loaded(suites, groups)
    assert request.stack == stack
    found = rows(request)
    assert [row for row in STACKS if found[f"tls_{row}"]] == [stack]


@pytest.mark.parametrize("name", HANDSHAKES)
def test_every_form_says_the_same(name: str) -> None:
    """Names or code points, colons or commas, a row of digits: HAProxy, nginx with an older or a newer OpenSSL."""
    _, suites, groups = HANDSHAKES[name]

    def codes(text: str, names: dict[str, int]) -> list[int]:
        return [names[member] if member in names else int(member, 16) for member in text.split(":") if member]

    wanted = loaded(suites, groups)
    points = codes(suites, SUITES), codes(groups, GROUPS)
    for form in ("0x{:04x}".format, "0X{:04X}".format, "UNKNOWN({:04x})".format):
        for between in (":", ",", ", "):
            told = loaded(*(between.join(map(form, of)) for of in points))
            assert (lists(told), rows(told)) == (lists(wanted), pytest.approx(rows(wanted), nan_ok=True))
    told = loaded(*("".join(f"{code:04x}" for code in of) for of in points))
    assert (lists(told), rows(told)) == (lists(wanted), pytest.approx(rows(wanted), nan_ok=True))


MEMBERS = st.lists(st.sampled_from(sorted({*SUITES.values(), *range(0x2000, 0x2100)})), min_size=1, max_size=40)


@given(MEMBERS, st.data())
def test_a_value_of_grease_is_as_good_as_another(codes: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(codes)))
    one, other = (data.draw(st.sampled_from(GREASE)) for _ in range(2))
    texts = [":".join(f"0x{code:04x}" for code in (*codes[:at], grease, *codes[at:])) for grease in (one, other)]
    first, second = (loaded(text, text, sigalgs=text) for text in texts)
    assert lists(first) == lists(second)
    assert rows(first) == pytest.approx(rows(second), nan_ok=True)
    without = loaded(":".join(f"0x{code:04x}" for code in codes), ":".join(f"0x{code:04x}" for code in codes))
    assert lists(without)["tls_ciphers"] != lists(first)["tls_ciphers"]  # but that it is there counts


@given(MEMBERS, st.randoms(use_true_random=False))
def test_the_order_of_everything_else_counts(codes: list[int], chance) -> None:
    mixed = codes[:]
    chance.shuffle(mixed)
    one, other = (lists(loaded(":".join(f"0x{code:04x}" for code in of)))["tls_ciphers"] for of in (codes, mixed))
    assert (one == other) == (codes == mixed)


@given(st.text(st.sampled_from(":, -.0123456789abcdefxXEDHRSA_"), max_size=300), st.text(max_size=60))
def test_any_text_gives_facts_or_none(suites: str, groups: str) -> None:
    found = rows(loaded(suites, groups, alpn=groups, sigalgs=suites, reused=groups))
    assert all(math.isnan(value) or value in (0, 1) for name, value in found.items() if name in TLS)


def test_a_list_beyond_the_bounds_is_cut() -> None:
    """What is behind 255 members or 8 KiB says nothing, and costs nothing."""
    many = ":".join(f"0x{code:04x}" for code in range(0x2000, 0x2000 + 255))
    assert lists(loaded(many)) == lists(loaded(f"{many}:0x1301"))
    assert lists(loaded(many)) != lists(loaded(many[:-7]))
    wide = ":".join(["x" * 100] * 400)
    assert lists(loaded(wide)) == lists(loaded(f"{wide}:AES128-SHA"))
    assert len(lists(loaded("0xzzzz:" * 3000))) == 1


# ---- what is not told ----


def test_without_a_handshake_nothing_is_known() -> None:
    """No text, or texts that say nothing: the group is absent."""
    request = core.Request()
    request.load_record([(b"User-Agent", CHROME.encode())], True, scheme=b"https")
    empty = loaded("", "", CHROME, protocol="", alpn="", reused="", sigalgs="")
    noise = loaded(":::", ",", CHROME, protocol="?", reused="x")
    for of in (request, empty, noise):
        assert all(math.isnan(rows(of)[name]) for name in TLS)
        assert not lists(of)
        assert of.stack is None
    assert request.present & core.GROUPS["tls"] == empty.present & core.GROUPS["tls"] == 0


@pytest.mark.parametrize("more", [{"http": "HTTP/3.0"}, {"http": "", "alpn": "h3"}], ids=["spoken", "agreed on"])
def test_over_quic_nothing_is_known(more: dict[str, str]) -> None:
    """Chromium offers the suites of TLS 1.3 alone there, and no GREASE: that is no contradiction."""
    found = rows(
        loaded(
            "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
            "0x11ec:X25519",
            CHROME,
            **more,
        )
    )
    assert all(math.isnan(found[name]) for name in TLS)


def test_a_list_that_is_missing_says_nothing() -> None:
    """A session resumed under TLS 1.2 has no groups: absent, and no contradiction."""
    _, suites, _ = HANDSHAKES["chromium 156"]
    found = rows(loaded(suites, "", CHROME, protocol="TLSv1.2", reused="r"))
    assert found["tls_resumed"] == 1
    assert found["odd_tls_chrome"] == 0
    for name in (
        "tls_groups_over_4",
        "tls_no_group_grease",
        "tls_no_hybrid",
        "tls_x448",
        "tls_ffdhe_big",
        "odd_tls_group",
    ):
        assert math.isnan(found[name])
    only_protocol = rows(loaded(None, None, CHROME))
    assert only_protocol["tls_13"] == 1
    assert all(
        math.isnan(only_protocol[name]) for name in ("tls_openssl", "odd_tls_chrome", "tls_no_alpn", "tls_resumed")
    )


# ---- contradictions ----

CHROMIUM, NSS, APPLE, OPENSSL, GNUTLS = (
    "chromium 156", "firefox 153", "safari 17", "curl 7.88, OpenSSL 3.0", "wget 1.21, GnuTLS 3.7",
)  # fmt: skip
OKHTTP, SCHANNEL = "OkHttp 4, Android 10", "Edge 18 and Internet Explorer, Windows 10"


@pytest.mark.parametrize(
    ("agent", "handshake"),
    [
        (CHROME, CHROMIUM),
        (CHROME, "chromium 156, resumed under TLS 1.2"),
        (CHROME.replace("150", "124"), "chromium 124"),
        (CHROME.replace("150", "70"), "chromium 70"),
        (OLD_CHROME, SCHANNEL),  # before GREASE
        (WEBVIEW, CHROMIUM),
        (WEBVIEW, OKHTTP),  # the program around it asked
        (FIREFOX, NSS),
        (FIREFOX, "firefox 153, resumed under TLS 1.2"),
        (FIREFOX, "firefox 120"),  # one more suite
        (FIREFOX, "firefox 72"),
        (OLD_FIREFOX, "firefox 45"),
        (OLD_FIREFOX, "nobody, with the SCSV"),  # Firefox sent it, too
        (FIREFOX, "nobody"),
        (FIREFOX, OKHTTP),  # of nobody's known marks
        (SAFARI, APPLE),
        (SAFARI.replace("17.6", "26.1"), "safari 26"),
        (OLD_SAFARI, SCHANNEL),  # without GREASE, without ChaCha20
        (CHROME_IOS, APPLE),
        (WEBKITGTK, GNUTLS),
        (WEBKITGTK, OPENSSL),  # WPE may stand on it
        (EDGE_18, SCHANNEL),
        (IE, SCHANNEL),
        (IE, "nobody"),
        ("curl/8.1", OPENSSL),
        ("Wget/1.21", GNUTLS),
    ],
)
def test_no_person_and_no_honest_program_is_odd(agent: str, handshake: str) -> None:
    assert odd(agent, handshake) == set()


@pytest.mark.parametrize(
    ("agent", "handshake", "fitting", "wanted"),
    [
        (CHROME, OPENSSL, CHROMIUM, {"odd_tls_chrome", "odd_tls_group"}),
        (CHROME, NSS, CHROMIUM, {"odd_tls_chrome"}),
        (CHROME, "safari 26", CHROMIUM, {"odd_tls_chrome"}),
        (CHROME, "nobody", CHROMIUM, {"odd_tls_chrome", "odd_tls_group"}),  # no GREASE
        (CHROME, "chromium 70", CHROMIUM, {"odd_tls_group"}),
        (CHROME.replace("150", "60"), OPENSSL, "chromium 70", {"odd_tls_chrome"}),
        (WEBVIEW, OPENSSL, OKHTTP, {"odd_tls_chrome"}),
        (FIREFOX, OPENSSL, NSS, {"odd_tls_firefox"}),
        (FIREFOX, GNUTLS, NSS, {"odd_tls_firefox"}),
        (FIREFOX, CHROMIUM, NSS, {"odd_tls_firefox"}),
        (FIREFOX, APPLE, NSS, {"odd_tls_firefox"}),
        (FIREFOX, "Go 1.24", NSS, {"odd_tls_firefox"}),
        (FIREFOX, "Java 17", NSS, {"odd_tls_firefox"}),
        (FIREFOX, "rustls 0.23", NSS, {"odd_tls_firefox"}),
        (OLD_FIREFOX, OPENSSL, "firefox 45", {"odd_tls_firefox"}),
        (FIREFOX, "nobody, with the SCSV", "nobody", {"odd_tls_firefox"}),
        (FIREFOX, "nobody, with X448", "nobody", {"odd_tls_firefox"}),
        (FIREFOX, "nobody, with CCM", "nobody", {"odd_tls_firefox"}),
        (FIREFOX, "nobody, with large groups", "nobody", {"odd_tls_firefox"}),
        (FIREFOX, "nobody, with ARIA", "nobody", {"odd_tls_firefox"}),
        (SAFARI, OPENSSL, APPLE, {"odd_tls_safari"}),
        (SAFARI, GNUTLS, APPLE, {"odd_tls_safari"}),
        (SAFARI, CHROMIUM, APPLE, {"odd_tls_safari"}),
        (OLD_SAFARI, OPENSSL, SCHANNEL, {"odd_tls_safari"}),
        (CHROME_IOS, "Go 1.24", APPLE, {"odd_tls_safari"}),
        (WEBKITGTK, CHROMIUM, GNUTLS, {"odd_tls_safari"}),
        (WEBKITGTK, "hey, Go 1.19", GNUTLS, {"odd_tls_safari"}),
        (IE, OPENSSL, SCHANNEL, {"odd_tls_ie"}),
        (EDGE_18, "python 3.11, OpenSSL 3.0", SCHANNEL, {"odd_tls_ie"}),
    ],
)
def test_a_handshake_of_another_program_is_odd(agent: str, handshake: str, fitting: str, wanted: set[str]) -> None:
    assert odd(agent, handshake) == wanted
    assert odd(agent, fitting) == set()


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"alpn": "h2", "http": "HTTP/2.0"}, set()),
        ({"alpn": "http/1.1"}, set()),
        ({"alpn": "h3", "http": "HTTP/3.0"}, set()),
        ({"alpn": ""}, set()),  # not told
        ({"alpn": "-"}, {"odd_tls_alpn"}),
        ({"alpn": "h2", "http": "HTTP/1.1"}, {"odd_tls_alpn"}),
        ({"alpn": "http/1.1", "http": "HTTP/2.0"}, {"odd_tls_alpn"}),
    ],
)
def test_the_protocol_that_was_agreed_on(more: dict[str, str], wanted: set[str]) -> None:
    assert odd(CHROME, CHROMIUM, **more) == wanted


def test_a_program_may_agree_on_nothing() -> None:
    assert odd("curl/8.1", OPENSSL, alpn="-") == odd(WEBVIEW, CHROMIUM, alpn="-") == set()
    for encodings, wanted in (
        ("gzip, deflate", set()),
        ("gzip, deflate, br", {"odd_tls_alpn"}),
        ("", {"odd_tls_alpn"}),
    ):
        assert odd(WEBKITGTK, GNUTLS, alpn="-", encodings=encodings) == wanted  # on libsoup 2
    assert odd(WEBKITGTK, OPENSSL, alpn="-", encodings="gzip, deflate") == {"odd_tls_alpn"}
    assert odd(SAFARI, APPLE, alpn="-") == {"odd_tls_alpn"}
    for version, wanted in ((101, set()), (102, {"odd_tls_alpn"})):  # a WebSocket's connection
        agent = re.sub(r"Chrome/\d+", f"Chrome/{version}", CHROME)
        assert odd(agent, CHROMIUM, alpn="-") == wanted
        assert odd(agent, OPENSSL, alpn="-") == {"odd_tls_chrome", "odd_tls_alpn"}


def test_what_fits_is_said() -> None:
    for agent, handshake in ((CHROME, CHROMIUM), (FIREFOX, NSS), (SAFARI, APPLE), (WEBKITGTK, GNUTLS)):
        _, suites, groups = HANDSHAKES[handshake]
        assert rows(loaded(suites, groups, agent))["tls_fits"] == 1
        assert rows(loaded(suites, groups, agent))["tls_webkitgtk"] == (agent == WEBKITGTK)
    _, suites, groups = HANDSHAKES[OPENSSL]
    found = rows(loaded(suites, groups, CHROME))
    assert {name: found[name] for name in CHROME_DETAILS} == CHROME_DETAILS
    assert rows(loaded(suites, groups, WEBKITGTK))["tls_fits"] == 0
    assert rows(loaded(suites, groups, "curl/8"))["tls_fits"] == 0
