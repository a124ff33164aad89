"""Request heads, against two parsers of other people: h11 and httptools (llhttp). Where they differ, the difference is meant.

Law: tests/data/differences.tsv lists every kind of difference with an example of our own and the reason. Each example still differs in
the way that its row says; and no head of gunicorn's, h2o's and llhttp's test data (XBOT_DATA) differs in a way that no row says.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h11
import httptools
import pytest
import tables

from sidecar import core
from sidecar.net.protocol import Server

Fields = tuple[bytes, bytes, list[tuple[bytes, bytes]]]  # method, target, headers in their order


class Result(NamedTuple):
    """What a parser makes of bytes: `ok` with fields, `bad`, or `partial`; `word` is its own on what is wrong."""

    outcome: str
    fields: Fields | None = None
    word: str = ""


class _Transport:
    def __init__(self) -> None:
        self.written = b""

    def set_write_buffer_limits(self, high: int) -> None: ...

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return True


@functools.cache
def serving(model: core.Model) -> Server:
    """One for all heads: a server takes more than a megabyte, and the loop's timers keep each until they go off."""
    return Server(core.Answerer(model))


def ours(head: bytes, model: core.Model, step: int = 0) -> Result:
    """By a connection, whole or in reads of `step` bytes; the fields are those of the binding."""
    transport, connection = _Transport(), serving(model)()
    connection.connection_made(transport)
    for at in range(0, len(head), step or len(head) or 1):
        piece = head[at : at + (step or len(head))]
        connection.get_buffer(-1)[: len(piece)] = piece
        connection.buffer_updated(len(piece))
    connection.connection_lost(None)
    if not transport.written:
        return Result("partial")
    if transport.written.startswith(b"HTTP/1.1 400 "):
        return Result("bad")
    request = core.Request()
    request.load_head(head, None)
    method, uri = request.fields["method"], request.fields["uri"]
    assert method is not None
    assert uri is not None
    return Result("ok", (method, uri, list(request.headers)))


def by_h11(head: bytes) -> Result:
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    peer.receive_data(head)
    try:
        event = peer.next_event()
    except h11.RemoteProtocolError as error:
        return Result("bad", word=str(error))
    if isinstance(event, h11.Request):
        return Result("ok", (event.method, event.target, list(event.headers.raw_items())))
    return Result("partial")


class _Heard:
    def __init__(self) -> None:
        self.uri = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = 0
        self.method = b""
        self.parser: Any = None

    def on_url(self, url: bytes) -> None:
        if not self.complete:
            self.uri += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete += 1
        if self.complete == 1:
            self.method = self.parser.get_method()


def by_httptools(head: bytes) -> Result:
    heard = _Heard()
    heard.parser = httptools.HttpRequestParser(heard)
    word = ""
    try:
        heard.parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        word = f"{type(error).__name__}: {error}"
    if heard.complete:  # what comes behind a head is not looked at
        return Result("ok", (heard.method, heard.uri, heard.headers))
    return Result("bad", word=word) if word else Result("partial")


ORACLES = {"h11": by_h11, "httptools": by_httptools}
ROWS = tables.differences()


def difference(we: Result, they: Result) -> str:
    """How they differ: the two outcomes, or `fields`; empty if they do not."""
    if we.outcome != they.outcome:
        return f"{we.outcome}, {they.outcome}"
    return "fields" if we.fields != they.fields else ""


def kinds(head: bytes, oracle: str, how: str, word: str) -> list[str]:
    """The rows that say so."""
    return [
        row["kind"]
        for row in ROWS
        if row["oracle"] in (oracle, "both")
        and row["how"] == how
        and re.search(row["word"], word)
        and re.search(row["head"], head, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    ]


def copied_heads() -> Iterator[tuple[str, bytes]]:
    """Of XBOT_DATA: name and bytes; never committed, as they are other people's."""
    with gzip.open(Path(os.environ["XBOT_DATA"]) / "heads" / "heads.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            yield row["name"], base64.b64decode(row["base64"])


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    """The timers of connections are a loop's; none of them goes off here."""
    import asyncio

    own = asyncio.new_event_loop()
    asyncio.events._set_running_loop(own)
    yield
    asyncio.events._set_running_loop(None)
    own.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']}-{row['oracle']}")
def test_each_difference_that_is_listed_is_one(row: dict[str, Any], made_model: core.Model) -> None:
    head = row["example"]
    for oracle in ORACLES if row["oracle"] == "both" else [row["oracle"]]:
        they = ORACLES[oracle](head)
        how = difference(ours(head, made_model), they)
        assert how == row["how"], they
        assert row["kind"] in kinds(head, oracle, how, they.word), they


def test_heads_that_both_must_take() -> None:
    """The table of heads is not a table of differences: most of what is good for us is good for both."""
    good = [row["head"] for row in tables.heads() if row["outcome"] == "ok" and row["keep"]]
    agreed = sum(by_httptools(head).outcome == "ok" for head in good)
    assert agreed > len(good) / 2


@pytest.mark.skipif("XBOT_DATA" not in os.environ, reason="XBOT_DATA is not set")
@pytest.mark.parametrize("oracle", ORACLES)
def test_no_other_head_differs(oracle: str, made_model: core.Model) -> None:
    unknown, same = [], 0
    for name, head in copied_heads():
        they = ORACLES[oracle](head)
        how = difference(ours(head, made_model), they)
        same += not how
        if how and not kinds(head, oracle, how, they.word):
            unknown.append(f"{name}: {how}: {they.word} {head[:200]!r}")
    assert not unknown, "\n".join(unknown)
    assert same > 300


@pytest.mark.skipif("XBOT_DATA" not in os.environ, reason="XBOT_DATA is not set")
def test_other_peoples_heads_in_pieces(made_model: core.Model) -> None:
    """Each of them, and each of its beginnings: in pieces what it is whole."""
    for name, head in copied_heads():
        if len(head) > core.MAX_HEAD:
            continue
        for size in {len(head), len(head) - 1, len(head) // 2, len(head) // 3, head.find(b"\n") + 1} - {0}:
            part = head[:size]
            whole = ours(part, made_model).outcome if part else "partial"
            for step in (1, 7, 100):
                assert ours(part, made_model, step).outcome == whole, (name, size, step)
