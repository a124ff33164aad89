"""Who a crawler is: what it says, what its address proves, and what a policy does with it.

Law: the oracle of ranges is ipaddress over the files of the package; what a request is told is looked at on the wire.
"""

from __future__ import annotations

import datetime
import ipaddress
import mmap
from pathlib import Path

import pytest
from sidecar_harness import BROWSER, Sidecar, ask, head
from tables import DATA

from sidecar import core
from sidecar.config import config, crawlers, options, policies
from sidecar.config.options import DEFAULT_MODEL
from sidecar.errors import XbotError
from sidecar.model import load
from sidecar.verify import catalogue, ranges

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
OUTSIDE = "8.8.8.8"  # in no list
KNOWN = catalogue.load()


def address_of(name: str) -> str:
    copies, _ = ranges.newest(None)
    return str(copies[KNOWN.crawlers[name].ranges[0]].networks[0][0])


def decided(place: Path, text: str, agent: str, ip: str | None, **record: bytes) -> core.Decision:
    place.write_text(text)
    request = core.Request()
    address = {} if ip is None else {"ip": ip.encode()}
    request.load_record(None, False, agent=agent.encode(), uri=b"/", **address, **record)
    return core.Policies(policies.image(config.load(place))).decide(load(DEFAULT_MODEL), request, "default")


ENFORCE = '[policies.default]\nmode = "enforce"\n'
BY_PURPOSE = ENFORCE + 'verified = { search = "allow", training = "deny", ccbot = "allow", assistant = "score" }\n'


@pytest.mark.parametrize(
    ("agent", "ip", "outcome", "reason", "crawler"),
    [
        ("Googlebot/2.1", address_of("googlebot"), "verified", "verified=googlebot", ("googlebot", "search")),
        (CHROME, address_of("googlebot"), "verified", "verified=googlebot", ("googlebot", "search")),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", OUTSIDE, "bot", "impostor=googlebot", None),
        (CHROME + " (compatible; bingbot/2.0)", OUTSIDE, "bot", "impostor=bingbot", None),
        ("Googlebot/2.1", address_of("bingbot"), "bot", "impostor=googlebot", None),
        ("GPTBot/1.2", address_of("gptbot"), "bot", "deny=gptbot", ("gptbot", "training")),
        ("Bytespider", OUTSIDE, "bot", "deny=bytespider", None),  # no proof: its own word speaks against it
        ("CCBot/2.0", address_of("ccbot"), "verified", "verified=ccbot", ("ccbot", "training")),  # names above purposes
        ("CCBot/2.0", OUTSIDE, "bot", "impostor=ccbot", None),
        ("NotGooglebot Googlebots", OUTSIDE, None, None, None),  # whole words alone
        ("word " * 80 + "Googlebot", OUTSIDE, "bot", "impostor=googlebot", None),
        (CHROME, OUTSIDE, None, None, None),
    ],
)
def test_a_crawler_and_what_becomes_of_it(tmp_path, agent, ip, outcome, reason, crawler) -> None:
    found = decided(tmp_path / "x.toml", BY_PURPOSE, agent, ip)
    assert found.crawler == crawler
    if outcome is None:
        assert "googlebot" not in found.reason
    else:
        assert (found.outcome, found.reason, found.list) == (outcome, reason, None)
        assert found.refuse == (outcome == "bot")


def test_lists_come_before_the_crawler(tmp_path) -> None:
    """The owner's own tools may say what they like, and who is denied stays so."""
    lists = f'[lists.mine]\nnetworks = ["{OUTSIDE}"]\n[lists.bad]\nnetworks = ["{address_of("googlebot")}"]\n'
    text = ENFORCE + 'allow = ["mine"]\ndeny = ["bad"]\n' + lists
    assert decided(tmp_path / "x.toml", text, "Googlebot/2.1", OUTSIDE).reason == "allow=mine"
    assert decided(tmp_path / "x.toml", text, "Googlebot/2.1", address_of("googlebot")).reason == "deny=bad"
    text = ENFORCE + 'verified = { mine = "allow" }\n' + lists
    assert decided(tmp_path / "x.toml", text, "Googlebot/2.1", OUTSIDE).reason == "verified=mine"


PRIVATE = "10.1.2.3 127.0.0.1 172.20.0.1 192.168.1.1 100.64.0.1 169.254.1.1 ::1 fd00::1 fe80::1"


@pytest.mark.parametrize("ip", PRIVATE.split())
def test_an_address_of_a_proxy_disproves_nobody(tmp_path, ip) -> None:
    """A proxy that hides the visitors' addresses makes no impostors; nor does a word let anybody by there."""
    for agent, reason in (("Googlebot/2.1", "unproven=googlebot"), ("CCBot/2.0", "unproven=ccbot")):
        found = decided(tmp_path / "x.toml", BY_PURPOSE, agent, ip)
        assert (found.outcome, found.refuse, found.reason) == ("bot", True, reason)  # by score


def test_without_an_address_nobody_is_let_by(tmp_path) -> None:
    found = decided(tmp_path / "x.toml", BY_PURPOSE, "Googlebot/2.1", None)
    assert (found.outcome, found.reason, found.crawler) == ("bot", "unproven=googlebot", None)


def test_an_old_list_proves_and_disproves_no_more(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ranges, "OLD", 0)
    assert decided(tmp_path / "x.toml", BY_PURPOSE, "CCBot/2.0", address_of("ccbot")).reason == "verified=ccbot"
    found = decided(tmp_path / "x.toml", BY_PURPOSE, "Googlebot/2.1", OUTSIDE)
    assert (found.outcome, found.reason, found.refuse) == ("suspect", "unproven=googlebot", False)
    # A word lets in nobody but a search engine.
    other = decided(tmp_path / "x.toml", BY_PURPOSE, "CCBot/2.0", OUTSIDE)
    assert (other.outcome, other.reason, other.refuse) == ("bot", "unproven=ccbot", True)


def test_every_name_that_is_sent_is_met(tmp_path) -> None:
    """Bare, with a version, and behind Chrome's agent: each claim is either disproved or denied by its purpose."""
    everything = ENFORCE + "verified = { " + ", ".join(f'{each} = "deny"' for each in catalogue.PURPOSES) + " }\n"
    (tmp_path / "x.toml").write_text(everything)
    rules, model = core.Policies(policies.image(config.load(tmp_path / "x.toml"))), load(DEFAULT_MODEL)
    request, tried = core.Request(), 0
    for name, each in KNOWN.crawlers.items():
        for word in each.agents:
            for agent in (
                word,
                word.title() + "/1.0",
                f"{CHROME} (compatible; {word.upper()}/2.1; +https://x.example/)",
            ):
                request.load_record(None, False, agent=agent.encode(), ip=OUTSIDE.encode(), uri=b"/")
                found = rules.decide(model, request, "default")
                tried += 1
                if each.sent:
                    assert found.refuse, agent
                    assert found.reason.partition("=")[0] == (
                        "impostor" if each.ranges and disproves(each) else "deny"
                    ), agent
                else:
                    assert name not in found.reason
    assert tried > 600


@pytest.mark.parametrize(
    ("agent", "crawler"),
    [
        ("GPTBot2.0", "gptbot"),  # a version glued to the word
        ("GPTBot2", "gptbot"),
        ("gptbotv2", "gptbot"),
        ("GPTBotV12/7", "gptbot"),
        ("GPTBot_1", "gptbot"),
        ("GPTBot-1", "gptbot"),
        ("GPTBot:2", "gptbot"),
        ("GPTBot@2", "gptbot"),
        ("GPTBot%202", "gptbot"),
        ("msnbot1.0", "bingbot"),
        ("Baiduspider2.0", "baiduspider"),
        (CHROME + " (compatible; ClaudeBot2; x)", "claudebot"),
        ("word " * 80 + "GPTBot3", "gptbot"),  # behind the words that are kept
        ("word " * 80 + "20261128", None),  # a bare number is no version of a name
        ("GPTBot2b", None),  # another name
        ("GPTBotanist", None),
        ("2GPTBot", None),
        ("GPTBotw2", None),
        ("NotGPTBot2", None),
        ("Bot2", None),
        ("Robot 2", None),
        ("x1 spider1 crawler2 bot3", None),  # the ending alone
        ("Yak2 Code87 Operator7 Scrapy2", None),  # only what ends as a crawler's name does
        # Telephones are called so, too.
        ("Mozilla/5.0 (Linux; Android 13; Spider 8) AppleWebKit/537.36", None),
        ("Mozilla/5.0 (Linux; Android 13; Spider) AppleWebKit/537.36", None),
        ("Mozilla/5.0 (Linux; Android 4.4.4; Spider Build/KTU84Q) AppleWebKit/537.36", None),
        ("Mozilla/5.0 (Linux; U; Android 4.2.2; fa-ir; GLX Spider Build/JDQ39)", None),
        ("Mozilla/5.0 (Linux; Android 4.4.2; GLX Spider1S Build/KOT49H)", None),
        ("Mozilla/5.0 (Linux; Android 4.4.2; GLX Spider1 Build/KOT49H)", None),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT J9)", None),
        ("Mozilla/5.0 (Linux; Android 6.0; B BOT 550 Build/MRA58K; wv)", None),
        ("Mozilla/5.0 (Linux; Android 10; K) Chrome/142.0.0.0 (compatible; Spider)", "spider"),
        ("Mozilla/5.0 (Linux; Android 10; Spider; +https://x.example/)", "spider"),
        ("Mozilla/5.0 (Linux; Android 10; Spider/8)", "spider"),
        ("Mozilla/5.0 (compatible; Spider 8)", "spider"),
        ("Android (x) Spider 8", "spider"),
        ("Spider", "spider"),
        (
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P; AdsBot-Google; +http://x.example/)",
            "adsbot-google",
        ),
        # Feedly's own: it only compares itself.
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)", "feedly"),
        ("x (compatible; LIKE Googlebot/2.1)", None),
        ("x unlike Googlebot/2.1", "googlebot"),
        ("like Googlebot/2.1", "googlebot"),  # nothing else is said
        # Whoever can be proven is not excused by such brackets.
        ("Mozilla/5.0 (Linux; Android 10; GPTBot Build/1)", "gptbot"),
        ("(Android " + "x" * 200 + " Spider 8)", "spider"),  # nobody looks back for ever
    ],
)
def test_which_words_are_a_claim(tmp_path, agent, crawler) -> None:
    everything = ENFORCE + "verified = { " + ", ".join(f'{each} = "deny"' for each in catalogue.PURPOSES) + " }\n"
    said, _, name = decided(tmp_path / "x.toml", everything, agent, OUTSIDE).reason.partition("=")
    assert (name if said in ("impostor", "deny") else None) == crawler


def test_every_name_of_ai_robots_txt_is_known(tmp_path) -> None:
    """Behind Chrome's agent with full headers, from an address of nobody's: all that are sent are refused."""
    everything = ENFORCE + "verified = { " + ", ".join(f'{each} = "deny"' for each in catalogue.PURPOSES) + " }\n"
    (tmp_path / "x.toml").write_text(everything)
    rules, model, request = (
        core.Policies(policies.image(config.load(tmp_path / "x.toml"))),
        load(DEFAULT_MODEL),
        core.Request(),
    )
    names = [line for line in (DATA / "ai_robots.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(names) > 140
    passed = set()
    for name in names:
        for agent in (name, f"{name}/1.0", f"{BROWSER['User-Agent']} (compatible; {name}; +https://x.example/)"):
            pairs = [(key.encode(), value.encode()) for key, value in {**BROWSER, "User-Agent": agent}.items()]
            request.load_record(pairs, True, ip=OUTSIDE.encode(), uri=b"/")
            found = rules.decide(model, request, "default")
            if not found.refuse or found.reason.partition("=")[0] not in ("deny", "impostor"):
                passed.add(name)
    assert passed == {"Google-Extended"}  # which nobody sends; Applebot-Extended says Applebot, too


def disproves(crawler: catalogue.Crawler) -> bool:
    copies, _ = ranges.newest(None)
    return all(name in copies for name in crawler.ranges)


def test_every_address_of_every_list_is_its_crawlers(tmp_path) -> None:
    copies, wrong = ranges.newest(None)
    assert not wrong
    (tmp_path / "x.toml").write_text("search_engines = false\n")
    rules, model, request = (
        core.Policies(policies.image(config.load(tmp_path / "x.toml"))),
        load(DEFAULT_MODEL),
        core.Request(),
    )
    for name, each in KNOWN.crawlers.items():
        if not disproves(each) or not each.ranges:
            continue
        networks = [network for source in each.ranges for network in copies[source].networks]
        for network in networks[:: max(1, len(networks) // 40)]:
            for ip in (network[0], network[-1], network[-1] + 1):
                request.load_record(None, False, agent=each.agents[0].encode(), ip=str(ip).encode(), uri=b"/")
                found = rules.decide(model, request, "default")
                inside = any(ip in other for other in networks if other.version == ip.version)
                assert found.crawler == ((name, each.purpose) if inside else None)
                assert (found.reason == f"impostor={name}") == (not inside)


def test_overlapping_lists_are_cut() -> None:
    a, b, c = (ipaddress.ip_network(each) for each in ("8.8.0.0/23", "8.8.0.0/24", "8.8.2.0/24"))
    made = crawlers._segments([(a, 1), (b, 2), (c, 2)], [(5, 2)], 9)
    start = int(a[0])
    assert made == ((start, start + 255, 3, 5), (start + 256, start + 511, 1, 9), (start + 512, start + 767, 2, 5))


def test_the_site_is_told_who_and_what_for(model_path, tmp_path) -> None:
    path = tmp_path / "xbot.toml"
    path.write_text(BY_PURPOSE + f'[[listen]]\naddress = "unix:{tmp_path}/x.sock"\n')
    with Sidecar(model_path, "--config", path, "--admin", "127.0.0.1:0", listen=()) as sidecar:
        place = f"unix:{tmp_path}/x.sock"
        reply = ask(place, head({"User-Agent": "CCBot/2.0"}, ip=address_of("ccbot")))
        assert (reply.status, reply["X-Bot"], reply["X-Bot-Agent"], reply["X-Bot-Purpose"]) == (
            200,
            "verified",
            "ccbot",
            "training",
        )
        reply = ask(place, head({"User-Agent": "CCBot/2.0"}, ip=OUTSIDE))
        assert (reply.status, reply["X-Bot"], reply["X-Bot-Reason"]) == (403, "bot", "impostor=ccbot")
        assert "X-Bot-Agent" not in reply.headers
        assert sidecar.counted("xbot_requests_total", rule="impostor") == 1


# ---- the catalogue and the lists ----


def test_the_catalogue_is_sound() -> None:
    words = [word for each in KNOWN.crawlers.values() for word in each.agents]
    assert len(words) == len(set(words)) > 200
    for name, each in KNOWN.crawlers.items():
        assert options.NAME.fullmatch(name)
        assert all(word == word.lower() for word in each.agents)
        assert set(each.ranges) <= set(KNOWN.ranges), name
    assert not set(catalogue.PURPOSES) & set(KNOWN.crawlers)
    assert all(address.startswith("https://") for address in KNOWN.ranges.values())


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("gptbot", b'{"prefixes": [{"ipv4Prefix": "10.0.0.0/24"}]}', "10.0.0.0/24: not of the public internet"),
        ("gptbot", b'{"prefixes": [{"ipv4Prefix": "8.0.0.0/8"}]}', "8.0.0.0/8: wider than /16"),
        ("googlebot", b"8.8.0.0/19\n", "8.8.0.0/19: wider than /20"),
        ("googlebot", b"2600::/32\n", "2600::/32: wider than /48"),
        ("gptbot", b'{"prefixes": []}', "empty"),
        ("gptbot", b"", "empty"),
        ("gptbot", b'{"prefixes": [{"ipv5Prefix": "8.8.8.8"}]}', "neither ipv4Prefix nor ipv6Prefix"),
        ("gptbot", b"[" * 100000, "not JSON with prefixes"),
        ("gptbot", b"[1]", "not JSON with prefixes"),
        ("gptbot", b"<html>no</html>", "does not appear to be"),
        ("gptbot", b"1" * 100000, r"gptbot: '1{60}\.\.\.' is no network$"),  # it is printed and logged
        ("gptbot", b"8.8.8.7/29", "has host bits set"),
        # IPv4 inside of IPv6: a /96 is everybody
        ("gptbot", b"64:ff9b::/96", "64:ff9b::/96: not of the public internet"),
        ("gptbot", b"64:ff9b:1::/48", "not of the public internet"),
        ("gptbot", b"::ffff:8.8.8.0/120", "not of the public internet"),
        ("gptbot", b"::8.8.8.0/120", "not of the public internet"),
        ("gptbot", b"2002:808:808::/48", "not of the public internet"),
        ("gptbot", b"2001:0:808:808::/64", "not of the public internet"),
        ("gptbot", b"4000::/48", "not of the public internet"),
        ("gptbot", b"\xff\xfe", "not UTF-8"),
        ("gptbot", b"8.8.8.8\n" * 600000, "longer than"),
    ],
)
def test_a_list_that_cannot_be_is_refused(name: str, data: bytes, why: str) -> None:
    with pytest.raises(XbotError, match=why) as caught:
        ranges.published(name, data)
    assert str(caught.value).startswith(name)


def test_what_publishers_send_is_read() -> None:
    google = b'{"creationTime": "2026-01-02T00:00:00", "prefixes": [{"ipv6Prefix": "2001:4860:4801:10::/64"}, '
    google += b'{"ipv4Prefix": "66.249.64.0/27"}]}'
    assert [str(each) for each in ranges.published("googlebot", google)] == ["66.249.64.0/27", "2001:4860:4801:10::/64"]
    assert [str(each) for each in ranges.published("gptbot", b"# ours\n8.8.8.0/25 # half\n8.8.8.128/25\n")] == [
        "8.8.8.0/24"
    ]


def test_the_newest_copy_counts_and_a_bad_one_does_not(tmp_path) -> None:
    net = (ipaddress.ip_network("8.8.8.0/24"),)
    (tmp_path / "gptbot.txt").write_text(ranges.text_of(net, datetime.date(2026, 11, 1), "test"))
    (tmp_path / "ccbot.txt").write_text(ranges.text_of(net, datetime.date(2020, 1, 1), "older than the package's"))
    (tmp_path / "ahrefs.txt").write_text("8.8.8.0/24\n")
    copies, wrong = ranges.newest(tmp_path)
    assert copies["gptbot"].networks == net
    assert copies["ccbot"].place.parent == ranges.SNAPSHOT
    assert wrong == [f"{tmp_path}/ahrefs.txt:1: it does not begin with its date"]


# ---- by the DNS ----


def test_whom_the_dns_is_asked_about(tmp_path: Path) -> None:
    """Each address that says to be a crawler with names is asked about once, but for those of private networks.
    What the DNS answers decides from then on."""
    table = core.Lookups(mmap.mmap(-1, core.LOOKUPS_SIZE))
    (tmp_path / "x.toml").write_text(
        '[policies.default]\nmode = "enforce"\nverified = { search = "allow" }\n[dns]\nlook_up = true\n'
    )
    rules = core.Policies(policies.image(config.load(tmp_path / "x.toml")), table)
    model, request = load(DEFAULT_MODEL), core.Request()

    def decision(ip: str) -> core.Decision:
        request.load_record(None, False, agent=b"YandexBot/3.0", uri=b"/", ip=ip.encode())
        return rules.decide(model, request, "default")

    own = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 ::1/128 fc00::/7 fe80::/10"
    networks = list(map(ipaddress.ip_network, own.split()))
    asked: dict[str, bool] = {}
    for network in networks:
        for edge in (network[0], network[-1]):
            for near in (edge - 1 if int(edge) else edge, edge, edge + 1):
                asked[str(near)] = not any(near in each for each in networks)
    asked["::"] = False  # nobody's
    for ip, wanted in asked.items():
        decision(ip)
        assert table.take(8) == ([ipaddress.ip_address(ip).packed] if wanted else []), ip
    assert {True, False} == set(asked.values())
    ip = next(ip for ip, wanted in asked.items() if wanted)
    assert decision(ip).outcome != "verified"
    for state in ("silent", "away"):  # nobody knows
        table.keep(ipaddress.ip_address(ip).packed, state, 60.0)
        assert decision(ip).outcome != "verified"
    table.keep(ipaddress.ip_address(ip).packed, "answered", 60.0, 1 << catalogue.domains().index("yandex.com"))
    assert decision(ip).outcome == "verified"
    table.keep(ipaddress.ip_address(ip).packed, "answered", 60.0, 0)
    assert decision(ip).outcome == "bot"
