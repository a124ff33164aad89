"""What the pages point at is there: files, headings, and the paths and files that they name.

Law: each page is read, and what it names is looked for in the tree; nothing is listed by hand but what no tree of ours holds.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from places import ROOT

PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# What users have, or visitors ask for, and no tree holds.
THEIRS = set(
    "site.xbot old.xbot robots.txt ads.txt resolv.conf NAME.txt script.js config.js console.js mixed.json live.json".split()
)
MADE = ("bench/results/",)  # by the commands of a page
KINDS = "py c h pyx pxi pxd pyi def toml tsv conf md yaml yml json sh js txt xbot".split()


@cache
def tracked() -> frozenset[str]:
    """The names of all files in the tree."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git tree")
    return frozenset(Path(line).name for line in listed.stdout.splitlines())


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    lines = re.sub(r"^    .*$", "", page.read_text(), flags=re.MULTILINE).splitlines()
    titles = [
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip()) for line in lines if line.startswith("#")
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def named(page: Path) -> Iterator[str]:
    """The files that a page names between backticks."""
    kinds = "|".join(KINDS)
    for said in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()):
        yield from re.findall(rf"(?<![\w*./<-])[\w./-]*\w\.(?:{kinds})(?![\w.*])", said)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_link_leads_somewhere(page: Path) -> None:
    here = ROOT / page
    for link in re.findall(r"\]\(([^)\s]+)\)", here.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        led_to = (here.parent / file).resolve() if file else here
        assert led_to.exists(), f"{page}: {link}"
        assert not anchor or anchor in headings(led_to), f"{page}: {link}: no such heading"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_each_file_that_is_named_exists(page: Path) -> None:
    """By its name: a page may say it from a folder that its text is about."""
    gone = {name for name in named(page) if Path(name).name not in tracked() | THEIRS}
    assert gone == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_each_path_from_the_top_exists(page: Path) -> None:
    tops = "|".join(sorted(each.name for each in ROOT.iterdir() if each.is_dir() and not each.name.startswith(".")))
    for said in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()):
        for path in re.findall(rf"(?<![\w./-])(?:{tops})/[\w./-]*", said):
            assert path.startswith(MADE) or (ROOT / path.rstrip(".")).exists(), f"{page}: {path}"


def test_every_page_of_docs_is_on_the_readme() -> None:
    told = set(re.findall(r"\(docs/([\w-]+\.md)", (ROOT / "README.md").read_text()))
    assert {page.name for page in PAGES if page.parent.name == "docs"} == told
