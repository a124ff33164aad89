"""Each preset, enforced: twenty clients that must come in, and twenty that must not, by the default model and the packaged lists.

Law: a client is what it sends and where it is from; nobody here is known to the tests by another name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sidecar_harness import BROWSER

from sidecar import core
from sidecar.config import config, lists, policies, presets
from sidecar.config.options import DEFAULT_MODEL
from sidecar.model import load
from sidecar.verify import catalogue, ranges

HOME, CLOUD = "203.0.113.7", "8.8.8.8"  # of nobody's list
PROGRAMS = [
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.0",
    "Go-http-client/1.1",
    "Scrapy/2.11 (+https://scrapy.org)",
    "",
    "Java/17.0.2",
    "libwww-perl/6.72",
    "okhttp/4.12.0",
    "axios/1.6.0",
]
IMPOSTORS = ["Googlebot/2.1", "bingbot/2.0", "DuckDuckBot/1.1", "Applebot/0.1", "OAI-SearchBot/1.0"]


def browser(name: str, **changed: str) -> dict[str, str]:
    return {**BROWSER, **changed, "name": name}


PEOPLE: list[dict[str, str]] = [
    browser("Chrome"),
    browser("a search", Referer="https://www.google.com/", **{"Sec-Fetch-Site": "cross-site"}),
    browser("in German", **{"Accept-Language": "de-DE,de;q=0.9,en;q=0.8"}),
    browser("a click", Referer="https://example.com/", **{"Sec-Fetch-Site": "same-origin"}),
    browser("returning", Cookie="session=1"),
]


FETCHED = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin", "Accept": "*/*"}
ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}
# Moments of people, and where they are: from an advertisement, a letter, a sign-in, a payment; what pages fetch by themselves.
MOMENTS: list[tuple[dict[str, str], str]] = [
    (browser("an ad", Referer="https://www.google.com/", **ELSEWHERE), "/landing?gclid=EAIaIQobChMI&gad_source=1"),
    (browser("a post", Referer="https://l.facebook.com/", **ELSEWHERE), "/page?fbclid=IwAR0abcdefghijklmnop"),
    (browser("a letter"), "/page?utm_source=newsletter&mc_cid=abc&mc_eid=def"),
    (
        browser("signed in", Referer="https://accounts.google.com/", **ELSEWHERE),
        "/auth/callback?code=4%2F0AeanS&state=abc",
    ),
    (browser("paid", Referer="https://www.paypal.com/", **ELSEWHERE), "/checkout/return?token=EC-123&PayerID=ABC"),
    (browser("fetched", Referer="https://example.com/", **FETCHED), "/api/cart"),
    (browser("a beacon", Origin="https://example.com", **FETCHED), "/collect"),
]


for headers, _ in MOMENTS:
    if headers["Sec-Fetch-Mode"] == "cors":  # nobody clicked
        del headers["Upgrade-Insecure-Requests"], headers["Sec-Fetch-User"]


def inside(crawler: str) -> str:
    """An address of a list of this crawler."""
    copies, _ = ranges.newest(None)
    names = [name for name in catalogue.load().crawlers[crawler].ranges if name in copies]
    return str(copies[names[0]].networks[0][0])


def crawler(name: str) -> tuple[dict[str, str], str, str]:
    return (
        {"User-Agent": f"Mozilla/5.0 (compatible; {catalogue.load().crawlers[name].agents[0]}/1.0)"},
        inside(name),
        "/",
    )


def program(path: str, agent: str = "curl/8.5.0") -> tuple[dict[str, str], str, str]:
    return {"User-Agent": agent, "Accept": "*/*"}, CLOUD, path


def says(agent: str) -> tuple[dict[str, str], str, str]:
    return {"User-Agent": agent, "Accept": "*/*"}, CLOUD, "/page"


ENGINES = [
    crawler(name) for name in ("googlebot", "bingbot", "duckduckbot", "applebot", "oai-searchbot", "perplexitybot")
]
ASSISTANTS = [crawler(name) for name in ("chatgpt-user", "perplexity-user", "google-notebook")]
TRAINERS = [crawler(name) for name in ("gptbot", "ccbot")]
VISITS = [*((each, HOME, "/page") for each in PEOPLE), *((each, HOME, path) for each, path in MOMENTS)]
ACME = program("/.well-known/acme-challenge/token", "Mozilla/5.0 (compatible; Let's Encrypt validation server)")
WELL_KNOWN = [
    ACME,
    *(
        program(f"/.well-known/{name}")
        for name in ("security.txt", "assetlinks.json", "pki-validation/a.txt", "jwks.json")
    ),
    *(
        program(f"/.well-known/{name}")
        for name in ("matrix/server", "nodeinfo", "webfinger?resource=acct:a@b", "mta-sts.txt")
    ),
    *(program(path) for path in ("/robots.txt", "/ads.txt", "/favicon.ico", "/security.txt")),
]
FEEDS = [
    program(path, "Feedly/1.0")
    for path in (
        "/feed/",
        "/feed.xml",
        "/rss.xml",
        "/atom.xml",
        "/sitemap.xml",
        "/feed",
        "/rss",
        "/blog/feed",
        "/comments/feed/",
    )
]
FEEDS += [
    program("/wp-json/oembed/1.0/embed?url=x", "Iframely/1.3"),
    program("/wp-sitemap-posts-1.xml", "MojeekBot/0.11"),
]
HOOKS = [
    program(path, "Stripe/1.0")
    for path in (
        "/webhooks/stripe",
        "/webhook/1",
        "/wc-api/v3",
        "/stripe/webhook",
        "/paypal/ipn",
        "/webhook",
        "/api/webhooks",
    )
]
SYNC = [program(path, "DAVx5/4.4") for path in ("/remote.php/dav", "/caldav/me", "/.well-known/carddav", "/status.php")]
SYNC += [
    program(path, "Outlook/16") for path in ("/Microsoft-Server-ActiveSync?Cmd=Sync", "/autodiscover/autodiscover.xml")
]
# Paths that only look like those of the lists.
ALIKE = [
    program(path)
    for path in (
        "/feed.xml.php",
        "/rss.xmlx",
        "/feeder",
        "/feed/../login",
        "/robots.txt/../login",
        "/robots.txt%2f..%2flogin",
        "/robots.txt%00/login",
        "/ads.txt.bak",
        "/.well-known/acme-challenge/../../login",
        "/.well-known/security.txt/shell.php",
        "/webhookss",
        "/statusXphp",
    )
]
ADS = [crawler(name) for name in ("adsbot-google", "mediapartners-google", "google-site-verification")]
REFUSED = [*(says(agent) for agent in (*PROGRAMS, *IMPOSTORS)), *ALIKE]
MODELS = [says(agent) for agent in ("ClaudeBot/1.0", "Bytespider", "meta-externalagent/1.1")]

# Who must come in, and who must not.
CLIENTS: dict[str, tuple[list[Any], list[Any]]] = {
    "publisher": (
        [*VISITS, *ENGINES, *WELL_KNOWN, *FEEDS, *ADS],
        [*REFUSED, *TRAINERS, *MODELS, program("/feedback"), program("/webhooks/x")],
    ),
    "shop": (
        [*VISITS, *ENGINES, *ASSISTANTS, *WELL_KNOWN, *HOOKS, *ADS],
        [*REFUSED, *TRAINERS, *MODELS, crawler("ahrefsbot"), program("/feed/"), says("SemrushBot/7")],
    ),
    "documentation": (
        [*VISITS, *ENGINES, *ASSISTANTS, *TRAINERS, *WELL_KNOWN, *FEEDS],
        [
            *REFUSED,
            says("GPTBot/1.2"),
            says("CCBot/2.0"),
            says("ChatGPT-User/1.0"),
            program("/webhooks/x"),
            program("/dav/"),
        ],
    ),
    "open": (
        [*VISITS, *ENGINES, *ASSISTANTS, *TRAINERS, *WELL_KNOWN, *FEEDS, *HOOKS, *SYNC, crawler("ahrefsbot")],
        [
            *REFUSED,
            says("GPTBot/1.2"),
            says("CCBot/2.0"),
            says("AhrefsBot/7.0"),
            program("/feedback"),
            program("/login"),
        ],
    ),
}


@pytest.mark.parametrize("name", presets.NAMES)
def test_who_comes_in(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.toml").write_text(f'[policies.default]\npreset = "{name}"\nmode = "enforce"\n')
    rules, model = core.Policies(policies.image(config.load(tmp_path / "x.toml"))), load(DEFAULT_MODEL)
    come_in, stay_out = CLIENTS[name]
    assert len(come_in) >= 20
    assert len(stay_out) >= 20
    request = core.Request()
    for clients, refused in ((come_in, False), (stay_out, True)):
        for headers, ip, path in clients:
            pairs = [(key.encode(), value.encode()) for key, value in headers.items() if key != "name"]
            request.load_record(
                pairs, True, ip=ip.encode(), uri=path.encode(), method=b"GET", protocol=b"HTTP/1.1", scheme=b"https"
            )
            found = rules.decide(model, request, "default")
            assert found.refuse == refused, (headers, ip, path, found)


def test_the_policys_own_words_stand_above(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        '[policies.default]\npreset = "publisher"\nverified = { training = "allow", ccbot = "deny", mine = "allow" }\ndeny = ["feeds"]\n'
        '[policies.names]\npreset = "shop"\nverified = ["mine"]\nsearch_engines = false\n[lists.mine]\nnetworks = ["192.0.2.1"]\n'
    )
    plan = config.load(tmp_path / "x.toml")
    assert plan.policies["default"].allow == ("well-known",)
    assert plan.policies["default"].verified == ("mine",)
    said = plan.crawlers["default"]
    assert (said["training"], said["ccbot"], said["data"], said["search"]) == ("allow", "deny", "deny", "allow")
    assert plan.policies["names"].verified == ("mine",)
    assert "search" not in plan.crawlers["names"]
    assert plan.crawlers["names"]["assistant"] == "allow"


def test_the_presets_are_sound(tmp_path: Path) -> None:
    known = set(presets.lists())
    for name in presets.NAMES:
        found = presets.preset(name)
        assert set(found.allow) <= known
        assert set(found.verified) <= set(catalogue.PURPOSES)
        assert set(found.verified.values()) <= {"allow", "deny"}
    plan = config.load(None)
    for name, paths in presets.lists().items():
        assert len(lists.contents(plan, name).paths) == len(paths)  # none is a prefix of another
