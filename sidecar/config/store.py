"""The address of the store by which machines share what clients did: what it may say.

Law: whatever is not known here is refused, since the library of the store takes any of its own settings from the query, and some of these
switch the checks of TLS off. No word of the address is told: it may hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from sidecar import inputs
from sidecar.errors import XbotError

FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")  # whom to trust; who we are, where the store asks for it
_SAID = {"redis": (), "rediss": FILES, "unix": ("db", "username", "password")}  # what a query may say


def mistakes(address: str) -> Iterator[str]:
    """What is wrong with an address."""
    scheme = address.partition("://")[0]
    if not re.fullmatch(r"(rediss?://[^/\s]+|unix://[^\s]*/)[^\s]*", address):
        yield "is none of redis://HOST:PORT, rediss://HOST:PORT and unix:///PATH"
        return
    try:
        parts = urlsplit(address)
        known = (scheme == "unix" or bool(parts.hostname)) and parts.port != 0 and not parts.fragment
    except ValueError:
        known = False
    if not known:
        yield "has no HOST:PORT that is one; in a name or a password, / is %2F, ? is %3F, # is %23, @ is %40 and : is %3A"
        return
    if scheme != "unix" and not re.fullmatch(r"(/[0-9]{0,5})?", parts.path):
        yield "ends in what is no number of a database, such as /0"
    said = parse_qsl(parts.query, keep_blank_values=True)
    if any(name not in _SAID[scheme] for name, _ in said) or len(dict(said)) != len(said):
        allowed = ", ".join(_SAID[scheme]) or "nothing"
        yield f"says behind ? what is not known; each once, {scheme}:// may say there: {allowed}"
    if scheme == "unix" and not re.fullmatch(r"[0-9]{1,5}", dict(said).get("db", "0")):
        yield "db is no number of a database"
    for name in FILES:
        if (path := dict(said).get(name)) is not None and name in _SAID[scheme]:
            yield from _file_mistakes(name, path)


def _file_mistakes(name: str, path: str) -> Iterator[str]:
    if not path.startswith("/"):
        yield f"{name} is no absolute path"
        return
    try:
        if b"-----BEGIN " not in inputs.read_bytes(Path(path)):
            yield f"{name}: {path}: holds nothing in PEM"
    except XbotError as error:
        yield f"{name}: {error}"
