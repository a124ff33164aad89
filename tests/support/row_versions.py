"""What each row of csrc/features/features.def gives on a fixed set of requests: `python tests/support/row_versions.py` keeps the record.

Law: a row whose values change has a new version. tests/data/fixed_requests.tsv is the set, and visits.py for the rows of clients,
which speak of what was before; tests/data/row_versions.tsv is the record: each row's name, version and a digest of its values. The
set is left alone; if it must change, every digest is taken anew, so that change is a commit of its own.
"""

from __future__ import annotations

import array
import hashlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

import tables
import visits

from sidecar import core
from sidecar.sources.records import load_record

REQUESTS, RECORD = tables.DATA / "fixed_requests.tsv", tables.DATA / "row_versions.tsv"
HEAD = """\
# What each row of csrc/features/features.def gave on fixed_requests.tsv and visits.py. Written by: python tests/support/row_versions.py
# requests: {requests}
# name	version	digest of its values
"""


class Row(NamedTuple):
    """A row of the record. `digest`: of its values over the set, 16 hexadecimal digits."""

    version: int
    digest: str


def requests() -> Iterator[core.Request]:
    """Each request of the set; the same object each time."""
    request = core.Request()
    for log_format, text in tables.rows(REQUESTS.name, 2):
        if log_format == "head":
            request.load_head(tables.unescape(text))
        else:
            request.load_line(log_format, tables.unescape(text))
        yield request


def in_visits() -> Iterator[core.Request]:
    """Each request of the visits, as the table of clients has it before; the same object each time."""
    request, clients = core.Request(), core.Clients(1)
    for line in visits.lines():
        load_record(line, request)
        clients.read(request)
        yield request
        clients.count(request)


def computed() -> dict[str, Row]:
    """The record as this build would write it. Of a family, the buckets of its words are its values."""
    hosts = array.array("I", sorted(map(core.host_hash, (b"example.com", b"example.org"))))
    rows = (*core.FEATURES, *core.FAMILIES)
    digests = {row.name: hashlib.sha256() for row in rows}
    for request in requests():
        dense, words = request.features(core.MAX_K, hosts)
        buckets: dict[str, list[int]] = {family.name: [] for family in core.FAMILIES}
        for bucket, family, _ in words:
            buckets[family].append(bucket)
        for row, value in zip(core.FEATURES, dense, strict=True):
            digests[row.name].update(f"{value:.17g} ".encode())
        for name, found in buckets.items():
            digests[name].update(f"{sorted(found)} ".encode())
    for request in in_visits():
        dense, _ = request.features(core.MIN_K, hosts)
        for row, value in zip(core.FEATURES, dense, strict=True):
            if row.group == "client":
                digests[row.name].update(f"{value:.17g} ".encode())
    return {row.name: Row(row.version, digests[row.name].hexdigest()[:16]) for row in rows}


def recorded() -> dict[str, Row]:
    """The record as it is kept."""
    return {name: Row(int(version), digest) for name, version, digest in tables.rows(RECORD.name, 3)}


def same_requests() -> bool:
    """Is the record of this very set of requests?"""
    return f"# requests: {_digest_of_requests()}\n" in RECORD.read_text()


def _digest_of_requests() -> str:
    return hashlib.sha256(b"\n".join([REQUESTS.read_bytes(), *visits.lines()])).hexdigest()[:16]


def faults(kept: dict[str, Row], now: dict[str, Row]) -> list[str]:
    """What breaks the law, one line each."""
    found = []
    for name, row in now.items():
        old = kept.get(name)
        if old and row.version < old.version:
            found.append(f"row {name}: version {row.version} was {old.version} before; versions only rise")
        elif old and row.version == old.version and row.digest != old.digest:
            found.append(f"its values changed: raise the version of row {name} in csrc/features/features.def")
    return found


def main() -> int:
    """Writes the record; 1 if a row's version must be raised first."""
    now = computed()
    if RECORD.exists() and same_requests() and (wrong := faults(recorded(), now)):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    lines = [f"{name}\t{row.version}\t{row.digest}\n" for name, row in now.items()]
    RECORD.write_text(HEAD.format(requests=_digest_of_requests()) + "".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
