"""Search engines are let by from the first day: the list that comes with xbot, how it is made, and what it does.

Law: the oracles are ipaddress, another package that mirrors Google's page, and the real nginx.
"""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from nginx_harness import EchoSite, Nginx, nginx_binary, running_nginx
from sidecar_harness import Sidecar, ask, get, head

from sidecar import core
from sidecar.config import config, lists, policies, search_engines
from sidecar.config.options import DEFAULT_MODEL
from sidecar.errors import XbotError
from sidecar.model import load
from training.commands.search_engines import SOURCES, checked, text_of

GOOGLEBOT = {
    "Host": "example.com",
    "User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "From": "googlebot(at)googlebot.com",
    "Accept-Encoding": "gzip, deflate, br",
}
# An address of each, by what the engines' own pages said for years.
CRAWLERS = {
    "Google": "66.249.66.1",
    "Bing": "157.55.39.1",
    "Bing's second": "207.46.13.9",
    "Google by IPv6": "2001:4860:4801:10::1",
}
ELSEWHERE = ("203.0.113.7", "192.0.2.1", "10.0.0.1", "127.0.0.1", "2001:db8::1", "8.8.8.8", "17.0.0.1", "::1")


# ---- the file ----


def networks() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    lines = search_engines.FILE.read_text().splitlines()
    return [ipaddress.ip_network(line) for line in lines if line and not line.startswith("#")]


def test_the_file_holds_what_may_be_in_it() -> None:
    """What `make networks` checks, of the file as it is committed."""
    assert len(networks()) > 500
    header, *parts = search_engines.FILE.read_text().split("\n\n# ")
    assert header.startswith("# date: ")
    assert len(parts) == len(SOURCES)
    for part in parts:
        name, *entries = part.split()[0], *part.splitlines()[1:]
        assert [str(each) for each in checked(name, entries)] == entries


def test_the_file_tells_its_date() -> None:
    assert search_engines.date().year >= 2026
    assert search_engines.age() >= 0
    assert search_engines.said().startswith(f"of {search_engines.date()}, {search_engines.age()} days")


@pytest.mark.skipif(find_spec("pymispwarninglists") is None, reason="needs the packages of the extra `corpus`")
def test_another_package_says_the_same_of_google() -> None:
    """Somebody else mirrors Google's page, too: all that he has of Googlebot is in the file."""
    place = distribution("pymispwarninglists").locate_file(
        "pymispwarninglists/data/misp-warninglists/lists/googlebot/list.json"
    )
    theirs = [ipaddress.ip_network(each) for each in json.loads(Path(str(place)).read_text())["list"]]
    assert len(theirs) > 50
    ours = networks()
    missing = [each for each in theirs if not any(each.version == one.version and each.subnet_of(one) for one in ours)]
    assert len(missing) <= len(theirs) / 20, missing  # the pages change


PART = {"operator": "O", "label": "L", "upstream_url": "https://o.example/l.json", "fetched_at": "2026-01-02T00:00:00"}
MADE: dict[str, Any] = {
    "license": {"data": "CC0-1.0"},
    "sources": {name: {**PART, "ipv4": [f"8.8.{i}.0/24"], "ipv6": []} for i, name in enumerate(SOURCES)},
}


@pytest.mark.parametrize(
    ("v4", "v6", "why"),
    [
        (["17.0.0.0/8"], [], "17.0.0.0/8: wider than /20"),
        ([], ["2600::/32"], "2600::/32: wider than /48"),
        (["10.1.2.0/24"], [], "10.1.2.0/24: not of the public internet"),
        (["127.0.0.1"], [], "not of the public internet"),
        (["100.64.0.0/24"], [], "not of the public internet"),
        ([], ["fd00::/64"], "not of the public internet"),
        ([], ["::ffff:10.0.0.1"], "not of the public internet"),
        ([], [], "empty"),
        ([f"8.{i}.0.0/20" for i in range(5)], [], "more than 16384 IPv4 addresses"),
        (["8.8.8.8/24"], [], "has host bits set"),
        (["crawl.example"], [], "does not appear to be"),
    ],
)
def test_a_cloud_or_a_private_network_is_refused(v4: list[str], v6: list[str], why: str) -> None:
    """And the text as a whole with it."""
    data = copy.deepcopy(MADE)
    assert text_of(data, "p 1").startswith("# date: 2026-01-02\n")
    data["sources"][SOURCES[1]] |= {"ipv4": v4, "ipv6": v6}
    with pytest.raises(XbotError, match=why) as caught:
        text_of(data, "p 1")
    assert str(caught.value).startswith(SOURCES[1])


def test_a_package_that_lost_a_list_is_refused() -> None:
    data = copy.deepcopy(MADE)
    del data["sources"][SOURCES[2]]
    with pytest.raises(XbotError, match=f"the package has no list {SOURCES[2]}"):
        text_of(data, "p 1")


# ---- who is verified ----


def decided(place: Path, text: str, ip: str, policy: str = "default") -> core.Decision:
    place.write_text(text)
    plan = config.load(place)
    request = core.Request()
    request.load_record([(n.encode(), v.encode()) for n, v in GOOGLEBOT.items()], True, ip=ip.encode(), uri=b"/")
    return core.Policies(policies.image(plan)).decide(load(DEFAULT_MODEL), request, policy)


def test_every_address_of_the_file_is_verified() -> None:
    served, model, request = core.Policies(policies.image(config.load(None))), load(DEFAULT_MODEL), core.Request()
    inside = [edge for each in networks() for edge in (each[0], each[-1])]
    for ip in [*map(str, inside), *CRAWLERS.values(), *ELSEWHERE]:
        request.load_record(None, False, agent=b"curl/8", ip=ip.encode())
        found = served.decide(model, request, "default")
        verified = any(ipaddress.ip_address(ip) in each for each in networks())
        assert (found.list, found.outcome == "verified") == ("search-engines" if verified else None, verified), ip
        assert verified == (ip not in ELSEWHERE)


ENFORCE = '[policies.default]\nmode = "enforce"\n'


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        ("", "verified", "verified=search-engines"),
        (ENFORCE, "verified", "verified=search-engines"),
        (ENFORCE + "search_engines = true\n", "verified", "verified=search-engines"),
        (ENFORCE + "search_engines = false\n", "bot", None),
        ("search_engines = false\n", "bot", None),
        ("search_engines = false\n[policies.default]\nsearch_engines = true\n", "verified", "verified=search-engines"),
        ('search_engines = false\n[policies.default]\nverified = ["search-engines"]', "verified", "verified=search-engines"),
        ('[policies.default]\ndeny = ["search-engines"]', "bot", "deny=search-engines"),
        ('[policies.default]\nallow = ["search-engines"]', "human", "allow=search-engines"),
        # His own list of that name takes the place of ours, and a list of his comes before ours.
        ('[lists.search-engines]\nnetworks = ["192.0.2.0/24"]', "bot", None),
        ('[policies.default]\nverified = ["g"]\n[lists.g]\nnetworks = ["66.249.64.0/19"]', "verified", "verified=g"),
        ('[policies.default]\ndeny = ["g"]\n[lists.g]\nnetworks = ["66.249.64.0/19"]', "bot", "deny=g"),
    ],
)  # fmt: skip
def test_the_owner_decides(tmp_path: Path, text: str, outcome: str, reason: str | None) -> None:
    found = decided(tmp_path / "xbot.toml", text, CRAWLERS["Google"])
    assert found.outcome == outcome
    assert found.reason == reason if reason else found.list is None


def test_the_entry_is_named(tmp_path: Path, xbot) -> None:
    (tmp_path / "xbot.toml").write_text(ENFORCE)
    (tmp_path / "head").write_text("GET / HTTP/1.1\nHost: a\nUser-Agent: Googlebot\n")
    words = ("--config", tmp_path / "xbot.toml", "--format", "head", "--ip", CRAWLERS["Google"], tmp_path / "head")
    said = xbot("explain", *words).stdout.decode().replace("\n", " ")
    assert "verified=search-engines: network 66.249.66.0/" in said


@pytest.mark.parametrize("dialect", core.DIALECTS)
def test_without_a_file_and_in_every_dialect(dialect: str) -> None:
    """As `xbot serve --listen ...` has it, with nothing else said; the address is where each proxy writes it."""
    extra = {
        "X-Forwarded-For": CRAWLERS["Google"], "X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/", "X-Forwarded-Host": "a",
        "X-Original-URL": "https://a/", "X-Envoy-External-Address": CRAWLERS["Google"],
    }  # fmt: skip
    with Sidecar(DEFAULT_MODEL, "--mode", "enforce", "--dialect", dialect, workers=1) as sidecar:
        question = head({**extra, **GOOGLEBOT}, ip=CRAWLERS["Google"])
        if dialect == "challenge":
            question = f"GET /?ip={CRAWLERS['Google']}&user_agent=Googlebot HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        reply = ask(sidecar.address, question)
        assert (reply["X-Bot"], reply["X-Bot-Reason"]) == ("verified", "verified=search-engines")
        assert reply.status in (200, 204)


def test_the_age_is_told(tmp_path: Path) -> None:
    """In the log and in the metrics; and not where the list is not used."""
    off = tmp_path / "off.toml"
    off.write_text("search_engines = false\n")
    name = "xbot_search_engines_timestamp_seconds"
    with Sidecar(DEFAULT_MODEL, "--admin", "127.0.0.1:0", workers=1) as sidecar:
        assert sidecar.events("started")[0]["search_engines"] == search_engines.said()
        assert sidecar.metrics()[name] % 86_400 == 0
    with Sidecar(DEFAULT_MODEL, "--config", off, "--admin", "127.0.0.1:0", workers=1) as sidecar:
        assert "search_engines" not in sidecar.events("started")[0]
        assert name not in get(sidecar.admin, "/metrics")[1]


# ---- xbot check ----


@pytest.mark.parametrize(
    ("text", "arguments", "warned"),
    [
        (ENFORCE, (), False),
        ("", ("--mode", "enforce"), False),
        ("search_engines = false\n", (), False),  # nobody is refused
        (ENFORCE + "search_engines = false\n", (), True),
        ("search_engines = false\n", ("--mode", "enforce"), True),
        ("search_engines = false\n" + ENFORCE + 'verified = ["g"]\n[lists.g]\nnetworks = ["66.249.64.0/19"]', (), False),
        (ENFORCE + 'deny = ["search-engines"]\n', (), False),  # the owner has thought of them
    ],
)  # fmt: skip
def test_check_warns_of_enforcing_without(
    tmp_path: Path, xbot, text: str, arguments: tuple[str, ...], warned: bool
) -> None:
    (tmp_path / "xbot.toml").write_text(text)
    (tmp_path / "nginx.conf").write_text("events {}\n")
    done = xbot("check", "--json", "--nginx", tmp_path / "nginx.conf", *arguments, tmp_path / "xbot.toml")
    told = [each for each in json.loads(done.stdout)["findings"] if "search engines may be refused" in each["what"]]
    assert [each["status"] for each in told] == ["warning"] * warned


def test_check_tells_its_age(tmp_path: Path, xbot) -> None:
    (tmp_path / "nginx.conf").write_text("events {}\n")
    done = json.loads(xbot("check", "--json", "--nginx", tmp_path / "nginx.conf", "--listen", "127.0.0.1:9").stdout)
    (told,) = (each for each in done["findings"] if each["what"].startswith("search-engines: "))
    assert search_engines.said() in told["what"]
    assert told["status"] == ("ok" if search_engines.age() < search_engines.OLD else "warning")


# ---- through nginx ----

needs_nginx = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Visitors come from where X-Forwarded-For says, as behind a load balancer that nginx trusts."""
    path = tmp_path_factory.mktemp("engines") / "xbot.toml"
    path.write_text('[policies.default]\nmode = "enforce"\n[policies.no]\nmode = "enforce"\nsearch_engines = false\n')
    with Sidecar(DEFAULT_MODEL, "--config", path, workers=1) as sidecar, EchoSite() as site:
        passed = f"auth_request /_xbot/enforce; include xbot/pass.conf; proxy_pass http://{site.address};"
        server = f"""
            set_real_ip_from 127.0.0.0/8;
            real_ip_header X-Forwarded-For;
            include xbot/enforce.conf;
            location / {{ {passed} }}
            location /no {{ set $xbot_policy no; {passed} }}
        """
        with running_nginx(server, socket=sidecar.address) as running:
            yield running


@needs_nginx
@pytest.mark.parametrize("ip", CRAWLERS.values(), ids=list(CRAWLERS))
def test_a_crawler_is_let_by(nginx: Nginx, ip: str) -> None:
    reply = nginx.ask("/", {**GOOGLEBOT, "X-Forwarded-For": ip})
    assert (reply.status, reply.seen("X-Bot"), reply.seen("X-Bot-Reason")) == (
        200,
        ["verified"],
        ["verified=search-engines"],
    )


@needs_nginx
def test_who_only_says_so_is_judged_by_score(nginx: Nginx) -> None:
    """The same agent from elsewhere; and from Google's network, where the owner says no."""
    assert nginx.ask("/", {**GOOGLEBOT, "X-Forwarded-For": "203.0.113.7"}).status == 403
    assert nginx.ask("/no", {**GOOGLEBOT, "X-Forwarded-For": CRAWLERS["Google"]}).status == 403


def test_every_entry_loads() -> None:
    held = lists.contents(config.load(None), search_engines.NAME)
    assert held.v4
    assert held.v6
    assert [*held.agents, *held.paths] == []
