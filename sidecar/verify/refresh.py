"""Fetching the lists of networks that crawlers' owners publish: over https, within bounds, into a directory.

Law: whoever publishes a list, or stands in his place, can waste SECONDS and MOST_BYTES of a process of its own, and no more. Only
the address that is asked is read: no redirect is followed. What is fetched takes the place of a copy only if it is sound by
itself and beside that copy (ranges.py); else the copy stays, and is said. The copy's date is that of the last good answer.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sidecar import __version__, outputs
from sidecar.errors import XbotError
from sidecar.inputs import read_text
from sidecar.verify import ranges, signatures

SECONDS = 20.0  # for one list, from the connection to the last byte
_AT_ONCE = 4  # lists
_LONGEST_WHY = 300  # letters: what was sent may be in it
_ETAG = re.compile(r'^# etag: ((?:W/)?"[!#-~]{0,200}")$', re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of one list: `new`, `same` as before, or `failed`, and then `why`."""

    name: str
    what: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.what}" + (f": {self.why}" if self.why else "")


def refresh(directory: Path, publishers: Mapping[str, str], seconds: float = SECONDS) -> list[Result]:
    """Fetches every list, a few at once; one that fails changes nothing. XbotError if the directory cannot be written."""
    return _each(directory, publishers, lambda name, address: _refreshed(directory, name, address, seconds))


def _each(directory: Path, addresses: Mapping[str, str], one: Callable[[str, str], Result]) -> list[Result]:
    """What `one` returns of each name and address, a few at once, once the directory is there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XbotError(f"{directory}: {error.strerror or error}") from None
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(one, addresses.keys(), addresses.values()))


def _refreshed(directory: Path, name: str, address: str, seconds: float) -> Result:
    place = directory / f"{name}.txt"
    copies, _ = ranges.newest(directory)
    before = copies.get(name)
    ours = before is not None and before.place == place
    try:
        found = _ETAG.search(read_text(place)) if ours else None
        status, etag, data = fetch(address, found.group(1) if found else None, seconds)
        if status == 304 and before is not None and ours:
            networks = before.networks
        elif status == 200:
            networks = ranges.published(name, data)
            if before is not None:
                ranges.not_shrunk(networks, before)
        else:
            return Result(name, "failed", f"{address} answered {status}")
        source = address + (f"\n# etag: {etag}" if etag and _ETAG.match(f"# etag: {etag}") else "")
        today = datetime.datetime.now(datetime.timezone.utc).date()
        outputs.write(place, ranges.text_of(networks, today, source).encode())
    except XbotError as error:
        return Result(name, "failed", str(error)[:_LONGEST_WHY])
    same = before is not None and networks == before.networks
    return Result(name, "same" if same else "new")


def refresh_keys(directory: Path, directories: Mapping[str, str], seconds: float = SECONDS) -> list[Result]:
    """Fetches the keys that crawlers sign with; those that cannot be had stay as they are. XbotError as `refresh`."""
    return _each(directory, directories, lambda name, address: _refreshed_keys(directory, name, address, seconds))


def _refreshed_keys(directory: Path, name: str, address: str, seconds: float) -> Result:
    label = f"{name}.keys"
    try:
        status, _, data = fetch(address, None, seconds)
        if status != 200:
            return Result(label, "failed", f"{address} answered {status}")
        if len(data) > signatures.MOST_BYTES:
            return Result(label, "failed", f"{address}: longer than {signatures.MOST_BYTES} bytes")
        today = datetime.datetime.now(datetime.timezone.utc).date()
        before = signatures.kept(directory, name)
        text = signatures.text_of(data, address, today)
        outputs.write(signatures.file_of(directory, name), text.encode())
    except (XbotError, ValueError, RecursionError) as error:
        return Result(label, "failed", str(error)[:_LONGEST_WHY])
    same = before is not None and before[1].get("keys") == json.loads(text)["keys"]
    return Result(label, "same" if same else "new")


def fetch(address: str, etag: str | None, seconds: float) -> tuple[int, str | None, bytes]:
    """(status, ETag, body) of what lies at an https address; XbotError if it cannot be had within `seconds`, or is longer than
    ranges.MOST_BYTES. A status other than 200 has no body."""
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname:
        raise XbotError(f"{address}: not https")
    headers = {
        "User-Agent": f"xbot/{__version__}",
        "Accept": "application/json, application/http-message-signatures-directory+json, text/plain",
        "Accept-Encoding": "identity",
    }
    if etag:
        headers["If-None-Match"] = etag
    connection = http.client.HTTPSConnection(
        parts.hostname, parts.port or 443, timeout=seconds, context=ssl.create_default_context()
    )
    try:
        with _ended_after(connection, seconds):
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
            reply = connection.getresponse()
            body = reply.read(ranges.MOST_BYTES + 1) if reply.status == 200 else b""
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:  # the last: ended in between
        raise XbotError(f"{address}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if len(body) > ranges.MOST_BYTES:
        raise XbotError(f"{address}: longer than {ranges.MOST_BYTES} bytes")
    if reply.status == 200 and reply.length:
        raise XbotError(f"{address}: it broke off")
    return reply.status, reply.getheader("ETag"), body


@contextlib.contextmanager
def _ended_after(connection: http.client.HTTPSConnection, seconds: float) -> Iterator[None]:
    """A socket's timeout is for one read, and a byte now and then would keep it for ever: this ends it all."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
        if late.is_set():
            raise TimeoutError(f"not done after {seconds:g} seconds")
    except (OSError, http.client.HTTPException, ValueError):
        if late.is_set():
            raise TimeoutError(f"not done after {seconds:g} seconds") from None
        raise
    finally:
        timer.cancel()


def main() -> None:
    """For the sidecar's master: the order is JSON on standard input, a line of JSON on standard output is each list's result."""
    order = json.load(sys.stdin)
    try:
        place = Path(order["directory"])
        for each in [*refresh(place, order["publishers"]), *refresh_keys(place, order["directories"])]:
            sys.stdout.write(json.dumps({"list": each.name, "what": each.what, "why": each.why}) + "\n")
    except XbotError as error:
        sys.stdout.write(json.dumps({"list": "", "what": "failed", "why": str(error)}) + "\n")
