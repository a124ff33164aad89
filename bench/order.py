"""What a model loses where a proxy does not keep the order of headers, as Caddy and Traefik.

    XBOT_DATA=DIR .venv/bin/python bench/order.py [--model MODEL] [--markdown docs/proxies.md]

Law: the same requests twice, once with their headers in order and once with the same headers in none.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import quality

from sidecar import core, model
from sidecar.sources import records

# Name: file, scheme, whether only those count that have a browser's agent.
SETS = {
    "browsers, by header sets": ("headers/browsers.jsonl.gz", "https", False),
    "a honeypot's visitors": ("honeypot/requests.jsonl.gz", "http", False),
    "of these, in a browser's agent": ("honeypot/requests.jsonl.gz", "http", True),
}


def shares(loaded: model.Model, path: Path, scheme: str, browsers_only: bool) -> tuple[int, float, float]:
    """(requests, share refused with the order, share refused without it)."""
    request, rows, refused = core.Request(), 0, [0, 0]
    for row in quality.lines(path):
        if browsers_only and row["ua_kind"] != "browser":
            continue
        rows += 1
        about = {"method": "GET", "uri": row.get("path", "/"), "scheme": scheme}
        # A name that comes twice is there once in an object: the first one, as in a proxy's log.
        for kept, headers in enumerate((dict(reversed(row["headers"])), row["headers"])):
            records.load_record(json.dumps({"headers": headers, **about}).encode(), request)
            refused[kept] += loaded.judge(request).bot
    return rows, refused[1] / rows, refused[0] / rows


@click.command()
@click.option("--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table into this document.")
def main(path: Path, markdown: Path | None) -> None:
    data, loaded = quality.data_place(), model.load(path)
    table = []
    for name, (file, *how) in SETS.items():
        rows, kept, lost = shares(loaded, data / file, *how)
        table.append([name, str(rows), f"{kept:.2%}", f"{lost:.2%}"])
    text = quality.markdown(("requests", "how many", "refused, order kept", "refused, order lost"), table)
    if markdown:
        quality.put(markdown, "order", text)
    print(text)


if __name__ == "__main__":
    main()
