"""training.corpus - requests of bots and of people, made from packages that install by name (extra `corpus`).

It is what `make demo` trains on: on a machine without logs, real clients get sensible verdicts. The model must learn
the class and not the source. So a visit's frame (site.py) is drawn before its class, every agent takes the same way to
its headers (browsers.py), and tests hold that no single trait of the sources separates the classes.

    site.py (kinds.tsv), agents.py (agents.tsv)    what is asked for, when, from where, by a browser of which year: for both alike
    texts.py (queries.tsv)              long texts: queries, cookies, tokens
    browsers.py (heads.tsv, accept.tsv) the headers of a browser, in order, by engine, version and kind of request
    hints.py                            the client hints of a Chromium
    people.py (referrers.tsv)           visits by people
    robots.py (robots.tsv, tools.tsv, crawlers.tsv, probes.tsv)    visits by programs
    stacks.py (stacks.tsv)              the handshakes of both: what the TLS of a browser or a library offers
    additions.py                        what any program may add because people's requests have it
    views.py                            the same as poorer sources would have kept them: logs without headers
    published.py                        the packages: crawlers' agents, people's agents, header sets of real browsers
    tables.py                           the tables: their rows, draws by weight, and how blanks and header sets are filled
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from training.corpus import people, published, robots, site, stacks
from training.corpus.tables import Pairs

ROWS = 20_000
HOP = {"connection", "keep-alive", "upgrade", "http2-settings", "proxy-connection", "transfer-encoding"}


def generate(seed: int, rows: int = ROWS) -> Iterator[dict[str, Any]]:
    """Yields `rows` requests in the format `jsonl`, half of them by bots; the same for the same seed and packages.

    Raises XbotError if a package of the extra `corpus` is missing.
    """
    published.check()
    rng, apart = random.Random(seed), random.Random(f"stacks {seed}")
    sources = {"bot": robots.requests, "human": people.requests}
    written = {"bot": 0, "human": 0}
    while (left := rows - sum(written.values())) > 0:
        visit = site.visit(rng)
        wants = site.wants(visit, rng)
        label = min(written, key=lambda name: (written[name], rng.random()))
        connections = None
        for want, pairs, program in list(sources[label](visit, wants, rng))[:left]:
            written[label] += 1
            record = _record(label, visit, want, pairs)
            if connections is None:
                agent = next((value for name, value in pairs if name.lower() == "user-agent"), "")
                connections = stacks.Connections(visit, program, agent, apart)
            yield record | connections.fields(record["protocol"])


def _record(label: str, visit: site.Visit, want: site.Want, pairs: Pairs) -> dict[str, Any]:
    spoken_over = site.protocol(visit, want)
    return {
        "ip": visit.ip,
        "time": want.time,
        "method": want.method,
        "uri": want.path,
        "protocol": spoken_over,
        "scheme": visit.scheme,
        "host": visit.host,
        "label": label,
        "headers": spoken(pairs, spoken_over),
    }


def spoken(pairs: Pairs, protocol: str) -> Pairs:
    """`pairs` as nginx hands them on: from HTTP/2 on in lower case, none about the connection, the cookie last."""
    if protocol < "HTTP/2":
        return pairs
    small = [(name.lower(), value) for name, value in pairs if name.lower() not in HOP]
    return sorted(small, key=lambda pair: pair[0] == "cookie")  # stable: the others keep their order
