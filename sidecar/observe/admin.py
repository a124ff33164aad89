"""The operator's endpoint: /metrics for Prometheus, /healthz for a supervisor.

It runs in a thread of the master and shares nothing with the workers but the memory of their counters.
"""

from __future__ import annotations

import socket
import threading
from http.server import ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler

from sidecar.observe.metrics import SidecarCollector
from sidecar.observe.watched import Watched


class _Handler(MetricsHandler):
    master: Watched
    timeout = 10  # seconds that a silent client may hold its thread

    server_version = "xbot"
    sys_version = ""

    def do_GET(self) -> None:  # noqa: N802 -- the name that http.server calls
        path = self.path.partition("?")[0]
        if path == "/metrics":
            super().do_GET()
        elif path == "/healthz":
            up, wanted = self.master.workers.up, self.master.workers.count
            state = "draining" if self.master.draining else f"{up} of {wanted} workers are up"
            served = self.master.served
            if served.refused:
                state += f"; model refused, served is {served.instead}: {served.refused}"
            self._text(200 if self.master.healthy else 503, state)
        else:
            self._text(404, "there are /metrics and /healthz")

    def _text(self, status: int, line: str) -> None:
        body = f"{line}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the log is for what happens to the sidecar, not for who looks at it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that goes away in the middle is no error of ours."""


class Endpoint:
    """The endpoint of `master` on the listening socket `sock`."""

    def __init__(self, sock: socket.socket, master: Watched) -> None:
        registry = CollectorRegistry()
        registry.register(SidecarCollector(master))
        handler = type("Handler", (_Handler,), {"registry": registry, "master": master})
        self._server = _Server(("", 0), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = sock

    def open(self) -> None:
        """Answer from a new daemon thread, which ends with the process."""
        threading.Thread(target=self._server.serve_forever, name="admin", daemon=True).start()

    def close(self) -> None:
        """Accept no more; blocks for half a second at most. The socket stays open."""
        self._server.shutdown()
