"""What an owner writes, and what is written for him: configurations, records of decisions. The first byte says which.

A configuration is refused by lines that name the file, or it makes an image that opens. A record becomes one line without a cookie, from
which the very margin is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import msgspec

try:
    import atheris
except ImportError:
    atheris = None

sys.path[:0] = [str(Path(__file__).parents[2] / "support"), str(Path(__file__).parents[3])]

with atheris.instrument_imports(["sidecar.config", "sidecar.decisions"]) if atheris else contextlib.nullcontext():
    import tables

    from sidecar import core
    from sidecar.config import config, options, policies
    from sidecar.decisions.entry import Writer
    from sidecar.decisions.lookup import Decided
    from sidecar.decisions.reader import Judge
    from sidecar.errors import XbotError

KEPT = tempfile.TemporaryDirectory(prefix="xbot-fuzz-")
PLACE = Path(KEPT.name)
COOKIE = b"COOKIE5ECRET"
PRIVACY = "whole", "network", "keyed"
JUDGE = Judge(core.Model(options.DEFAULT_MODEL.read_bytes()), "0" * 64, {"default": 0.5})


def check_configuration(data: bytes) -> None:
    """It makes what can be served, or one line or more that name the file."""
    file = PLACE / "xbot.toml"
    file.write_bytes(data)
    try:
        made = policies.material(config.load(file))
    except XbotError as error:
        assert all(line.startswith((str(file), str(PLACE))) for line in str(error).splitlines()), str(error)
        return
    core.Policies(made.image())


def check_record(data: bytes) -> None:
    """Privacy and whether secrets are taken away, the dialect, the head; a cookie of ours is put into each head."""
    if len(data) < 2:
        return
    choice, dialect = data[0], core.DIALECTS[data[1] % len(core.DIALECTS)]
    first, _, rest = data[2:].partition(b"\r\n")
    head = first + b"\r\nCookie: a=" + COOKIE + b"\r\n" + rest
    request = core.Request()
    try:
        request.load_head(head, dialect)
    except ValueError:
        return
    verdict = JUDGE.model.judge(request)
    record = core.Recorded(
        id="0" * core.ID_LETTERS,
        time=1795737600_000000000,
        generation=1,
        margin=verdict.margin,
        score=verdict.score,
        outcome="bot" if verdict.bot else "human",
        refuse=verdict.bot,
        untold=False,
        reason="none",
        policy="default",
        dialect=dialect,
        past=[],
        head=head,
        handshake=None,
        logged=True,
        doubt="none",
        client=0,
        network=0,
        shape=0,
    )
    line = Writer(PRIVACY[choice % 3], bool(choice & 4), b"k" * 32).line(record, JUDGE)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    if dialect != "challenge":  # there, headers are the proxy's own, and none is told
        assert line.count(COOKIE) <= head.count(COOKIE) - 1  # where a target or another header has the same letters
    told = msgspec.convert(json.loads(line.decode("utf-8", "surrogateescape")), Decided)
    assert told.margin == verdict.margin
    if told.features is not None:
        vector = told.features
        again, _, _ = JUDGE.model.explain_vector(core.Request(), vector.dense, vector.words)
        assert abs(again.margin + vector.address - verdict.margin) <= 1e-9 * max(1.0, abs(verdict.margin))


KINDS = (check_configuration, check_record)


def seeds() -> list[bytes]:
    """The configurations of tests/data, and heads in each dialect."""
    files = sorted((tables.DATA / "config").glob("*/*.toml"))
    out = [b"\0" + file.read_bytes() for file in [*files, tables.DATA / "policies.toml"]]
    heads = [row["head"] for row in (*tables.heads()[:20], *tables.questions())]
    out += [bytes([1, n % 8, n % len(core.DIALECTS)]) + head for n, head in enumerate(heads)]
    # Found by this target: an address that is no text could not be written with privacy = "keyed".
    out.append(
        b"\1\2\2GET / HTTP/1.1\r\nX-Forwarded-For: 198.51.te.exa\xe0ple\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /\r\n\r\n"
    )
    target = b"GET /a?token=Xy12345678901234567890&q=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic abc\r\n\r\n"
    return [*out, *(bytes([1, n, 3]) + target for n in range(6))]


def check(data: bytes) -> None:
    if data:
        KINDS[data[0] % len(KINDS)](data[1:])


if __name__ == "__main__":
    os.chdir(PLACE)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
