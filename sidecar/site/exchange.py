"""What one machine's clients did, told to the others of the same site, by the site's own Redis or Valkey.

Law: a process of its own does it, with a bound of memory and of time, so neither a request nor the master waits for the store, and
whatever the store says can at worst end this process. Each second it reads what others told, and tells what was counted here
(csrc/clients/exchange.h): at most MOST entries. While the store is away the table stays as it is, and what is counted is told later.

The store is not trusted. A message is a keyed hash's (HMAC-SHA-256): no word of it is looked at before that is right, each is taken once,
and none that is older than LATEST. It holds places in the table, counts and sketches, under a secret that the machines share: no
address, no agent, no path. Whoever reads the store learns how much happens; without the secret, nothing of anybody.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import mmap
import os
import re
import resource
import select
import signal
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from sidecar import core

MOST = 2000  # entries that are told in a second
LATEST = 600  # seconds that a message may be old, or a clock may differ
_SECONDS = 1.0
_PATIENCE = 2.0  # for one answer of the store
_ROUND = 20  # seconds; a round that takes longer ends the process
_MEMORY = 256 << 20  # bytes of its own; the table's are not among them
_KEPT, _KEPT_SECONDS = 1000, 3600  # messages in the store, and how long they stay when nobody tells any more
_AT_ONCE = 64  # messages that are read in one go
_HEAD = struct.Struct("<8sQI")  # who tells, when (milliseconds since 1970), how many entries
_MAC = 16
_LONGEST = 1 << 20


class Key:
    """What the machines share, and what is made of it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, what: str) -> bytes:
        """32 bytes for this use."""
        return hmac.digest(self._secret, what.encode(), "sha256")


class Heard(NamedTuple):
    """A message whose hash is right."""

    origin: bytes
    time_ms: int
    entries: bytes


def packed(origin: bytes, time_ms: int, entries: bytes, mac: bytes) -> bytes:
    """A message; `mac` is the key of its hash."""
    head = _HEAD.pack(origin, time_ms, len(entries) // core.CLIENT_DELTA)
    body = head + zlib.compress(entries, 1)
    return body + hmac.digest(mac, body, "sha256")[:_MAC]


def unpacked(message: object, mac: bytes) -> Heard | None:
    """What a message says; None for whatever is none."""
    if not isinstance(message, bytes) or not _HEAD.size + _MAC <= len(message) <= _LONGEST:
        return None
    body, said = message[:-_MAC], message[-_MAC:]
    if not hmac.compare_digest(said, hmac.digest(mac, body, "sha256")[:_MAC]):
        return None
    origin, time_ms, number = _HEAD.unpack_from(body)
    size = number * core.CLIENT_DELTA
    if number > MOST:
        return None
    inflate = zlib.decompressobj()
    try:
        entries = inflate.decompress(body[_HEAD.size :], size + 1)
    except zlib.error:
        return None
    return Heard(origin, time_ms, entries) if len(entries) == size else None


class Exchange:
    """With one stream of a store; `store` is a redis.Redis, or what answers as one."""

    def __init__(self, store: Any, table: memoryview, key: Key, origin: bytes) -> None:
        said = core.read_clients(table)
        kind = "network" if said["by_network"] else "address"
        # Tables of another size, or that tell clients apart otherwise, cannot understand each other: they do not meet.
        self.stream = f"xbot:1:{core.CLIENT_DELTA}:{said['sets']}:{kind}:{key.of('name').hex()[:16]}"
        self._store, self._origin, self._mac = store, origin, key.of("message")
        self._began = _now()  # what was told before is not ours to count, whenever the store says it
        self._exchange = core.Exchange(table, self._began)
        self._last: bytes | None = None
        self._was_away = False
        self._times: dict[bytes, int] = {}
        self._heard: dict[bytes, float] = {}
        self.told = self.taken = self.refused = 0

    def round(self) -> None:
        """Hear what there is, and tell. Whatever is raised, the store is away; the next round goes on from here."""
        if self._last is None:
            self._last = self._newest()
        elif self._was_away and _number(self._newest()) < _number(self._last):
            self._last = b"0-0"  # the store has forgotten, and counts anew; who told what is known by its time
        self._was_away = True
        self._hear()
        self._tell()
        self._was_away = False

    def _newest(self) -> bytes:
        """The number of the newest message: what was told before we came is not ours to count."""
        newest = self._store.xrevrange(self.stream, count=1)
        return _id(newest[0][0]) if newest else b"0-0"

    def _hear(self) -> None:
        for _, messages in self._store.xread({self.stream: self._last}, count=_AT_ONCE) or ():
            for number, fields in messages[:_AT_ONCE]:
                self._last = _id(number)
                self._take(unpacked(fields.get(b"d"), self._mac))

    def _take(self, heard: Heard | None) -> None:
        now = _now()
        if heard is None or abs(now - heard.time_ms) > LATEST * 1000:
            self.refused += 1
        elif heard.origin != self._origin and heard.time_ms > self._times.get(heard.origin, self._began):
            self._times[heard.origin] = heard.time_ms
            self._heard[heard.origin] = time.monotonic()
            self.taken += self._exchange.merge(heard.entries, now)

    def _tell(self) -> None:
        now = _now()
        entries = self._exchange.collect(now, MOST)
        message = packed(self._origin, now, entries, self._mac)
        pipeline = self._store.pipeline(transaction=False)
        pipeline.xadd(self.stream, {"d": message}, maxlen=_KEPT, approximate=True)
        pipeline.expire(self.stream, _KEPT_SECONDS)
        pipeline.execute()
        self.told += len(entries) // core.CLIENT_DELTA

    def state(self, away: str | None) -> dict[str, Any]:
        """What the master is told of a round: why the store is `away`, or None; machines that told something in the last ten
        seconds; entries told and taken so far, and messages that were none, or too old."""
        others = sum(1 for heard in self._heard.values() if time.monotonic() - heard < 10)
        return {"away": away, "machines": others, "told": self.told, "taken": self.taken, "refused": self.refused}


def _id(said: object) -> bytes:
    """The number of a message, as a store gives it. ValueError for anything else."""
    if not isinstance(said, bytes) or not re.fullmatch(rb"[0-9]{1,20}-[0-9]{1,20}", said):
        raise ValueError("what answers is no Redis")
    return said


def _number(said: bytes) -> tuple[int, int]:
    milliseconds, _, place = said.partition(b"-")
    return int(milliseconds), int(place)


def _now() -> int:
    return time.time_ns() // 1_000_000


def origin_of(table: int) -> bytes:
    """Eight bytes that are this table's alone, whoever has it: a new master goes on with it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    found = os.fstat(table)
    return hashlib.sha256(b"%s %d %d" % (boot, found.st_dev, found.st_ino)).digest()[:8]


def _why(error: BaseException, password: str | None) -> str:
    """In one line. Errors name hosts and ports; a store could say the password that it was sent."""
    text = "".join(c if c.isprintable() else " " for c in str(error))[:200]
    return f"{type(error).__name__}: {text.replace(password, '...') if password else text}"


def main(descriptor: int) -> None:
    """For the sidecar's master: the order is a line of JSON on standard input, and its end is the end; `descriptor` is the table's.
    Each round is a line of JSON on standard output."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    import redis  # after the order was read; only whoever shares needs it

    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    with contextlib.suppress(OSError):
        os.nice(5)
    # The certificate's name is always checked. Until version 6 the library did not unless it was told to.
    name_checked = {"ssl_check_hostname": True} if order["url"].startswith("rediss://") else {}
    store = redis.Redis.from_url(
        order["url"],
        **name_checked,
        protocol=2,
        socket_timeout=_PATIENCE,
        socket_connect_timeout=_PATIENCE,
        retry=None,
        single_connection_client=False,
        max_connections=1,
    )
    table = memoryview(mmap.mmap(descriptor, 0))
    exchange = Exchange(store, table, Key(bytes.fromhex(order["key"])), origin_of(descriptor))
    while True:
        signal.alarm(_ROUND)
        away = None
        try:
            exchange.round()
        except (redis.RedisError, OSError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            away = _why(error, store.connection_pool.connection_kwargs.get("password"))
            store.connection_pool.disconnect()
        sys.stdout.write(json.dumps(exchange.state(away)) + "\n")
        sys.stdout.flush()
        signal.alarm(0)
        if select.select([sys.stdin], [], [], _SECONDS)[0]:  # the master has ended
            return
