"""What a list holds: networks, agents' words and path prefixes, from the configuration and from files. And the path prefixes
of policies.

Law: text in, checked entries out; a mistake names the file and line, or the option. A file has one entry a line; what
follows a # is a comment. Crawlers' owners publish their networks as JSON ({"prefixes": [{"ipv4Prefix": ...}]}): such a
file is read as it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from sidecar import core
from sidecar.config.options import Entries
from sidecar.config.plan import Plan
from sidecar.errors import MistakesError, XbotError
from sidecar.inputs import MOST_OF_A_LIST, read_text

T = TypeVar("T")
Range = tuple[int, int]  # first and last address, as numbers

LONGEST = 255  # bytes of an agent's words or a path
_LONGEST_LINE = 4096  # characters of any entry: of one that is longer no word is told
_MOST_MISTAKES = 100  # of a file that are told: one of another kind has millions
_FIRST_WORD = re.compile(rb"[a-z0-9\x80-\xff]+")


@dataclass(frozen=True)
class Contents:
    """`v4`, `v6`: ascending, none touching another; `agents`: lower case; `paths`: ascending, none a prefix of another, with a zero byte
    behind one that is named alone; `source`: the bit by which its networks are known that lie among those of crawlers (crawlers.py),
    else 0."""

    v4: list[Range]
    v6: list[Range]
    agents: list[bytes]
    paths: list[bytes]
    source: int = 0


class _Prefix(msgspec.Struct, rename="camel"):
    ipv4_prefix: str | None = None
    ipv6_prefix: str | None = None


class _Published(msgspec.Struct):
    prefixes: list[_Prefix]


def contents(plan: Plan, name: str) -> Contents:
    """All that the list of this name holds; MistakesError if an entry is none or a file cannot be read."""
    listed, wrong = plan.lists[name], list[str]()
    networks = list(_entries(plan, name, "network", listed.networks, listed.network_files, network, wrong))
    agents = set(_entries(plan, name, "agent", listed.agents, listed.agent_files, agent, wrong))
    paths = list(_entries(plan, name, "path", listed.paths, listed.path_files, listed_path, wrong))
    if wrong:
        raise MistakesError(wrong)
    ranges: dict[int, list[Range]] = {4: [], 6: []}
    for each in networks:
        ranges[each.version].append((int(each.network_address), int(each.broadcast_address)))
    return Contents(_merged(ranges[4]), _merged(ranges[6]), sorted(agents), _shortest(paths))


def routes(plan: Plan) -> list[tuple[bytes, str]]:
    """(path prefix, policy) of each path of a policy, the longer before the shorter; MistakesError if one is none, or stands in
    two policies."""
    places: dict[bytes, str] = {}
    found, wrong = list[tuple[bytes, str]](), list[str]()
    for name, policy in plan.policies.items():
        for i, text in enumerate(policy.paths):
            field = f"policies.{name}.paths[{i}]"
            try:
                prefix = path(text)
            except ValueError as error:
                wrong.append(str(plan.wrong(field, str(error))))
                continue
            if places.setdefault(prefix, field) != field:
                wrong.append(str(plan.wrong(field, f"{text!r} is in {places[prefix]} already")))
            found.append((prefix, name))
    if wrong:
        raise MistakesError(wrong)
    return sorted(found, key=lambda route: -len(route[0]))


def naming(plan: Plan, name: str, names: Callable[[Entries], bool]) -> str | None:
    """The entry of a list for which `names` is true of the list that holds it alone, with its kind and file; None if
    there is none. Halves the list until one entry is left: csrc/ decides each time, so nothing is decided a second time here."""
    listed = plan.lists[name]
    for kind in ("network", "agent", "path"):
        found = [(f"lists.{name}.{kind}s", text) for text in getattr(listed, f"{kind}s")]
        for file in getattr(listed, f"{kind}_files"):
            place = plan.named(file)
            found += [(f"{place}:{n}", text) for n, text in _lines(plan, f"lists.{name}.{kind}_files", place)]
        if not found or not names(_only(kind, found)):
            continue
        while len(found) > 1:
            half = found[: len(found) // 2]
            found = half if names(_only(kind, half)) else found[len(half) :]
        return f"{kind} {found[0][1]} ({found[0][0]})"
    return None


def _only(kind: str, entries: Sequence[tuple[str, str]]) -> Entries:
    return msgspec.convert({f"{kind}s": [text for _, text in entries]}, Entries)


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network or an address; ValueError says why it is none."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        if "host bits" not in str(error):
            raise ValueError(f"{text!r} is no IPv4 or IPv6 network") from None
        raise ValueError(
            f"{text!r} has bits behind its prefix; is {ipaddress.ip_network(text, strict=False)} meant?"
        ) from None
    # A visitor from ::ffff:192.0.2.1 is taken for one from 192.0.2.1.
    mapped = found.version == 6 and found.prefixlen >= 96 and found.network_address.ipv4_mapped
    return ipaddress.ip_network((mapped, found.prefixlen - 96)) if mapped else found


def agent(text: str) -> bytes:
    """Words of a User-Agent, lower case; ValueError says why these cannot be found in one."""
    words = text.encode().lower()  # of bytes: ASCII letters only, as csrc/ compares them
    first = _FIRST_WORD.match(words)
    if first is None:
        raise ValueError(f"{text!r} does not begin with a letter or a digit")
    if first.group().isdigit():
        raise ValueError(f"{text!r} begins with a bare number; begin with a word that has a letter")
    if len(words) > LONGEST:
        raise ValueError(f"longer than {LONGEST} bytes")
    return words


def path(text: str) -> bytes:
    """The beginning of a path; ValueError says why no path begins so."""
    if "\0" in text:
        raise ValueError(f"{text!r} has a zero byte")
    prefix = text.encode()
    if not prefix.startswith(b"/"):
        raise ValueError(f"{text!r} does not begin with a slash")
    if len(prefix) > LONGEST:
        raise ValueError(f"longer than {LONGEST} bytes")
    resolved = core.resolve_path(prefix)
    if resolved != prefix:
        raise ValueError(
            f"paths are compared decoded and resolved; write {resolved.decode('utf-8', 'replace')!r} for {text!r}"
        )
    return prefix


def listed_path(text: str) -> bytes:
    """As `path`; one that ends with `$` names the path before that alone, and a zero byte says so in the image."""
    return path(text[:-1]) + b"\0" if text.endswith("$") else path(text)


def _entries(
    plan: Plan,
    name: str,
    kind: str,
    inline: Sequence[str],
    files: Sequence[str],
    read: Callable[[str], T],
    wrong: list[str],
) -> Iterator[T]:
    """The entries of one kind, of the configuration and of files; a line for each mistake goes into `wrong`."""
    for i, text in enumerate(inline):
        try:
            yield read(text)
        except ValueError as error:
            wrong.append(str(plan.wrong(f"lists.{name}.{kind}s[{i}]", str(error))))
    for i, file in enumerate(files):
        place = plan.named(file)
        try:
            entries = list(_lines(plan, f"lists.{name}.{kind}_files[{i}]", place))
        except XbotError as error:
            wrong.append(str(error))
            continue
        enough = len(wrong) + _MOST_MISTAKES
        for number, text in entries:
            try:
                yield read(text)
            except ValueError as error:
                wrong.append(f"{place}:{number}: {kind}: {error}")
            if len(wrong) == enough:
                wrong.append(f"{place}:{number}: the rest of it was not looked at")
                break


def _lines(plan: Plan, field: str, place: Path) -> Iterator[tuple[int, str]]:
    """(line, entry) of each line of a file that has one; XbotError with the field that names a file that is none."""
    try:
        text = read_text(place, MOST_OF_A_LIST)
        published = text.lstrip().startswith("{")
        for number, entry in _published(place, text) if published else _listed(text):
            if len(entry) > _LONGEST_LINE:
                raise XbotError(f"{place}:{number}: {len(entry)} characters, and an entry has at most {_LONGEST_LINE}")
            yield number, entry
    except XbotError as error:
        raise plan.wrong(field, str(error)) from None


def _listed(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if entry := line.partition("#")[0].strip():
            yield number, entry


def _published(place: Path, text: str) -> Iterator[tuple[int, str]]:
    try:
        prefixes = msgspec.json.decode(text, type=_Published).prefixes
    except (msgspec.DecodeError, RecursionError) as error:
        raise XbotError(f"{place}: not JSON with prefixes, as crawlers' owners publish it: {error}") from None
    at, line = 0, 1  # the entries stand in the text in their order
    for prefix in prefixes:
        entry = prefix.ipv4_prefix or prefix.ipv6_prefix or ""
        found = text.find(f'"{entry}"', at)
        if found >= 0:
            line += text.count("\n", at, found)
            at = found + 1
        yield line, entry


def _merged(ranges: list[Range]) -> list[Range]:
    out: list[Range] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return out


def _shortest(prefixes: Iterable[bytes]) -> list[bytes]:
    out: list[bytes] = []
    for prefix in sorted(set(prefixes)):
        if not (out and prefix.startswith(out[-1])):
            out.append(prefix)
    return out
