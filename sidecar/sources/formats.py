"""The formats of logs, one row each: its name, what a line of it can hold, how a line is read.

Law: nothing else asks for a format by its name. A new format is a row here; of JSON, with a type in records.py; of lines, with
the pattern that writes them, or a kind that csrc/request/logline.c reads.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from sidecar import core
from sidecar.sources import records
from sidecar.sources.fields import columns, haproxy, named, pairs, patterns, variables, w3c

Load = Callable[[bytes, core.Request], None]

# What nginx/log_format.conf puts behind a combined line: verdict, score, reason, policy; then time and content type.
_DECISION = re.compile(rb' "([a-z]+)" "([\d.]*|-)" "([^"]*)" "([^"]*)"(?: \d+\.\d+ "[^"]*")?\s*$')


class Format(NamedTuple):
    """`groups`: those of core.GROUPS that a line can hold. `record`: reads a line without its line break into a request,
    core.LineError if it cannot; None: csrc reads it, a block at a time where that pays. `sessions`: a client's lines are
    of one visitor. `decision`: finds verdict, score, reason and policy where a line may end with them. `fields`: what reads
    lines that mean what a line before them says, which is then `record`. `plain`: csrc reads most lines, `record` the others.
    `begins`: the name of a format whose lines begin as this one's."""

    name: str
    doc: str
    groups: frozenset[str]
    record: Load | None = None
    sessions: bool = True
    decision: re.Pattern[bytes] | None = None
    fields: w3c.Reader | None = None
    plain: bool = False
    begins: str = ""

    def handshakes(self) -> core.Handshakes | None:
        """For one log: what its lines say of their connections. None: no line of this format says anything."""
        return core.Handshakes() if "tls" in self.groups else None

    def load(self, text: bytes, request: core.Request) -> None:
        """Reads a line, without its line break, into `request`; core.LineError with field and reason if it cannot."""
        if self.record is not None:
            self.record(text.removesuffix(b"\r"), request)
        else:
            request.load_line(self.name, text.removesuffix(b"\r"))

    def opened(self) -> Format:
        """The format at the beginning of a log: where lines depend on those before them, no other log's count."""
        if self.fields is None:
            return self
        fields = self.fields.opened()
        return self._replace(fields=fields, record=fields.load)

    def logged_policy(self, text: bytes, request: core.Request) -> bytes | None:
        """The policy by which a line that was read says that it was decided; None or empty if it says none."""
        if self.decision is None:
            return request.fields["policy"]
        found = self.decision.search(text)
        return found[4] if found else None

    @property
    def option(self) -> str:
        """How a command is told of it, as words of a shell."""
        return f"--format {self.name}" if self.name in FORMATS else f"--log-format {shlex.quote(self.name)}"


def _pattern(text: str, style: str = "default") -> tuple[frozenset[str], Load]:
    made = patterns.Pattern(text, style)
    return variables.groups(made.names), made.load


# Where any other log has a path. A log of these alone is Varnish's: elsewhere it is a visitor who takes the site for his proxy.
_WHOLE_URL = re.compile(rb'\] "[A-Z]+ https?://')
# Squid pads the duration with blanks on its left.
_SQUID = re.compile(rb"\A(\d+\.\d+) +")


def _squid() -> tuple[frozenset[str], Load]:
    groups, load = _pattern(
        "$msec $duration $remote_addr $result/$status $bytes_sent $request_method $url $user $hierarchy $sent_http_content_type",
        "none",
    )

    def unpadded(line: bytes, request: core.Request) -> None:
        load(_SQUID.sub(rb"\1 ", line), request)

    return groups, unpadded


def _columns(text: str, between: str) -> tuple[frozenset[str], Load]:
    """Of a program that escapes nothing: a line with a field more or less would have its agent, or its address, from another place."""
    (groups, load), wanted, separator = _pattern(text, "none"), text.count(between) + 1, between.encode()

    def counted(line: bytes, request: core.Request) -> None:
        if (found := line.count(separator) + 1) != wanted:
            raise core.LineError("line", f"{found} fields with {between!r} between, and there should be {wanted}")
        load(line, request)

    return groups, counted


# IIS writes the day as Americans do, in two or four digits of the year, and ends each line with a comma.
_IIS_TIME = re.compile(
    rb"\A([^,]*, [^,]*, )(\d?\d)/(\d?\d)/(?:20)?(\d\d), (\d?\d)(:\d\d:\d\d, (?:[^,]*, ){3}.*?),?\Z", re.DOTALL
)


def _iis() -> tuple[frozenset[str], Load]:
    groups, load = _columns(
        "$remote_addr, $user, $date, $time, $service, $server, $server_addr, $duration, $bytes_received, $bytes_sent, "
        "$status, $windows_status, $request_method, $uri, $args",
        ", ",
    )

    def with_time(line: bytes, request: core.Request) -> None:
        found = _IIS_TIME.match(line)
        if found is None:
            raise core.LineError(
                "time", "expected month/day/year, hour:minute:second in the third field and the fourth"
            )
        day = b"20%b-%b-%b" % (found[4], found[2].zfill(2), found[3].zfill(2))
        load(b"%b%b, %b%b" % (found[1], day, found[5].zfill(2), found[6]), request)

    return groups, with_time


def _varnish() -> tuple[frozenset[str], Load]:
    groups, load = _pattern(
        '$remote_addr $logname $remote_user [$time_local] "$request_url" $status $bytes_sent "$http_referer" "$http_user_agent"'
    )

    def with_url(line: bytes, request: core.Request) -> None:
        if not _WHOLE_URL.search(line):
            raise core.LineError("request", "expected a whole URL; without one it is combined")
        load(line, request)

    return groups, with_url


_EVERY = frozenset(core.GROUPS)
# `client`: what an address with an agent did in the lines before, which needs their times.
_COMBINED = frozenset({"ip", "ua", "referrer", "url", "client"})
_COMMON = frozenset({"ip", "url", "client"})
_W3C, _CLOUDFRONT, _COLUMNS = w3c.Reader(w3c.IIS, b" "), w3c.Reader(w3c.CLOUDFRONT, b"\t"), columns.Columns()
_HAPROXY = haproxy.Captures()
# Of formats that read the first lines alike, the earlier row is taken.
FORMATS = {
    row.name: row
    for row in (
        Format("challenge", "tab-separated, with labels", frozenset({"ip", "ua", "referrer"}), sessions=False),
        Format("traefik_clf", "Traefik's access log in lines", _COMBINED),
        Format("combined", "of nginx and Apache", _COMBINED, decision=_DECISION),
        Format("common", "of Apache, without referrer and agent", _COMMON, begins="combined"),
        Format(
            "tab_combined",
            "the combined format with tabs between its fields",
            *_pattern(
                "$remote_addr\t$logname\t$remote_user\t[$time_local]\t"
                '"$request"\t$status\t$body_bytes_sent\t"$http_referer"\t"$http_user_agent"'
            ),
        ),
        Format("vhost_combined", "of Apache, the site's host before it", _COMBINED),
        Format(
            "vhost_common",
            "of Apache, the site's host before it, without referrer and agent",
            _COMMON,
            begins="vhost_combined",
        ),
        Format("forwarded_combined", "of Apache behind a proxy, `%{X-Forwarded-For}i` first", _COMBINED),
        Format("jsonl", "xbot's own, of captures and nginx/log_format.conf", _EVERY, records.load_record, plain=True),
        Format("caddy", "Caddy's access log in JSON", _EVERY, records.load_caddy),
        Format("traefik", "Traefik's access log in JSON", _EVERY - {"tls"}, records.load_traefik),
        Format(
            "nginx_json", "nginx's `escape=json` and others, an object of named fields", _COMBINED, named.load_named
        ),
        Format("logfmt", "name=value, of Heroku's router, Rails' lograge and others", _COMBINED, pairs.load_logfmt),
        Format("ltsv", "name:value, with tabs between", _COMBINED, pairs.load_ltsv),
        Format("csv", "columns, with their names in the first line", _COMBINED, _COLUMNS.load, fields=_COLUMNS),
        Format("varnish", "of Varnish (varnishncsa), a whole URL in each request", *_varnish()),
        Format("squid", "Squid's own", *_squid()),
        Format("haproxy", "HAProxy's `option httplog`", _HAPROXY.groups, _HAPROXY.load, fields=_HAPROXY),
        Format(
            "envoy",
            "Envoy's default",
            *_pattern(
                '[$time_iso8601] "$request" $status $flags $bytes_received $bytes_sent $duration $upstream_time '
                '"$forwarded" "$http_user_agent" "$request_id" "$http_host" "$upstream_host"',
                "none",
            ),
        ),
        Format(
            "aws_alb",
            "AWS's Application Load Balancer",
            *_pattern(
                "$type $time_iso8601 $elb $client $target $request_time $target_time $response_time $status $target_status "
                '$received_bytes $bytes_sent "$request_url" "$http_user_agent" $cipher $ssl_protocol $more'
            ),
        ),
        Format(
            "aws_elb",
            "AWS's Classic Load Balancer",
            *_pattern(
                "$time_iso8601 $elb $client $target $request_time $target_time $response_time $status $target_status "
                '$received_bytes $bytes_sent "$request_url" "$http_user_agent" $cipher $ssl_protocol'
            ),
        ),
        Format(
            "aws_s3",
            "AWS S3's server access log",
            *_pattern(
                "$owner $bucket [$time_local] $remote_addr $requester $id $operation $key "
                '"$request" $status $error $bytes_sent $object_size $total_time $turn_around "$http_referer" "$http_user_agent" $more'
            ),
        ),
        Format(
            "nginx_proxy_manager",
            "of Nginx Proxy Manager",
            *_pattern(
                '[$time_local] $statuses - $request_method $scheme $host "$request_uri" [Client $remote_addr] '
                '[Length $body_bytes_sent] [Gzip $gzip_ratio] "$http_user_agent" "$http_referer"'
            ),
        ),
        Format(
            "aws_api_gateway",
            "AWS API Gateway's access log, its CSV",
            *_columns(
                "$remote_addr,$caller,$user,$time_local,$request_method,$uri,$server_protocol,$status,$body_bytes_sent,"
                "$request_id,$extended_request_id",
                ",",
            ),
        ),
        Format(
            "bunny",
            "Bunny CDN's, with bars between",
            *_columns(
                "$cache|$status|$msec|$bytes_sent|$zone|$remote_addr|$http_referer|$url|$edge|$http_user_agent|$id|$country",
                "|",
            ),
        ),
        Format("iis", "IIS's own", *_iis()),
        Format("uvicorn", "of uvicorn (Python)", *_pattern('$client - "$request" $status $reason')),
        Format("cloudfront", "AWS CloudFront's standard log", _COMBINED, _CLOUDFRONT.load, fields=_CLOUDFRONT),
        Format("w3c", "the W3C's extended format, of IIS", _COMBINED, _W3C.load, fields=_W3C),
    )
}
NAMES = tuple(FORMATS)


@lru_cache(maxsize=64)
def find(name: str) -> Format:
    """The format of a row's name, or of a pattern (patterns.py); XbotError for what is neither."""
    if name in FORMATS:
        return FORMATS[name]
    if (captures := haproxy.told(name)) is not None:
        return Format(name, "HAProxy's, with captures", captures.groups, captures.load, fields=captures)
    made = patterns.compiled(name)
    return Format(name, "a pattern", variables.groups(made.names), made.load)
