"""What a listener answers to a question, and how long that takes, on one connection that is kept.

Law: it asks as a proxy does, a bounded number of times, and waits a bounded time; every dialect answers such a question. The
time is a client's: with both ways through the kernel, and with Python's own.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

import sidecar
from sidecar import core
from sidecar.config.addresses import Address, UnixAddress

QUESTIONS = 300
WAIT = 1.0  # seconds for one answer
LONGEST = 3.0  # seconds for all of them
# Of a network for documentation (RFC 5737). The query is for the dialect `challenge`.
_TARGET = "/?ip=192.0.2.1&user_agent=xbot-check"
_HEADERS = {
    "Host": "localhost",
    "X-Real-IP": "192.0.2.1",
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Uri": "/",
    "X-Forwarded-Method": "GET",
    "X-Original-URI": "/",
    "X-Original-URL": "http://localhost/",
    "X-Original-Method": "GET",
    "X-Original-Protocol": "HTTP/1.1",
    "User-Agent": f"xbot-check/{sidecar.__version__}",
    "Accept": "*/*",
}


@dataclass(frozen=True)
class Answer:
    """One reply. Header names in lower case."""

    status: int
    headers: Mapping[str, str]

    @property
    def wrong(self) -> str | None:
        """Why this is no answer of a sidecar, if it is none."""
        outcome, score = self.headers.get("x-bot"), self.headers.get("x-bot-score", "")
        if self.status not in (200, 204, 403) or outcome is None:
            return f"it answers {self.status} {'without X-Bot' if outcome is None else ''}".rstrip()
        if outcome not in core.OUTCOMES or not re.fullmatch(r"[01]\.\d{4}", score):
            return f"it answers X-Bot: {outcome}, X-Bot-Score: {score}"
        return None


@dataclass(frozen=True)
class Cost:
    """Of `questions` answers on one connection: the median and the 99th percentile, in seconds."""

    questions: int
    p50: float
    p99: float


class Connection:
    """A kept connection to a listener. OSError if there is none, or if an answer does not come."""

    def __init__(self, address: Address) -> None:
        if isinstance(address, UnixAddress):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(WAIT)
            try:
                self._socket.connect(str(address.path))
            except BaseException:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection((address.host, address.port), WAIT)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, policy: str = "") -> Answer:
        """One question; `policy` is asked for by name."""
        head = self._exchange(_question(policy))
        first, _, rest = head.partition(b"\r\n")
        status = re.match(rb"HTTP/1\.[01] (\d{3})", first)
        try:
            headers = http.client.parse_headers(io.BytesIO(rest))
        except http.client.HTTPException as error:
            raise ConnectionError(f"it does not answer in HTTP: {error}") from None
        return Answer(int(status[1]) if status else 0, {name.lower(): value for name, value in headers.items()})

    def cost(self) -> Cost:
        """Asks many times, for LONGEST at most."""
        question, times, begin = _question(), list[float](), time.monotonic()
        while len(times) < QUESTIONS and time.monotonic() < begin + LONGEST:
            start = time.perf_counter()
            self._exchange(question)
            times.append(time.perf_counter() - start)
        times.sort()
        return Cost(len(times), times[len(times) // 2], times[len(times) * 99 // 100])

    def _exchange(self, question: bytes) -> bytes:
        """The head of the answer, with the empty line; a sidecar sends no more than that."""
        self._socket.sendall(question)
        answer, end = b"", time.monotonic() + LONGEST
        while b"\r\n\r\n" not in answer:
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("the connection ends before an answer has come")
            answer += more
            if len(answer) > core.MAX_HEAD or time.monotonic() > end:
                raise ConnectionError("its answer does not end")
        return answer[: answer.index(b"\r\n\r\n") + 4]


def _question(policy: str = "") -> bytes:
    headers = {**_HEADERS, **({"X-Bot-Policy": policy} if policy else {})}
    lines = [f"GET {_TARGET} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
