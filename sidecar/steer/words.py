"""What is said on the control socket: a line of JSON, and a line in reply.

Law: a request is one of the structs below, at most LONGEST bytes, and its reply an object: `ok`, and `error` where that is
false. Both sides read the types here, and nothing else knows their fields.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sidecar import core
from sidecar.errors import XbotError

LONGEST = 4096  # bytes of a request
_DAY = 86400.0
Name = Annotated[
    str, Meta(min_length=1, max_length=core.MAX_NAME, description=f"a name, at most {core.MAX_NAME} letters")
]
Canary = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}$", description="a name of a canary")]
Span = Annotated[float, Meta(gt=0, le=3650 * _DAY, description="more than 0 seconds, at most ten years")]
Visit = Annotated[float, Meta(ge=0, le=30 * _DAY, description="a number of seconds, at most 30 days")]
if TYPE_CHECKING:
    AnyMode = str
else:
    AnyMode = Literal[core.WHEEL_MODES]


class _Request(msgspec.Struct, tag_field="op", tag=str.lower, forbid_unknown_fields=True):
    """One line."""


class Status(_Request):
    """What is served, and what was said by hand."""


class Mode(_Request):
    """The mode of a policy, or of all for None, for so many seconds, or until something else is said for None."""

    mode: AnyMode
    policy: Name | None = None
    seconds: Span | None = None


class Allow(_Request):
    """Let an address or a network by, as one line of a list would; 0 seconds: no longer."""

    address: Annotated[str, Meta(max_length=64, description="an address or a network")]
    seconds: Visit


class Reload(_Request):
    """Read configuration, lists and model again, as SIGHUP does; the reply comes when that is done."""


class Canaries(_Request):
    """What `xbot check --canary` found: how many got the right answer, and the names of those that did not."""

    right: Annotated[int, Meta(ge=0, le=1000)]
    wrong: Annotated[tuple[Canary, ...], Meta(max_length=32)] = ()


class Watch(_Request):
    """What happened in the last minutes (live/feed.py)."""


class Tail(_Request):
    """The decisions after the one of this number; -1: the last ones."""

    after: Annotated[int, Meta(ge=-1)] = -1


Request = Status | Mode | Allow | Reload | Canaries | Watch | Tail
_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def decode(line: bytes) -> Request:
    """A request; XbotError says what is wrong with it."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise XbotError(f"not understood: {error}") from None


def encode(said: msgspec.Struct | dict[str, Any]) -> bytes:
    """A request or a reply, as its line."""
    return msgspec.json.encode(said) + b"\n"


def network(text: str) -> tuple[bytes, int]:
    """An address or a network: its bytes, and how many bits of them count. XbotError if it is none."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        raise XbotError(str(error)) from None
    return found.network_address.packed, found.prefixlen


def shown(address: bytes, bits: int) -> str:
    """The same as text; an address without its length."""
    found = ipaddress.ip_network((address, bits))
    return str(found.network_address) if found.prefixlen == found.max_prefixlen else str(found)
