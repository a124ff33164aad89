"""A DNS server on the loopback that tells what a test wants: sound, lying, slow, huge or no answers, by UDP and TCP.

    with NameServer({"1.2.0.192.in-addr.arpa.": ("PTR", ["a.example."])}) as server: ...

Law: it answers from its table alone; what is not in it does not exist. Each question is noted in `asked`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Mapping
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


@functools.cache  # thousands of records take as long as a look-up may on a busy machine
def _records(name: dns.name.Name, ttl: int, kind: str, data: tuple[str, ...]) -> dns.rrset.RRset:
    return dns.rrset.from_text_list(name, ttl, "IN", kind, data)


Records = tuple[str, list[str]]  # type, and the data of each
SLOW, DEAD, BROKEN, GARBAGE = "slow", "dead", "broken", "garbage"  # instead of records


class NameServer:
    """`table`: name -> records, or what it does instead. It knows the root unless `away`. `ttl` is that of each record."""

    def __init__(self, table: Mapping[str, Any], *, ttl: int = 3600) -> None:
        self.table = dict(table)
        self.ttl = ttl
        self.away = False
        self.asked: list[tuple[float, str, str]] = []  # when, name, type

    def __enter__(self) -> NameServer:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def count(self, kind: str) -> int:
        """How many questions of this type have come."""
        return sum(each[2] == kind for each in self.asked)

    async def _serve(self, ready: threading.Event) -> None:
        server, loop = self, asyncio.get_running_loop()

        class Udp(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, peer: Any) -> None:
                loop.create_task(self.reply(data, peer))

            async def reply(self, data: bytes, peer: Any) -> None:
                if (wire := await server._answer(data, 1232)) is not None:
                    self.transport.sendto(wire, peer)

        async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                size = int.from_bytes(await reader.readexactly(2), "big")
                wire = await server._answer(await reader.readexactly(size), 65535)
                if wire is not None:
                    writer.write(len(wire).to_bytes(2, "big") + wire)
                    await writer.drain()
            writer.close()

        self._loop, self._over = loop, asyncio.Event()
        while True:  # a port that is free for both
            listening = await asyncio.start_server(tcp, "127.0.0.1", 0)
            self.port = listening.sockets[0].getsockname()[1]
            try:
                await loop.create_datagram_endpoint(Udp, ("127.0.0.1", self.port))
                break
            except OSError:
                listening.close()
        ready.set()
        await self._over.wait()
        listening.close()

    async def _answer(self, data: bytes, room: int) -> bytes | None:
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name, dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append((time.monotonic(), name.to_text(), kind))
        said = self.table.get(name.to_text())
        if self.away or said == DEAD:
            return None
        if said == GARBAGE:
            return data[:2] + b"\xff" * 40
        if said == SLOW:
            await asyncio.sleep(30)
        reply = dns.message.make_response(query)
        if said == BROKEN:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif name == dns.name.root:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "SOA", "a. b. 1 1 1 1 1"))
        elif said is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif said[0] == kind:
            reply.answer.append(_records(name, self.ttl, kind, tuple(said[1])))
        try:
            return reply.to_wire(max_size=room)
        except dns.exception.TooBig:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            return reply.to_wire()
