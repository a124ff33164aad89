"""Canaries: heads of known bots and people, sent through nginx: does each get the answer that it must get?

Law: they go where the operator says, which is this machine: the server of nginx/canary.conf. That server marks them, and not what they
send. Each is one request on one connection, waited for SECONDS at most. What came of them is told to the sidecar, for its alarms.
"""

from __future__ import annotations

import http.client
import ipaddress
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from sidecar import core
from sidecar.check.findings import Findings
from sidecar.errors import XbotError
from sidecar.steer import client, words

ABOUT = "canaries"
HEADER = "X-Bot-Canary"
SECONDS = 5.0
_HEADS = Path(__file__).with_name("canaries.toml")
_RIGHT = {"bot": ("bot",), "person": ("human", "verified", "suspect")}  # a suspect meets a challenge, which people pass


class Canary(msgspec.Struct, forbid_unknown_fields=True, rename={"kind": "is"}):
    """Who sends these headers."""

    kind: Literal["bot", "person"]
    headers: list[tuple[str, str]]


class Place(NamedTuple):
    """Where they are sent."""

    host: str
    port: int
    target: str


def heads() -> Mapping[str, Canary]:
    """By name."""
    return msgspec.convert(tomllib.loads(_HEADS.read_text("utf-8")), dict[words.Canary, Canary])


def place(url: str) -> Place:
    """What a URL names; XbotError if it is none of this machine: heads of bots are sent to nobody else."""
    elsewhere = XbotError(f"--canary {url}: not of this machine: http://127.0.0.1:8012/, the server of canary.conf")
    try:
        parts = urlsplit(url)
        port = parts.port or 80
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        raise elsewhere from None
    if parts.scheme != "http" or not local:
        raise elsewhere
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.hostname or "", port, target)


def send(to: Place, canary: Canary) -> str:
    """The verdict that it gets. XbotError if there is none."""
    connection = http.client.HTTPConnection(to.host, to.port, timeout=SECONDS)
    try:
        connection.putrequest("GET", to.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", "localhost"), *canary.headers):
            connection.putheader(name, value)
        connection.endheaders()
        said = connection.getresponse().getheader(HEADER)
    except (OSError, http.client.HTTPException) as error:
        raise XbotError(f"http://{to.host}:{to.port}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if said is None:
        raise XbotError(f"http://{to.host}:{to.port}: it answers without {HEADER}: is it the server of canary.conf?")
    return said


def look(found: Findings, url: str, control: Path | None) -> None:
    """Send them all, and tell the sidecar, over its control socket, what came of it."""
    to, right, wrong = place(url), list[str](), list[str]()
    for name, canary in heads().items():
        try:
            said = send(to, canary)
        except XbotError as error:
            found.add("wrong", ABOUT, str(error), "include xbot/canary.conf; in http { } of nginx.conf")
            wrong.append(name)
            break
        if said in _RIGHT[canary.kind]:
            right.append(name)
        elif said in core.OUTCOMES:
            found.add("wrong", ABOUT, f"{name}, a {canary.kind}, is told {said}", "xbot mode observe, and look why")
            wrong.append(name)
        else:
            found.add(
                "wrong", ABOUT, f"{name}: X-Bot is {said[:40]!r}: the sidecar does not answer nginx", "xbot check"
            )
            wrong.append(name)
    if not wrong:
        found.add("ok", ABOUT, f"{len(right)} known bots and people got the right answer")
    _tell(found, control, len(right), wrong)


def _tell(found: Findings, control: Path | None, right: int, wrong: Sequence[str]) -> None:
    if control is None:
        return
    try:
        client.ask(control, words.Canaries(right=right, wrong=tuple(wrong)))
    except XbotError as error:
        found.add("warning", ABOUT, f"the sidecar was not told: {error}")
