"""robots.txt, as the policies would have it: written from what they say of each crawler, and compared with the one that a site
serves.

Law: a word of a policy stands for itself. `deny` is `Disallow` for the names of that crawler, those that are never sent too; `allow` and
`score` ask for nothing. Purposes make the usage lines: Content-Signal (contentsignals.org, draft-romm-aipref-contentsignals) and
Content-Usage (draft-ietf-aipref-attach, draft-ietf-aipref-vocab), `allow` as yes, `deny` as no, and otherwise none. Rules are those of
RFC 9309: a crawler takes the group of its name alone, and of its rules the longest that fits. A robots.txt is read from a file, or from
the site itself on this machine: nothing is asked for elsewhere, and no redirect is followed.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from sidecar import extras
from sidecar.errors import XbotError
from sidecar.inputs import read_bytes
from sidecar.verify import catalogue

Words = Mapping[str, str]  # purpose or crawler -> allow, deny or score
Rule = tuple[str, bool]  # how a path begins, and whether it may be fetched
# What a purpose is called, in Content-Signal and Content-Usage.
_SIGNALS = {"search": ("search",), "ai-input": ("ai-search", "assistant"), "ai-train": ("training",)}
_USAGES = {"search": ("search",), "train-ai": ("training",)}
_FOR_ALL = "*"
_SECONDS, _MOST_BYTES = 5.0, 512 << 10  # RFC 9309 has crawlers read as much at least
_LONGEST = 2048  # bytes of a target that are compared
_REMEMBERED = 1 << 14  # answers


def word_of(words: Words, crawler: str) -> str:
    """What a policy says of a crawler: its name stands above its purpose."""
    return words.get(crawler, words.get(catalogue.load().crawlers[crawler].purpose, "score"))


def text(default: Words, below: Mapping[str, Words], license_: str | None = None) -> str:
    """The file. `default`: what the policy of the whole site says; `below`: what that of each path prefix says; `license_`: the address
    of a licence in Really Simple Licensing."""
    usage = [
        *_line("Content-Signal", _SIGNALS, default, "yes", "no"),
        *_line("Content-Usage", _USAGES, default, "y", "n"),
    ]
    groups: dict[tuple[Rule, ...], list[str]] = {}
    rules_of = {name: _rules(name, default, below) for name in catalogue.load().crawlers}
    ruled = tuple(a for name, rules in rules_of.items() if rules for a in catalogue.load().crawlers[name].agents)
    for name, each in catalogue.load().crawlers.items():
        # Some readers take a group for every name that begins with its own: `ai2bot` for `ai2bot-deepresearcheval`.
        mistaken = any(agent.startswith(ruled) for agent in each.agents)
        if rules := rules_of[name] or ((("/", True),) if mistaken else ()):
            groups.setdefault(rules, []).extend(each.agents)
    out = ["# Made by `xbot robots` from the policies of xbot.toml."]
    if license_ is not None:
        if not license_.startswith(("https://", "http://")) or license_.split() != [license_]:
            raise XbotError(f"--license: {license_!r} is no address")
        out += [f"License: {license_}"]
    out += ["", f"User-agent: {_FOR_ALL}", *usage, "Allow: /"]
    for rules, agents in groups.items():
        whole = rules == (("/", False),)
        out += ["", *(f"User-agent: {agent}" for agent in agents), *([] if whole else usage)]
        out += [f"{'Allow' if may else 'Disallow'}: {quote(path, safe='/-._~!&+,;=:@()')}" for path, may in rules]
    return "\n".join(out) + "\n"


def _rules(name: str, default: Words, below: Mapping[str, Words]) -> tuple[Rule, ...]:
    """Those of one crawler; none if all is allowed."""
    may = word_of(default, name) != "deny"
    rules = [(path, word_of(words, name) != "deny") for path, words in sorted(below.items())]
    others = [(path, allowed) for path, allowed in rules if allowed != may]
    return (*([] if may else [("/", False)]), *others)


def _line(field: str, names: Mapping[str, Iterable[str]], words: Words, yes: str, no: str) -> list[str]:
    """A line of usages; none where the policy says nothing of them. Of a usage with several purposes, only if they agree."""
    said = []
    for usage, purposes in names.items():
        found = {words.get(purpose, "score") for purpose in purposes}
        if found in ({"allow"}, {"deny"}):
            said.append(f"{usage}={yes if found == {'allow'} else no}")
    return [f"{field}: {', '.join(said)}"] if said else []


class Rules:
    """A robots.txt as crawlers read it (protego); XbotError where protego is not installed. What `forbids` says of an agent and a target
    is remembered, within bounds: agents and targets are what visitors chose."""

    def __init__(self, text: str) -> None:
        try:
            from protego import Protego
        except ImportError:
            raise XbotError(f"robots.txt needs protego, which is not installed: {extras.command('verify')}") from None
        self._parse = functools.partial(Protego.parse, text)
        self._parsed, self._asked = self._parse(), 0
        self.forbids = functools.lru_cache(_REMEMBERED)(self._forbids)

    def _forbids(self, target: bytes, agents: tuple[str, ...]) -> bool:
        """Whether all of these agents are told to leave a request's target alone; robots.txt itself never is."""
        path = _path(target)
        self._asked += len(agents)
        if self._asked > _REMEMBERED:  # protego remembers each agent for ever
            self._parsed, self._asked = self._parse(), 0
        return path is not None and not any(self._parsed.can_fetch(f"http://site{path}", agent) for agent in agents)


def is_robots(target: bytes) -> bool:
    """Whether this target is robots.txt."""
    path = _path(target)
    return path is not None and path.partition("?")[0] == "/robots.txt"


def _path(target: bytes) -> str | None:
    """Path and query of a target, in the origin or the absolute form; None for what is no path, such as `*`."""
    text = target[:_LONGEST].decode("utf-8", "replace")
    if not text.startswith("/"):
        before, mark, behind = text.partition("://")
        if not mark or not before.isalpha():
            return None
        text = "/" + behind.partition("/")[2]
    return text.partition("#")[0]


def read(place: str) -> str:
    """The robots.txt at a path, or at an address of this machine; XbotError if it cannot be had."""
    data = _fetched(place) if "://" in place else read_bytes(Path(place))
    return data[:_MOST_BYTES].decode("utf-8-sig", "replace")


def _fetched(address: str) -> bytes:
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if parts.scheme not in ("http", "https") or not local:
        raise XbotError(f"{address}: not of this machine: http://127.0.0.1/robots.txt, or a file")
    import urllib.request  # seldom needed, and slow to import

    class Stay(urllib.request.HTTPRedirectHandler):
        """No redirect is followed: it could lead elsewhere."""

        def redirect_request(self, *_: object) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay())
    try:
        with opener.open(address, timeout=_SECONDS) as reply:
            found: bytes = reply.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise XbotError(f"{address}: {error}") from None
    return found


def contradictions(served: str, default: Words, below: Mapping[str, Words]) -> list[str]:
    """Where a robots.txt and the policies do not agree, a line each: who is denied is invited, or who is let in is kept out."""
    rules = Rules(served)
    out = []
    for path, words in {"/": default, **below}.items():
        invited, kept_out = [], []
        for name, each in catalogue.load().crawlers.items():
            word = word_of(words, name)
            may = [not rules.forbids(path.encode(), (agent,)) for agent in each.agents]
            if word == "deny" and any(may):
                invited.append(name)
            elif word == "allow" and not all(may):
                kept_out.append(name)
        if invited:
            out.append(
                f"{path}: the policy denies {_some(invited)}, and robots.txt lets them in: they come, and are refused"
            )
        if kept_out:
            out.append(f"{path}: the policy lets in {_some(kept_out)}, and robots.txt keeps them out")
    return out


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
