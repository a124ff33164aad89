"""Lines of JSON, as one record: xbot's own format `jsonl`, and what other programs write.

Law: a line is checked against its type, and says by name which field is wrong. Whoever wrote it, it becomes a Record.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec

from sidecar import core
from sidecar.sources.fields import variables
from sidecar.sources.fields.variables import raw
from sidecar.sources.shown import text as printable

Seconds = Annotated[float, msgspec.Meta(ge=0, lt=core.MAX_TIME + 1)]  # since 1970 UTC
Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]
Size = Annotated[int, msgspec.Meta(ge=0, le=core.MAX_BYTES)] | None  # of a reply, in bytes
Stamp = float | str | None  # as the owner of another program set it to write times


class Handshake(msgspec.Struct):
    """What nginx's variables of these names say: $ssl_protocol, $ssl_ciphers, $ssl_curves, $ssl_alpn_protocol ("-" where none was
    agreed on), $ssl_session_reused. What is missing or empty is absent; what else a log holds of the handshake is let be."""

    protocol: str | None = None
    ciphers: str | None = None
    curves: str | None = None
    alpn: str | None = None
    reused: str | None = None
    sigalgs: str | None = None


class Record(msgspec.Struct):
    """One line of the format `jsonl`. `headers` is a list of pairs in the order of the request, or an object, where the
    order is unknown and an empty value means that the header was not there (nginx cannot log the difference). Without
    `headers`, `agent` and `referrer` are what is known of them."""

    headers: list[tuple[str, str]] | dict[str, str] | None = None
    agent: str | None = None
    referrer: str | None = None
    ip: str | None = None
    time: Seconds | Moment | None = None
    method: str | None = None
    uri: str | None = None
    protocol: str | None = None
    scheme: str | None = None
    host: str | None = None
    status: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    bytes: Size = None
    type: str | None = None  # the reply's Content-Type; empty where it had none
    label: Literal["bot", "human"] | None = None
    policy: str | None = None  # that decided; empty where nobody did
    tls: Handshake | None = None
    handshake: str | None = None  # its facts, as xbot's log of decisions has them; they count more than the texts
    order: str | None = (
        None  # "lost": order, protocol, scheme, connection and handshake are another proxy's, not the visitor's
    )
    connection: Annotated[int, msgspec.Meta(ge=0)] | None = None  # the proxy's number for it
    connection_requests: Annotated[int, msgspec.Meta(ge=0, le=core.MAX_REQUESTS)] | None = (
        None  # on it so far, this one counted
    )


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else raw(text)


def _tls(said: Handshake | None) -> core.Tls | None:
    if said is None:
        return None
    return core.Tls(
        _bytes(said.protocol),
        _bytes(said.ciphers),
        _bytes(said.curves),
        _bytes(said.alpn),
        _bytes(said.reused),
        _bytes(said.sigalgs),
    )


def _pairs(record: Record) -> Sequence[tuple[str, str]] | None:
    if record.headers is None:
        return None
    if record.agent is not None or record.referrer is not None:
        raise core.LineError("headers", "cannot be given together with agent or referrer")
    if isinstance(record.headers, list):
        return record.headers
    return [pair for pair in record.headers.items() if pair[1]]


def reader(
    shape: Any, record_of: Callable[[Any], Record], *, ordered: bool = False
) -> Callable[[bytes, core.Request], None]:
    """A function that reads a line of JSON, of the type `shape`, into a request; core.LineError with field and reason if it
    cannot. `record_of` says what the line means as a Record; `ordered`: a list of headers is in the order of the request."""
    decoder = msgspec.json.Decoder(shape)

    def decoded(line: bytes) -> Any:
        try:
            return decoder.decode(line)
        except UnicodeDecodeError:
            # nginx logs bytes above 0x7f of a header as they came. JSON must be UTF-8, but the request was real.
            text: Any = json.loads(line.decode("utf-8", "surrogateescape"))
            return msgspec.convert(text, shape)

    def read(line: bytes, request: core.Request) -> None:
        if len(line) > core.MAX_LINE * 4:
            raise core.LineError("line", f"longer than {core.MAX_LINE * 4} bytes")
        try:
            record = record_of(decoded(line))
        except core.LineError:
            raise
        except msgspec.ValidationError as error:
            why, _, where = str(error).partition(" - at `$.")
            if why.startswith("Expected `float` <"):
                why = f"later than the year 9999; milliseconds? ({why[:1].lower()}{why[1:]})"
            raise core.LineError(where.rstrip("`") or "line", why[:1].lower() + why[1:]) from None
        except (ValueError, RecursionError) as error:
            raise core.LineError("line", f"not JSON: {error}") from None
        _load(record, ordered and isinstance(record.headers, list), request)

    return read


def _own(record: Record) -> Record:
    """A line of `jsonl` is a record, whole."""
    if record.headers is None and record.agent is None:
        raise core.LineError("headers", "missing, and so is agent")
    return record


_any_record = reader(Record, _own, ordered=True)


def load_record(line: bytes, request: core.Request) -> None:
    """Reads a line of `jsonl`, as `reader` does: most lines are plain, and csrc reads those."""
    if not request.load_json(line):
        _any_record(line, request)


def _load(record: Record, ordered: bool, request: core.Request) -> None:
    pairs = _pairs(record)
    ip = None if record.ip is None else variables.address(raw(record.ip))
    if record.order == "lost":
        record = msgspec.structs.replace(
            record, protocol=None, scheme=None, tls=None, handshake=None, connection_requests=None
        )
        ordered = False
    seconds = record.time.timestamp() if isinstance(record.time, datetime.datetime) else record.time
    request.load_record(
        None if pairs is None else [(raw(name), raw(value)) for name, value in pairs],
        ordered,
        agent=_bytes(record.agent),
        referrer=_bytes(record.referrer),
        ip=ip,
        method=_bytes(record.method),
        uri=_bytes(record.uri),
        protocol=_bytes(record.protocol),
        scheme=_bytes(record.scheme),
        host=_bytes(record.host),
        label=-1 if record.label is None else int(record.label == "bot"),
        status=-1 if record.status is None else record.status,
        time_ms=-1 if seconds is None else variables.to_milliseconds(seconds),
        tls=_tls(record.tls),
        connection=record.connection or 0,
        connection_requests=record.connection_requests or 0,
        size=-1 if record.bytes is None else record.bytes,
        content_type=_bytes(record.type) or None,
    )
    if record.handshake is not None:
        try:
            request.know_handshake(bytes.fromhex(record.handshake))
        except ValueError:
            raise core.LineError(
                "handshake", "not the facts of a handshake, as xbot's log of decisions has them"
            ) from None
    if record.policy:
        request.ask_policy(raw(record.policy))


def _seconds(field: str, stamp: Stamp) -> float | None:
    """Seconds since 1970 UTC of a time in any way that programs write it."""
    if stamp is None:
        return None
    try:
        return (variables.of_number(stamp) if isinstance(stamp, float) else variables.milliseconds(raw(stamp))) / 1000
    except ValueError:
        raise core.LineError(field, "neither a number of seconds nor a time as logs write it") from None


class CaddyTls(msgspec.Struct):
    """What Caddy says of the handshake; numbers as the registries of TLS have them. It does not know what the visitor offered."""

    version: int | None = None
    proto: str | None = None  # empty: none was agreed on
    resumed: bool | None = None


class CaddyRequest(msgspec.Struct):
    """The member `request` of Caddy's access log. Names of headers are as Go writes them, and in no order; `tls` is there
    where the visitor's connection was encrypted."""

    client_ip: str | None = None  # beyond proxies that are trusted
    remote_ip: str | None = None
    proto: str | None = None
    method: str | None = None
    host: str | None = None
    uri: str | None = None
    headers: dict[str, list[str]] | None = None
    tls: CaddyTls | None = None


class Caddy(msgspec.Struct):
    """One line of Caddy's access log in JSON."""

    request: CaddyRequest | None = None
    ts: Stamp = None
    status: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    size: Size = None  # of the reply's body
    resp_headers: dict[str, list[str]] | None = None


_TLS_VERSIONS = {0x0304: "TLSv1.3", 0x0303: "TLSv1.2", 0x0302: "TLSv1.1", 0x0301: "TLSv1"}


def _caddy_tls(said: CaddyTls | None) -> Handshake | None:
    if said is None:
        return None
    return Handshake(
        protocol=_TLS_VERSIONS.get(said.version or 0),
        alpn="-" if said.proto == "" else said.proto,
        reused=None if said.resumed is None else "r" if said.resumed else ".",
    )


def _caddy(line: Caddy) -> Record:
    r = line.request
    if r is None:
        raise core.LineError("request", "missing: not a line of an access log")
    return Record(
        headers=None if r.headers is None else [(name, value) for name in r.headers for value in r.headers[name]],
        ip=r.remote_ip if r.client_ip is None else r.client_ip,
        time=_seconds("ts", line.ts),
        method=r.method,
        uri=r.uri,
        protocol=r.proto,
        scheme=None if r.tls is None else "https",  # a proxy before Caddy may have ended TLS: no tls is not plain http
        host=r.host,
        status=line.status,
        bytes=line.size,
        type=next(iter((line.resp_headers or {}).get("Content-Type", ())), None),
        tls=_caddy_tls(r.tls),
    )


load_caddy = reader(Caddy, _caddy)


class Traefik(msgspec.Struct, rename="pascal"):
    """One line of Traefik's access log in JSON, without its headers, which are members `request_<Name>`."""

    client_host: str | None = None  # the address, or what trusted proxies forwarded: a list
    client_addr: str | None = None  # with a port
    request_method: str | None = None
    request_path: str | None = None
    request_protocol: str | None = None
    request_scheme: str | None = None
    request_addr: str | None = None  # Host as it came
    request_host: str | None = None  # without port
    downstream_status: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    downstream_content_size: Size = None
    content_type: str | None = msgspec.field(default=None, name="downstream_Content-Type")
    start_utc: Stamp = msgspec.field(default=None, name="StartUTC")
    time: Stamp = msgspec.field(default=None, name="time")


_TRAEFIK_HEADER = "request_"


def _traefik(line: dict[str, Any]) -> Record:
    said = msgspec.convert(line, Traefik)
    headers = {
        name[len(_TRAEFIK_HEADER) :]: value
        for name, value in line.items()
        if name.startswith(_TRAEFIK_HEADER) and value is not None
    }
    for name, value in headers.items():
        if not isinstance(value, str):
            raise core.LineError(printable(raw(_TRAEFIK_HEADER + name[:64])), "expected `str`")
    if said.client_host is not None:
        ip: str | None = said.client_host.rpartition(",")[2].strip()  # the proxy next to Traefik wrote the last
    else:
        ip = said.client_addr and said.client_addr.rpartition(":")[0].strip("[]")
    if not (headers or ip or said.request_path):
        raise core.LineError(
            "ClientHost", "missing, and so are RequestPath and all headers: not a line of an access log"
        )
    # Traefik adds headers of its own to each request: where none but these two are kept, the others are unknown.
    chosen = headers.keys() <= {"User-Agent", "Referer"}
    return Record(
        headers=None if chosen else list(headers.items()),
        agent=headers.get("User-Agent") if chosen else None,
        referrer=headers.get("Referer") if chosen else None,
        ip=ip,
        time=_seconds("time", said.time) if said.start_utc is None else _seconds("StartUTC", said.start_utc),
        method=said.request_method,
        uri=said.request_path,
        protocol=said.request_protocol,
        scheme=said.request_scheme,
        host=said.request_host if said.request_addr is None else said.request_addr,
        status=said.downstream_status,
        bytes=said.downstream_content_size,
        type=said.content_type,
    )


load_traefik = reader(dict[str, Any], _traefik)
