"""gate.py - a way to a site by which a browser of this machine comes from whatever address of it we say."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Gate:
    """A port behind which the visitors' own address is what we say. `move` takes another one, and ends its connections."""

    def __init__(self, to: int) -> None:
        self.to, self.address = to, "127.1.1.1"
        self.open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def move(self, address: str) -> None:
        self.address = address
        for writer in self.open:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.to, local_addr=(self.address, 0))
        self.open |= {writer, back}
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        self.open -= {writer, back}


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
