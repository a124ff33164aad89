"""What the tests of the report need: a made-up log with labels, and a page taken apart."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import html5lib

HOSTILE_AGENT = r"Mozilla/5.0 <script>document.title=1</script> \x22><img src=x onerror=alert(2)>"
HOSTILE_PATH = "/<svg/onload=alert(3)>?q='%22><iframe>"
HOSTILE_REASON = "<b onclick=alert(4)>rule</b>"
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0 Safari/537.36"


def made_log(lines: int = 1600, seed: int = 1) -> tuple[list[str], list[str]]:
    """A combined log of a made-up site and its labels. Neither class is recognised without fail, on purpose: some bots
    wear a browser's agent, and some people ask for odd things."""
    rng = random.Random(seed)
    log, labels = [], ["line\tlabel\treason"]
    for number in range(1, lines + 1):
        client = rng.randrange(100)
        bot = client >= 60
        clothed = bot and client % 3 == 0
        agent = BROWSER.format(100 + client % 9) if clothed or not bot else f"Crawl{client % 7}bot/1.{client}"
        path = rng.choice(["/", "/shop", f"/item/{rng.randrange(40)}.html", "/style.css", "/logo.png"])
        referrer = "https://site.example/" if path.endswith(("css", "png")) and rng.random() < 0.9 else "-"
        if rng.random() < (0.6 if bot else 0.04):
            path, referrer = rng.choice(["/wp-login.php", "/.env", "/robots.txt"]), "-"
        reason = "declared" if bot and not clothed else "probe" if bot else "person"
        if client in (30, 63):  # a person and a bot of each kind, who send HTML
            agent, path, reason = HOSTILE_AGENT, HOSTILE_PATH, HOSTILE_REASON
        label = "unknown" if rng.random() < 0.05 else "bot" if bot else "human"
        when = f"0{1 + number * 3 // lines}/Mar/2024:{number * 24 // lines % 24:02d}:{number % 60:02d}:00 +0000"
        log.append(f'192.0.2.{client} - - [{when}] "GET {path} HTTP/1.1" 200 512 "{referrer}" "{agent}"')
        labels.append(f"{number}\t{label}\t{reason if label != 'unknown' else '-'}")
    return log, labels


class Page:
    """A parsed page, with what the tests ask for."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)  # any mistake raises
        self.root = parser.parse(self.text)

    def all(self, tag: str) -> list[Any]:
        return list(self.root.iter(tag))

    def section(self, name: str) -> Any:
        return next(element for element in self.root.iter() if element.get("id") == name)

    def cards(self) -> dict[str, str]:
        return {texts(div.find("dt")): texts(div.find("dd")) for div in self.all("div") if div.find("dt") is not None}

    def table(self, section: str, caption: str = "") -> list[list[Any]]:
        """The cells of the first table of a section whose caption, or first heading, starts so."""
        for table in self.section(section).iter("table"):
            said = table.find("caption")
            if caption in (texts(said) if said is not None else texts(next(table.iter("th")))):
                return [list(row) for row in table.find("tbody")]
        raise AssertionError(f"no table {caption!r} in {section}")

    @property
    def chooser(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.section("cuts").text)
        return found


def texts(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def counted(cell: Any) -> tuple[int, int]:
    """The two counts that a share stands for."""
    title = next(span.get("title") for span in cell.iter("span") if span.get("title"))
    part, whole = title.replace(",", "").split(" of ")
    return int(part), int(whole)
