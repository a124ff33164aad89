"""Canaries: heads of known bots and people, sent through nginx: does each get the answer that it must get?

Law: they go where the operator says, which is this machine: the server of nginx/canary.conf, or one of the site that has
canary_site.conf. Where they come in marks them, and not what they send. Each is one request on one connection, waited for SECONDS at most.
What came of them is told to the sidecar, for its alarms.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
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
REFUSED = 403
_HEADS = Path(__file__).with_name("canaries.toml")
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]+")
_RIGHT = {"bot": ("bot",), "person": ("human", "verified", "suspect")}  # a suspect meets a challenge, which people pass


class Canary(msgspec.Struct, forbid_unknown_fields=True, rename={"kind": "is"}):
    """Who sends these headers."""

    kind: Literal["bot", "person"]
    headers: list[tuple[str, str]]


class Place(NamedTuple):
    """Where they are sent, and for which of the names that are served there."""

    host: str
    port: int
    target: str
    name: str

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"


class Answer(NamedTuple):
    """What nginx said: the verdict, if it told any, and the status."""

    verdict: str | None
    status: int


def heads() -> Mapping[str, Canary]:
    """By name."""
    return msgspec.convert(tomllib.loads(_HEADS.read_text("utf-8")), dict[words.Canary, Canary])


def place(url: str, name: str = "localhost") -> Place:
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
    if not _NAME.fullmatch(name):
        raise XbotError(f"--host {name!r}: not the name of a server")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.hostname or "", port, target, name)


def send(to: Place, canary: Canary) -> Answer:
    """What it gets. XbotError if that is neither a verdict nor a refusal."""
    connection = http.client.HTTPConnection(to.host, to.port, timeout=SECONDS)
    try:
        connection.putrequest("GET", to.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", to.name), *canary.headers):
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        said = Answer(response.getheader(HEADER), response.status)
    except (OSError, http.client.HTTPException) as error:
        raise XbotError(f"{to}: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if said.verdict is None and said.status != REFUSED:
        other = "is it the server of canary.conf, or has its location add_header lines of its own?"
        raise XbotError(f"{to}: it answers {said.status} without {HEADER}: {other}")
    return said


def look(found: Findings, to: Place, control: Path | None) -> None:
    """Send them all, and tell the sidecar, over its control socket, what came of it."""
    right, wrong = list[str](), list[str]()
    for name, canary in heads().items():
        try:
            said = send(to, canary)
        except XbotError as error:
            found.add("wrong", ABOUT, str(error), "include xbot/canary.conf; in http { } of nginx.conf")
            wrong.append(name)
            break
        what, mend = _fault(canary.kind, said)
        if what:
            found.add("wrong", ABOUT, f"{name}{what}", mend)
        (wrong if what else right).append(name)
    if not wrong:
        found.add("ok", ABOUT, f"{len(right)} known bots and people got the right answer")
    _tell(found, control, len(right), wrong)


def _fault(kind: str, said: Answer) -> tuple[str, str]:
    """What is wrong with this answer, and what to do; "" if nothing is. The page of who is refused need not tell the verdict."""
    if said.verdict is not None and said.verdict not in core.OUTCOMES:
        return f": X-Bot is {said.verdict[:40]!r}: the sidecar does not answer nginx", "xbot check"
    if said.verdict and said.verdict not in _RIGHT[kind]:
        return f", a {kind}, is told {said.verdict}", "xbot mode observe, and look why"
    if kind == "person" and said.status == REFUSED:
        return ", a person, is refused", "xbot mode observe, and look why; or the server refuses 127.0.0.1 by itself"
    return "", ""


def _tell(found: Findings, control: Path | None, right: int, wrong: Sequence[str]) -> None:
    if control is None:
        return
    try:
        client.ask(control, words.Canaries(right=right, wrong=tuple(wrong)))
    except XbotError as error:
        found.add("warning", ABOUT, f"the sidecar was not told: {error}")
