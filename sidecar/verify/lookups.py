"""Which domains confirm an address: its name by the DNS, and the addresses of that name (forward-confirmed reverse DNS).

Law: whoever owns an address writes its name, so a name proves nothing; the owner of the domain writes which addresses the name
has. An address is confirmed if its name lies in a domain of the catalogue, whole labels compared, and that name has the address.
Everything here happens in a process of its own, off every request's path: it takes questions from shared memory
(csrc/board/lookups.h) and writes answers there, begins no more than PER_SECOND look-ups in any second, and gives up each after
TIMEOUT. An answer is kept for its time to live, within bounds. No answer is never a yes: an older answer stays for a day at most.

Who answers slowly for his own addresses must not be taken for an outage: where nobody answers, the root is asked for, and only if
that fails too, the resolver is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import mmap
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sidecar.core import LOOKUPS_SIZE, Lookups

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.name import Name

_POLL_SECONDS = 0.05  # how often questions are looked for
_LEAST, _MOST_YES, _MOST_NO = 300, 86400, 3600  # seconds that an answer is kept, whatever its time to live
_SILENT, _AWAY = 300, 10  # seconds until it is tried again
_ROOT_SECONDS = 30.0  # for which the resolver is taken to be as it was
_MOST_NAMES = 4  # of one address that are looked up again: honest ones have one
_AT_ONCE = 256  # look-ups


class Table(Protocol):
    """core.Lookups, as far as it matters here."""

    def take(self, most: int) -> list[bytes]:
        """Addresses that are asked for."""

    def keep(
        self, address: bytes, state: Literal["answered", "silent", "away"], seconds: float, domains: int = 0
    ) -> None:
        """What came of it."""

    def find(self, address: bytes) -> tuple[str, int, int] | None:
        """What is known, and for how many seconds it is fresh."""


@dataclass
class Looking:
    """Looks up addresses through `resolver`. `domains`: in the order of their bits."""

    resolver: Resolver
    domains: Sequence[Name]
    table: Table
    per_second: int
    timeout: float
    _begun: deque[float] = field(default_factory=deque)  # when each of the last second was
    _under_way: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    _worked: float = -1e9  # when the resolver last answered anything
    _failed: float = -1e9  # when the root was last asked in vain

    async def run(self) -> None:
        """For ever."""
        while True:
            for address in self.table.take(self._room()):
                if address not in self._under_way and not self._is_known(address):
                    self._begun.append(time.monotonic())
                    self._under_way[address] = asyncio.create_task(self._answer(address))
            await asyncio.sleep(_POLL_SECONDS)

    def _is_known(self, address: bytes) -> bool:
        """Whether it was looked up since it was asked for."""
        known = self.table.find(address)
        return known is not None and known[2] >= 0

    def _room(self) -> int:
        now = time.monotonic()
        while self._begun and now - self._begun[0] >= 1.0:
            self._begun.popleft()
        return max(0, min(self.per_second - len(self._begun), _AT_ONCE - len(self._under_way)))

    async def _answer(self, address: bytes) -> None:
        import dns.exception

        try:
            domains, seconds = await asyncio.wait_for(self.confirmed(address), self.timeout)
            self._worked = time.monotonic()
            self.table.keep(address, "answered", seconds, domains)
        except (dns.exception.DNSException, asyncio.TimeoutError, OSError, ValueError):
            works = await self._works()
            self.table.keep(address, "silent" if works else "away", _SILENT if works else _AWAY)
        finally:
            del self._under_way[address]

    async def confirmed(self, address: bytes) -> tuple[int, float]:
        """(a bit for each domain that confirms the address, seconds to keep that). DNSException or OSError if nobody answers."""
        import dns.exception
        import dns.reversename

        shown = ipaddress.ip_address(address)
        names, lives = await self._resolve(dns.reversename.from_address(str(shown)), "PTR")
        named = {each.target: bits for each in names if (bits := self._within(each.target))}
        found, unanswered = 0, None
        for name in sorted(named)[:_MOST_NAMES]:
            try:
                there, seconds = await self._resolve(name, "A" if shown.version == 4 else "AAAA")
            except dns.exception.DNSException as error:
                unanswered = error
                continue
            lives = min(lives, seconds)
            if any(ipaddress.ip_address(each.address) == shown for each in there):
                found |= named[name]
        if not found and unanswered is not None:
            raise unanswered
        return found, min(max(lives, _LEAST), _MOST_YES if found else _MOST_NO)

    def _within(self, name: Name) -> int:
        return sum(1 << i for i, domain in enumerate(self.domains) if name.is_subdomain(domain))

    async def _resolve(self, name: Name, kind: str) -> tuple[Iterable[Any], float]:
        """(records, seconds to live); none where there is no such name, or none of the kind."""
        import dns.resolver

        try:
            answer = await self.resolver.resolve(name, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return (), _MOST_NO
        return answer, float(answer.rrset.ttl if answer.rrset else 0)

    async def _works(self) -> bool:
        """Whether the resolver answers anything: it did lately, or it knows the root."""
        import dns.exception
        import dns.name

        now = time.monotonic()
        if now - self._worked < _ROOT_SECONDS:
            return True
        if now - self._failed < _AWAY:
            return False
        try:
            await asyncio.wait_for(self._resolve(dns.name.root, "SOA"), self.timeout)
        except (dns.exception.DNSException, asyncio.TimeoutError, OSError):
            self._failed = now
            return False
        self._worked = now
        return True


def resolver_of(servers: Sequence[tuple[str, int]], timeout: float) -> Resolver:
    """One that asks these servers, or those of the system."""
    import dns.asyncresolver
    import dns.nameserver

    resolver = dns.asyncresolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*each) for each in servers]
    resolver.lifetime, resolver.timeout = timeout, min(timeout, 2.0)
    resolver.use_edns(0, 0, 1232)  # bytes: what is longer comes by TCP
    return resolver


async def _until_the_master_ends(looking: Looking) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)  # it sends nothing more
    work = asyncio.create_task(looking.run())
    await asyncio.wait([work, asyncio.create_task(over.wait())], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()


def main(descriptor: int) -> None:
    """For the sidecar's master: the order is a line of JSON on standard input, and its end is the end; `descriptor` is the table's."""
    import dns.name

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(5)
    order = json.loads(sys.stdin.readline())
    looking = Looking(
        resolver=resolver_of([(host, port) for host, port in order["servers"]], order["timeout"]),
        domains=[dns.name.from_text(each) for each in order["domains"]],
        table=Lookups(mmap.mmap(descriptor, LOOKUPS_SIZE)),
        per_second=order["per_second"],
        timeout=order["timeout"],
    )
    asyncio.run(_until_the_master_ends(looking))
