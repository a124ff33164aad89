"""traffic.py - the requests of logs, one after another, and which host is the site's own.

Law: one pass, memory that does not grow with the logs. A log in the combined format does not say which site it is of,
and a rule on "the site's own referrer" has to know: the answer is taken from the head of the first log, or given.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import reading
from sidecar.sources.formats import find
from sidecar.sources.lines import Unreadable, of_block, of_logs

HEAD = 32  # blocks of reading.BLOCK bytes that the guess of the own host sees
LONGEST = 512  # bytes kept of what a visitor chose freely: it tells enough, and a visitor may choose 60,000
LEAST_ADDRESSES = 2  # that agree on a host before it is taken for the site's own
# The parts of a page: the kinds that csrc/features/url.c calls assets.
ASSET = re.compile(rb"\.(css|m?js|png|jpe?g|gif|ico|svg|webp|avif|woff2?|ttf|map|mp4|webm)(\?|$)", re.IGNORECASE)
_HOST = re.compile(rb"^[a-z][a-z0-9+.-]{0,14}://(?:[^/?#@]*@)?(\[[^\]/]*\]|[^/?#:]*)", re.IGNORECASE)


@dataclass(frozen=True)
class OwnHosts:
    """The hosts whose referrers are the site's own, without `www.`; `said` is how they are known, for people."""

    hosts: frozenset[bytes]
    said: str

    def own(self, referrer: bytes | None, host: bytes | None) -> bool:
        """Whether a referrer is a page of the site: of these hosts, or of the host that was asked."""
        named = host_of(referrer)
        return bool(named) and (named in self.hosts or (host is not None and named == plain_host(host)))


def host_of(referrer: bytes | None) -> bytes:
    """The host that a referrer names: lower case, no port, no `www.`; empty if it names none."""
    found = _HOST.match(referrer) if referrer else None
    return plain_host(found.group(1)) if found else b""


def plain_host(host: bytes) -> bytes:
    """A host without port and `www.`, in lower case."""
    if host.startswith(b"["):
        host = host[1:].partition(b"]")[0]
    elif host.count(b":") == 1:
        host = host.partition(b":")[0]
    return host.lower().removeprefix(b"www.")


class Traffic:
    """The requests of `logs`. `own` is known before the first one comes.

    `given`: the site's hosts; without them the host is guessed from the first HEAD blocks of the first log: the one
    that the most addresses name as referrer when they ask for parts of a page. Where requests say which host they ask
    for (jsonl with `Host`), nothing has to be guessed. XbotError if there is nothing to read. With `clients` the requests of all
    logs come by time, each with what its client did before it (lines.of_logs).
    """

    def __init__(
        self,
        logs: Sequence[str],
        log_format: str,
        given: Iterable[str] = (),
        advance: Callable[[int], None] = lambda _: None,
        clients: core.Clients | None = None,
    ) -> None:
        if "-" in logs and len(logs) > 1:
            raise XbotError("standard input (-) cannot be one of several logs")
        for log in logs:
            if log != "-" and not Path(log).exists():  # before hours are spent on the others
                raise XbotError(f"{log}: No such file or directory")
        self.lines = self.unreadable = 0
        self.logs, self._form, self._advance, self._clients = logs, find(log_format), advance, clients
        self._first = reading.blocks(logs[0])
        self._head: list[bytes] | None = list(itertools.islice(self._first, HEAD))
        hosts = frozenset(plain_host(host.encode()) for host in given)
        self.own = OwnHosts(hosts, "given") if hosts else self._guess()

    def with_policies(self) -> Iterator[tuple[str, int, core.Request, bytes | None]]:
        """Yields (log, line, request, the policy by which the line says that it was decided) for each that can be read."""
        for log, line, text, request in self._every():
            if request is not None:
                yield log, line, request, self._form.logged_policy(text, request)

    def __iter__(self) -> Iterator[tuple[str, int, core.Request | None]]:
        """Yields (log, line, request) for each line; the request is the same object each time, or None for a line that
        cannot be read. Those are counted, and the first of each log is told on standard error."""
        for log, line, _, request in self._every():
            yield log, line, request

    def _every(self) -> Iterator[tuple[str, int, bytes, core.Request | None]]:
        unreadable = [Unreadable(log) for log in self.logs]
        found = of_logs(self.logs, self._form, self._clients, unreadable, self._advance, self._blocks)
        for i, (line, text, request, _) in found:
            self.lines += 1
            yield self.logs[i], line, text, request
        self.unreadable = sum(each.count for each in unreadable)

    def _blocks(self, log: str) -> Iterator[bytes]:
        if log is not self.logs[0] or self._head is None:
            return reading.blocks(log)
        head, self._head = self._head, None
        return itertools.chain(head, self._first)

    def _guess(self) -> OwnHosts:
        addresses: defaultdict[bytes, set[bytes]] = defaultdict(set)
        everybody: set[bytes | None] = set()
        room, form = core.Request(), self._form.opened()
        heads = (of_block(block, form, room) for block in self._head or ())
        for _, _, request, _ in itertools.chain.from_iterable(heads):
            if request is None:
                continue
            fields = request.fields
            if fields["host"]:
                return OwnHosts(frozenset(), "the host that each request asks for")
            everybody.add(fields["ip"])
            host = host_of(fields["referrer"])
            if host and ASSET.search(fields["uri"] or b""):
                addresses[host].add(fields["ip"] or b"")
        if not addresses:
            return OwnHosts(frozenset(), "unknown, --host names it: no part of a page was asked for with a referrer")
        host, seen = max(addresses.items(), key=lambda item: (len(item[1]), item[0]))
        if len(seen) < LEAST_ADDRESSES:
            why = "no host is the referrer of two addresses"
            if len(everybody) == 1 and everybody != {None}:
                why = "all requests come from one address: that of a proxy? (docs/behind-a-proxy.md)"
            return OwnHosts(frozenset(), f"unknown, --host names it: {why}")
        every = len(set().union(*addresses.values()))
        said = f"guessed: {len(seen)} of {every} addresses name it when they ask for parts of a page"
        return OwnHosts(frozenset({host}), said)
