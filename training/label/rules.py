"""rules.py - files of rules: read, checked and laid over one another.

Law: whatever is wrong with a file is one XbotError that names the file and the line or the field. A later file changes
the fields that it gives of a rule with the same name, and adds the rules that are new.

Each struct below is one table of such a file; docs/labelling.md explains them by examples.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from sidecar import core, inputs
from sidecar.errors import XbotError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).with_name("rules.toml")
# Contradictions of what costs a visitor most to change. Those of headers are what the model is to learn, and anybody's to avoid.
HANDSHAKE_ODD = tuple(row.name for row in core.FEATURES if row.group == "tls" and row.name.startswith("odd_"))
Verdict = Literal["bot", "human", "unknown"]
T = TypeVar("T")


class Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A table of the file: a field that it does not know is a mistake."""


class Match(Table, frozen=True):
    """Conditions on one request. Words of one field are alternatives; the fields must all hold.

    agent, path, query, uri, referrer, protocol, header: regular expressions, found anywhere, letters without regard to
    case. `path` is decoded and has single slashes; `uri` is as it came. agent_in, ip_in: names of sets. ip: networks.
    status: numbers or classes like "2xx". odd: rows of features.def that say how a handshake contradicts its agent.
    """

    agent: tuple[str, ...] = ()
    agent_in: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    ip_in: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    uri: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    status: tuple[int | str, ...] = ()
    referrer: tuple[str, ...] = ()
    referrer_is: tuple[Literal["own", "external", "none"], ...] = ()
    odd: tuple[str, ...] = ()
    header: Mapping[str, tuple[str, ...]] = {}

    def fields(self) -> dict[str, tuple[Any, ...]]:
        """The fields that say something: name -> words. Those of `header` are named `header.name`."""
        plain = {name: getattr(self, name) for name in self.__struct_fields__ if name != "header"}
        headers = {f"header.{name.lower()}": words for name, words in self.header.items()}
        return {name: words for name, words in {**plain, **headers}.items() if words}


class Bounds(Table, frozen=True):
    """What a count must lie between, ends included; a share is of all requests of the client (or of the log)."""

    least: int | None = None
    most: int | None = None
    least_share: float | None = None
    most_share: float | None = None

    def hold(self, count: int, requests: int) -> bool:
        """Whether `count` of `requests` lies within."""
        share = count / requests if requests else 0.0
        return (
            (self.least is None or count >= self.least)
            and (self.most is None or count <= self.most)
            and (self.least_share is None or share >= self.least_share)
            and (self.most_share is None or share <= self.most_share)
        )


class Count(Table, frozen=True):
    """A thing to count for each client: requests that match and are not excepted.

    `take` says which of them: all; those to the path that has the most (`same-path`); or how many different targets,
    or hosts of referrers, they have (never too many; up to 64). A `site` bound looks at all of them.
    """

    doc: str
    match: Match = Match()
    unless: Match = Match()
    take: Literal["all", "same-path", "different-uri", "different-referrer"] = "all"


class Rule(Table, frozen=True):
    """One rule. It fires for a request that matches and is not excepted (kind "request"), or for all requests of a
    client (kind "client") of which one matches and is not excepted, whose counts lie within `count`, in a log whose own
    lie within `site`. With `missing`, only in a log where nothing that it matches was ever there.
    """

    verdict: Verdict
    doc: str
    kind: Literal["request", "client"] = "client"
    strength: int = 1
    match: Match = Match()
    unless: Match = Match()
    count: Mapping[str, Bounds] = {}
    site: Mapping[str, Bounds] = {}
    missing: bool = False
    off: bool = False


class Agents(Table, frozen=True):
    """A set of user agents: those of a package's entries, by their tags, and patterns of one's own."""

    doc: str
    package: Literal["crawler-user-agents"] | None = None
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    except_patterns: tuple[str, ...] = ()
    off: bool = False


class Networks(Table, frozen=True):
    """A set of networks: `published`, those by which the sidecar verifies crawlers; lists of the package pymispwarninglists, files of
    one's own, and networks in place."""

    doc: str
    published: bool = False
    lists: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    off: bool = False


_TABLES: dict[str, type[Table]] = {"agents": Agents, "networks": Networks, "count": Count, "rule": Rule}


@dataclass(frozen=True)
class RuleBook:
    """All that the files say. `where` names the file of each table, such as `rule.robots-txt`, for messages."""

    agents: dict[str, Agents]
    networks: dict[str, Networks]
    counts: dict[str, Count]
    rules: dict[str, Rule]
    where: dict[str, Path]


def read(files: Sequence[Path] = (), off: Iterable[str] = (), traps: Sequence[str] = ()) -> RuleBook:
    """The shipped rules with `files` laid over them, the rules and sets named in `off` switched off, and `traps`, paths
    that no person finds, added to the rule `trap`. XbotError names what is wrong, and where."""
    tables: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _TABLES}
    where: dict[str, Path] = {}
    for path in (SHIPPED, *files):
        for kind, named in _parse(path).items():
            for name, table in named.items():
                tables[kind].setdefault(name, {}).update(_anchored(table, path) if kind == "networks" else table)
                where[f"{kind}.{name}"] = path
    for name in off:
        _switch_off(name, tables)
    book = RuleBook(
        agents={name: _convert("agents", name, t, where, Agents) for name, t in tables["agents"].items()},
        networks={name: _convert("networks", name, t, where, Networks) for name, t in tables["networks"].items()},
        counts={name: _convert("count", name, t, where, Count) for name, t in tables["count"].items()},
        rules={name: _convert("rule", name, t, where, Rule) for name, t in tables["rule"].items()},
        where=where,
    )
    if traps:
        book.rules["trap"] = _with_traps(book.rules["trap"], traps)
    _check(book)
    return book


def _parse(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """A file's tables by kind and name, as they stand."""
    text = inputs.read_text(path, pipe=True)
    try:
        top = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+)", str(error))
        at = f":{line.group(1)}" if line else f":{len(text.splitlines())}"
        raise XbotError(f"{path}{at}: not TOML: {error}") from None
    for kind, named in top.items():
        if kind not in _TABLES:
            raise XbotError(f"{path}: {kind}: no such table; there are {', '.join(_TABLES)}")
        for name, table in named.items() if isinstance(named, dict) else [("", named)]:
            if not isinstance(table, dict):
                raise XbotError(f"{path}: {kind}: expected tables such as [{kind}.name]")
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise XbotError(f"{path}: {kind}.{name}: a name has lower-case letters, digits, - and _")
    return top


def _anchored(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """Names of files in a table count from the place of the file that names them."""
    if isinstance(table.get("files"), list):
        table["files"] = [str(path.parent / name) if isinstance(name, str) else name for name in table["files"]]
    return table


def _switch_off(name: str, tables: dict[str, dict[str, dict[str, Any]]]) -> None:
    found = [tables[kind][name] for kind in ("rule", "agents", "networks") if name in tables[kind]]
    if not found:
        raise XbotError(f"--off {name}: no rule or set of that name; --list shows them")
    for table in found:
        table["off"] = True


def _convert(kind: str, name: str, table: dict[str, Any], where: dict[str, Path], to: type[T]) -> T:
    """A checked table. XbotError with file and field if it is not one."""
    try:
        return msgspec.convert(table, to)
    except msgspec.ValidationError as error:
        why, _, at = str(error).partition(" - at `$")
        raise XbotError(
            f"{where[f'{kind}.{name}']}: {kind}.{name}{at.rstrip('`')}: {why[:1].lower() + why[1:]}"
        ) from None


def _with_traps(rule: Rule, traps: Sequence[str]) -> Rule:
    for path in traps:
        if not path.startswith("/"):
            raise XbotError(f"--trap {path}: a path starts with /")
    exact = tuple(f"^{re.escape(path)}{'' if path.endswith('/') else '$'}" for path in traps)
    match = msgspec.structs.replace(rule.match, path=rule.match.path + exact)
    return msgspec.structs.replace(rule, match=match)


def _check(book: RuleBook) -> None:
    """What the shape of the tables cannot say: names that must exist, patterns and networks that must be readable."""

    def fail(table: str, field: str, why: str) -> None:
        raise XbotError(f"{book.where[table]}: {table}.{field}: {why}")

    def check_match(table: str, field: str, match: Match) -> None:
        for name, words in match.fields().items():
            sets = sorted(book.agents) if name == "agent_in" else sorted(book.networks)
            for word in words:
                if name in ("agent_in", "ip_in"):
                    why = "" if word in sets else f"no set {word!r}; there are {', '.join(sets)}"
                else:
                    why = _mistake(name, word)
                if why:
                    fail(table, f"{field}.{name}", why)

    for name, agents in book.agents.items():
        for field in ("patterns", "except_patterns"):
            for word in getattr(agents, field):
                if why := _mistake("agent", word):
                    fail(f"agents.{name}", field, why)
    for name, networks in book.networks.items():
        for word in networks.ip:
            if why := _mistake("ip", word):
                fail(f"networks.{name}", "ip", why)
    for name, count in book.counts.items():
        check_match(f"count.{name}", "match", count.match)
        check_match(f"count.{name}", "unless", count.unless)
    for name, rule in book.rules.items():
        check_match(f"rule.{name}", "match", rule.match)
        check_match(f"rule.{name}", "unless", rule.unless)
        for field, bounds in (("count", rule.count), ("site", rule.site)):
            for counted in bounds:
                if counted not in book.counts and counted != "requests":
                    fail(f"rule.{name}", field, f"no count {counted!r}; there are requests, {', '.join(book.counts)}")
        if rule.kind == "request" and rule.count:
            fail(f"rule.{name}", "count", 'only a rule of kind "client" counts')
        if not (rule.match.fields() or rule.unless.fields() or rule.count):
            fail(f"rule.{name}", "match", "missing: the rule would fire for everything")


def _mistake(field: str, word: Any) -> str:
    """What is wrong with one word of a condition; empty if nothing is."""
    if field == "ip":
        try:
            ip_network(word)
        except ValueError as error:
            return str(error)
    elif field == "status":
        if not re.fullmatch(r"[1-5](xx|\d\d)", str(word)):
            return f"{word!r} is no status such as 404 or '4xx'"
    elif field == "odd":
        if word not in HANDSHAKE_ODD:
            return f"{word!r} is no contradiction of a handshake; there are {', '.join(HANDSHAKE_ODD)}"
    elif field not in ("method", "referrer_is"):
        try:
            re.compile(word)
        except re.error as error:
            return f"{word!r} is no regular expression: {error}"
    return ""
