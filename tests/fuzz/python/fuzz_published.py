"""What others publish and answer: lists of networks, directories of keys, answers of the DNS, robots.txt. The first byte says which.

Each is taken whole and sound, or refused by the errors that its callers know; an address is confirmed only by records that say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import sys
import tempfile
from pathlib import Path
from typing import Any

try:
    import atheris
except ImportError:
    atheris = None

sys.path[:0] = [str(Path(__file__).parents[2] / "support"), str(Path(__file__).parents[3])]

with atheris.instrument_imports(["sidecar.verify", "dns", "protego"]) if atheris else contextlib.nullcontext():
    import dns.asyncresolver
    import dns.exception
    import dns.message
    import dns.name
    import dns.nameserver
    import dns.rdatatype
    import dns.reversename
    import protego  # noqa: F401 - or it would be loaded later, and not be watched

    from sidecar.errors import XbotError
    from sidecar.verify import lookups, ranges, robots, signatures

KEPT = tempfile.TemporaryDirectory(prefix="xbot-fuzz-")
PLACE = Path(KEPT.name)
TODAY = datetime.date(2026, 11, 27)


def check_list(data: bytes) -> None:
    """A list of networks: what is taken is public, no wider than allowed, and the same after it was kept."""
    try:
        networks = ranges.published("gptbot", data)
    except XbotError as error:
        assert str(error).startswith("gptbot: ")
        return
    allowed = ranges.bounds("gptbot")
    assert networks
    assert sum(each.num_addresses for each in networks if each.version == 4) <= allowed.most
    for each in networks:
        # Neighbours become one network that is wider than each was, so their parts are looked at.
        assert each[0].is_global
        assert each[-1].is_global
    kept = PLACE / "gptbot.txt"
    kept.write_text(ranges.text_of(networks, TODAY, "https://example.com/list"))
    text = kept.read_text()
    assert ranges.checked("gptbot", ranges._entries(text), ranges.Bounds({4: 0, 6: 0}, allowed.most)) == networks


def check_keys(data: bytes) -> None:
    """A directory of keys: each is 32 bytes under its own thumbprint, and the same after it was kept."""
    where = "https://agent.test/.well-known/http-message-signatures-directory"
    try:
        keys = signatures.keys_of(data, 3, where)
        text = signatures.text_of(data, where, TODAY)
    except (ValueError, RecursionError):  # as refresh.py knows
        return
    assert keys
    for name, key in keys.items():
        assert len(key.x) == 32
        assert name == signatures.thumbprint(key.x)
        assert (key.crawler, key.origin) == (3, "https://agent.test")
    signatures.file_of(PLACE, "agent").write_text(text)
    found = signatures.kept(PLACE, "agent")
    assert found is not None
    assert signatures.heard(signatures.told(keys)) == keys


class Answers(dns.nameserver.AddressAndPortNameserver):
    """A name server that answers with these messages in turn, whatever it is asked; the number of the question is right."""

    def __init__(self, wires: list[bytes]) -> None:
        super().__init__("192.0.2.53", 53)
        self.wires, self.at = wires, 0

    def kind(self) -> str:
        return "fuzz"

    def is_always_max_size(self) -> bool:
        return True

    async def async_query(self, request: Any, *arguments: Any, **options: Any) -> Any:
        wire = self.wires[self.at % len(self.wires)]
        self.at += 1
        answer = dns.message.from_wire(request.to_wire()[:2] + wire[2:])
        if not request.is_response(answer):
            raise dns.exception.FormError
        return answer


ADDRESS = "9.9.9.9"
DOMAIN = dns.name.from_text("yandex.com")


def check_dns(data: bytes) -> None:
    """Two messages, the first as long as its first byte says: of the name, and of its addresses."""
    wires = [data[1 : 1 + data[0]], data[1 + data[0] :]] if data else [b"", b""]
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [Answers(wires)]
    resolver.lifetime, resolver.retry_servfail = 0.05, False
    looking = lookups.Looking(resolver, [DOMAIN], None, 1, 1.0)  # type: ignore[arg-type]
    try:
        found, seconds = asyncio.run(looking.confirmed(ipaddress.ip_address(ADDRESS).packed))
    except (dns.exception.DNSException, OSError, ValueError):  # as Looking._answer knows
        return
    assert lookups._LEAST <= seconds <= lookups._MOST_YES
    if found:
        records = [each for wire in wires for each in _records(wire)]
        assert any(kind == "PTR" and text.lower().rstrip(".").endswith("yandex.com") for kind, text in records)
        assert ("A", ADDRESS) in records


def _records(wire: bytes) -> list[tuple[str, str]]:
    try:
        message = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return []
    return [(dns.rdatatype.to_text(each.rdtype), str(one)) for each in message.answer for one in each]


# Of every spelling that protego takes for a rule: disallow, dissalow, disalow, diasllow, disallaw ...
RULES = ("allow", "alow", "allaw", "asllow")


def check_robots(data: bytes) -> None:
    """A robots.txt and, behind a zero byte, a target and an agent: robots.txt itself is never forbidden, and without a rule nothing is."""
    text, target, agent = [*data.split(b"\0", 2), b"", b""][:3]
    told = text.decode("utf-8-sig", "replace")
    rules = robots.Rules(told)
    forbidden = rules.forbids(target, (agent.decode("latin-1"),))
    if not any(word in told.lower() for word in RULES):
        assert not forbidden
    assert not rules.forbids(b"/robots.txt", (agent.decode("latin-1"),))
    assert not (forbidden and robots.is_robots(target))


KINDS = (check_list, check_keys, check_dns, check_robots)


def seeds() -> list[bytes]:
    """What is right of each kind."""
    lists = [
        b'{"creationTime": "2026-01-02", "prefixes": [{"ipv6Prefix": "2001:4860:4801:10::/64"}, {"ipv4Prefix": "66.249.64.0/27"}]}',
        b"# ours\n8.8.8.0/25 # half\n8.8.8.128/25\n2600::/48\n",
    ]
    keys = [
        b'{"keys": [{"kty": "RSA"}, 1, {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs", "kid": "a"}]}'
    ]
    texts = [
        b"User-agent: *\nDisallow: /a/*b$\nAllow: /a/\n\nUser-agent: GPTBot\nDisallow: /\0/a/xb?c\0Mozilla/5.0 (compatible; GPTBot/1.2)",
        b"useragent: *\ndiasllow: /\0/a\0curl/8",
        b"useragent *\ndissalow %2F\0http://site/%61/x#f\0curl/8",
    ]
    reverse = dns.reversename.from_address(ADDRESS)
    asked = dns.message.make_query(reverse, "PTR"), dns.message.make_query("spider.yandex.com.", "A")
    wires = []
    for query, name, kind, data in (
        (asked[0], reverse, "PTR", "spider.yandex.com."),
        (asked[1], dns.name.from_text("spider.yandex.com."), "A", ADDRESS),
    ):
        answer = dns.message.make_response(query)
        answer.answer.append(dns.rrset.from_text(name, 3600, "IN", kind, data))
        wires.append(answer.to_wire())
    answers = [bytes([len(wires[0])]) + b"".join(wires), bytes([len(wires[0])]) + wires[0] + wires[0]]
    return [bytes([kind]) + each for kind, every in enumerate((lists, keys, answers, texts)) for each in every]


def check(data: bytes) -> None:
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
