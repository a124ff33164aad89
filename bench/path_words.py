"""Is a browser refused for the name of what it asks for? Words that scanners ask for, in the targets of real requests.

    .venv/bin/python bench/moments.py --keep FILE
    .venv/bin/python bench/path_words.py FILE [--model MODEL] [--markdown docs/default-model.md]

Law: each word of training/corpus/probes.tsv stands alone in a target, as sites have it, too; nothing else of the request is changed.
The status is 1 if one is called a bot.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import click
import quality

from sidecar import core, model
from sidecar.sources import records

PROBES = Path(__file__).resolve().parents[1] / "training" / "corpus" / "probes.tsv"
# Where the word stands; Sec-Fetch-Dest of the requests whose targets are changed so.
PLACES = {
    "/{}": "document",
    "/{}/index.html": "document",
    "/en/{}/overview": "document",
    "/{}.json": "empty",
    "/{}/app.js": "script",
    "/js/{}.js": "script",
    "/img/{}.png": "image",
    "/{}/logo.svg": "image",
}


def words() -> list[str]:
    """Those of the probes' paths but for endings: of letters, three or more."""
    lines = [line.split("\t") for line in PROBES.read_text().splitlines() if not line.startswith("#")]
    names = (re.sub(r"\.\w+$", "", target.partition("?")[0]) for _, _, target in lines)
    return sorted({word.lower() for name in names for word in re.findall(r"[A-Za-z]{3,}", name)})


def sent(kept: Path) -> list[tuple[str, dict[str, object]]]:
    """(Sec-Fetch-Dest, the record) of each request by GET that says it."""
    found = []
    for line in kept.read_text().splitlines():
        record = json.loads(line)
        said = {name.lower(): value for name, value in record["headers"]}
        if record["method"] == "GET" and "sec-fetch-dest" in said:
            found.append((said["sec-fetch-dest"], record))
    return found


@click.command(help=__doc__)
@click.argument("kept", type=click.Path(path_type=Path, exists=True))
@click.option("--model", "path", type=click.Path(path_type=Path), default=quality.DEFAULT)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table into this document.")
def main(kept: Path, path: Path, markdown: Path | None) -> None:
    loaded, request, requests, table = model.load(path), core.Request(), sent(kept), []
    refused: Counter[str] = Counter()
    for place, wanted in PLACES.items():
        asked, bots = 0, Counter[str]()
        for _, record in (one for one in requests if one[0] == wanted):
            for word in words():
                records.load_record(json.dumps(record | {"uri": place.format(word)}).encode(), request)
                asked += 1
                bots[word] += loaded.judge(request).bot
        refused += bots
        named = ", ".join(f"{word} {count}" for word, count in bots.most_common(5) if count)
        table.append([place.format("word"), str(asked), str(bots.total()), named or "-"])
    text = quality.markdown(("target", "requests", "refused", "most for"), table)
    if markdown:
        quality.put(markdown, "path-words", text)
    print(text)
    raise SystemExit(refused.total() > 0)


if __name__ == "__main__":
    main()
