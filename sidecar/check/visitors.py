"""Whose addresses nginx sees: its visitors', or those of the proxies that they come through.

Law: nginx's configuration says whom it believes, the ends of its logs who came. What is read of a log is bounded, and of its
lines only addresses and agents are looked at; a finding names no address but those that it takes for proxies'.
"""

from __future__ import annotations

import ipaddress
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from sidecar import core
from sidecar.check.findings import Finding, Findings, Status
from sidecar.check.gates import Gate, Setup
from sidecar.check.nginx_conf import Block, Directive
from sidecar.sources import choosing

# A network of more addresses than any proxy's owner has: Cloudflare's widest are /12 and /29.
WIDEST = {4: 8, 6: 20}
PRIVATE = [ipaddress.IPv6Network(text) for text in ("fc00::/7", "fe80::/10")]
TAIL = 1 << 20  # bytes of a log's end
LEAST = 200  # requests, before their addresses say anything
MOST_OF = 0.8  # of all requests, that come from addresses that a proxy's look like
AGENTS = 10  # different ones from one address: more than a family's, and few enough to be seen in the end of a log
NAMED = 3  # addresses in a message
PAGE = "docs/behind-a-proxy.md"


def look(setup: Setup, prefix: Path, unnamed: str | None) -> Findings:
    """Of each server that asks: whom it believes, and who came. `prefix` is where relative paths of logs begin, `unnamed` the log
    where the configuration names none, if that is known."""
    found = Findings()
    servers = {gate.server: gate for gate in setup.gates}
    found.extend(dict.fromkeys(chain(*(chain(believed(gate), chosen(gate)) for gate in servers.values()))))
    logs = {path: gate.server for gate in servers.values() for path in logs_of(gate.server, prefix, unnamed)}
    for path, server in logs.items():
        found.extend(who_came(path, server))
    return found


def _found(status: Status, at: Block | Directive, what: str, mend: str) -> Finding:
    return Finding(status, "nginx", f"{at.place}: {what}", mend)


def believed(gate: Gate) -> Iterator[Finding]:
    """real_ip believes proxies, all of them and nobody else."""
    named = gate.server.in_force("set_real_ip_from")
    header = gate.server.in_force("real_ip_header")
    if header and not named:
        what = f"real_ip_header {header[-1].arg(0)}: nobody is believed, so each visitor has the proxy's address"
        yield _found("wrong", header[-1], what, "set_real_ip_from ADDRESS; of each proxy")
    for each in named:
        if _too_wide(each.arg(0)):
            what = f"set_real_ip_from {each.arg(0)}: visitors are believed too, so each can choose his address"
            yield _found("wrong", each, what, "the addresses of your proxies, and no others")


def _too_wide(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:  # unix:, or a name
        return False
    private = isinstance(network, ipaddress.IPv6Network) and any(network.subnet_of(each) for each in PRIVATE)
    return network.prefixlen < WIDEST[network.version] and not private


def chosen(gate: Gate) -> Iterator[Finding]:
    """The sidecar is told an address that nginx knows, not one that a header says."""
    for each in gate.question.in_force("proxy_set_header") if gate.question else ():
        if each.arg(0).lower() == "x-real-ip" and each.arg(1).startswith(("$http_", "$proxy_add_")):
            what = f"X-Real-IP {each.arg(1)}: a visitor who comes past the proxy can choose his address"
            mend = (
                "X-Real-IP $remote_addr; with set_real_ip_from, real_ip_header and set $xbot_order lost; in the server"
            )
            yield _found("wrong", each, what, mend)


def logs_of(server: Block, prefix: Path, unnamed: str | None) -> Iterator[Path]:
    """The files that the server and its locations write."""
    for block in (server, *server.blocks("location")):
        said = block.in_force("access_log")
        for name in [each.arg(0) for each in said] or [unnamed or ""]:
            if name not in ("", "off") and "$" not in name and not name.startswith(("syslog:", "memory:")):
                yield prefix / name


def who_came(path: Path, server: Block) -> Iterator[Finding]:
    """Most requests come from addresses with many agents each: those are proxies."""
    agents: defaultdict[str, set[bytes]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for address, agent in _visitors(_end(path)):
        counts[address] += 1
        agents[address].add(agent)
    proxies = [address for address, _ in counts.most_common() if len(agents[address]) >= AGENTS]
    share = sum(counts[address] for address in proxies) / max(1, counts.total())
    if counts.total() < LEAST or share < MOST_OF:
        return
    named = ", ".join(proxies[:NAMED]) + (f" and {len(proxies) - NAMED} more" if len(proxies) > NAMED else "")
    said = "set_real_ip_from does not name them" if server.in_force("set_real_ip_from") else "real_ip is missing"
    what = (
        f"{path}: {share:.0%} of the last {counts.total():,} requests come from {named}, with {AGENTS} agents or more each: "
        f"proxies, whose addresses are taken for their visitors'; {said}"
    )
    lines = " ".join(f"set_real_ip_from {address};" for address in proxies[:NAMED])
    yield Finding("warning", "nginx", what, f"if they are yours: {lines} real_ip_header X-Forwarded-For; see {PAGE}")


def _visitors(lines: list[bytes]) -> Iterator[tuple[str, bytes]]:
    form = choosing.guess(lines[-100:])
    if form is None:
        return
    request, load = core.Request(), form.opened().load
    for line in lines:
        try:
            load(line, request)
        except core.LineError:
            continue
        fields = request.fields
        if fields["ip"]:
            yield fields["ip"].decode(), fields["agent"] or b""


def _end(path: Path) -> list[bytes]:
    """The last whole lines of a log; none of what is no file or cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            text = file.read(TAIL)
    except OSError:
        return []
    lines = text.split(b"\n")
    return [line for line in lines[1 if size > TAIL else 0 :] if line.strip()]
