"""Lines of a log as other programs carry them: containers' runtimes, syslog, shippers, exported tables.

Law: each is as that program writes it. Read by the tests and by the fuzzer of logs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence


def of_docker(line: bytes) -> bytes:
    return json.dumps({"log": line.decode() + "\n", "stream": "stdout", "time": "2026-03-12T07:15:00.1Z"}).encode()


CARRIERS: dict[str, Callable[[bytes], bytes]] = {
    "docker": of_docker,
    "kubernetes": lambda line: b"2026-03-12T07:15:00.123456789Z stdout F " + line,
    "syslog": lambda line: b"<190>Mar  2 07:15:00 web nginx: " + line,
    "syslog file": lambda line: b"Mar 12 07:15:00 web nginx[12]: " + line,
    "rsyslog": lambda line: b"2026-03-12T07:15:00.123456+01:00 web nginx: " + line,
    "rfc5424": lambda line: b"<190>1 2026-03-12T07:15:00.123Z web nginx 12 - - " + line,
    "fly": lambda line: b"2026-03-12T07:15:00.123Z app[3d8d9a01] fra [info] " + line,
    "pm2": lambda line: b"0|web  | " + line,
    "swarm": lambda line: b"web_nginx.1.k2v@node-1    | " + line,
    "graylog": lambda line: json.dumps({"version": "1.1", "host": "web", "short_message": line.decode()}).encode(),
    "datadog": lambda line: json.dumps(
        {"id": "A", "attributes": {"status": "info", "message": line.decode()}}
    ).encode(),
    "azure": lambda line: json.dumps({"LogMessage": line.decode(), "PodName": "web"}).encode(),
    "compose": lambda line: b"web-1  | " + line,
}


def in_a_table(lines: Sequence[bytes]) -> bytes:
    """As CloudWatch and Datadog export them: comma-separated, below a line of names."""
    cells = (b'"' + line.replace(b'"', b'""') + b'"' for line in lines)
    return b"Date,Host,@message\r\n" + b"".join(b"2026-03-12T07:15:00.1Z,i-1," + cell + b"\r\n" for cell in cells)


def in_quotes(line: bytes) -> bytes:
    """A line of an access log as OpenLiteSpeed writes it."""
    return b'"' + line + b'"'
