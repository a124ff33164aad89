"""What README says in figures is what the tables of docs/ say, which commands write; and so are figures of instructions.

Law: a sentence is read by its words and compared with rows of a table; neither is typed here again.
"""

from __future__ import annotations

import json
import re

import pytest
from places import ROOT

README = " ".join((ROOT / "README.md").read_text().split())
ROWS = {  # how a row of README's first table begins, and which of benchmarks.md it is
    "none: nginx alone": "nginx alone",
    "the module inside nginx": "nginx + the module, default model, policies, lists, table",
    "the sidecar": "nginx + xbot",
    "a second nginx": "nginx + static 204 of a second nginx",
    "FastAPI": "nginx + FastAPI, uvicorn and scikit-learn",
    "ModSecurity": "nginx + ModSecurity, core rule set",
    "the design it grew out of": "nginx + 16 Tornado processes with a pickled SVC",
}


def table(page: str, begins: str) -> list[list[str]]:
    """The rows of the first table of a page whose head begins so."""
    found = re.search(rf"^\| {re.escape(begins)}.*\n\|.*\n((?:\|.*\n)+)", (ROOT / page).read_text(), re.MULTILINE)
    assert found, (page, begins)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def number(cell: str) -> float:
    """The first of a cell."""
    found = re.search(r"-?[\d,]*\.?\d+", cell)
    return float(found[0].replace(",", "")) if found else 0.0


def said(pattern: str) -> list[float]:
    """The figures of README that stand where a pattern has groups."""
    found = re.search(pattern, README)
    assert found, pattern
    return [number(each) for each in found.groups()]


def test_what_it_costs() -> None:
    measured = {row[0]: row for row in table("docs/benchmarks.md", "row | requests/s | p50")}
    told = {row[0]: row[1:] for row in table("README.md", "judge | requests a second")}
    assert len(told) == len(ROWS)
    for name, (rate, cpu) in told.items():
        (row,) = (measured[each] for begins, each in ROWS.items() if name.startswith(begins))
        assert number(rate) == number(row[1]), name
        assert number(cpu) == pytest.approx(number(row[5]) + number(row[6]), rel=0.005), name


def test_what_a_question_adds() -> None:
    added = {row[0]: row for row in table("docs/benchmarks.md", "row | requests/s | p50, ms")}
    module, sidecar = (added[f"{name} less unguarded, within each round"] for name in ("module_shipped", "xbot"))
    assert said(r"the module adds ([\d.]+) ms and the sidecar ([\d.]+) ms in the median") == [
        number(module[2]),
        number(sidecar[2]),
    ]
    assert said(r"nothing that can be told and ([\d.]+) ms at the 99th") == [number(sidecar[4])]
    assert number(module[4]) <= 0
    head = {(row[0], row[1]): row for row in table("docs/benchmarks.md", "head | stage")}["typical", "answer"]
    assert said(r"A head of (\d+) bytes becomes a verdict in ([\d.]+) µs") == [number(head[2]), number(head[3]) / 1000]


def quality(name: str) -> float:
    return next(number(row[3]) for row in table("docs/default-model.md", "set | is | requests") if row[0] == name)


def captured(who: str, over: str | None = None) -> tuple[int, int]:
    """(requests, called bots) of those who begin so, looked at and kept."""
    rows = [
        row
        for row in table("docs/default-model.md", "who | is | over")
        if row[0].startswith(who) and over in (None, row[2])
    ]
    return tuple(int(sum(number(row[a]) + number(row[b]) for row in rows)) for a, b in ((3, 6), (4, 7)))  # type: ignore[return-value]


def test_what_it_finds() -> None:
    assert said(r"header sets of real browsers it refuses (\d+) in 2,000") == [
        round(20 * quality("header sets: browsers"))
    ]
    assert (said(r"of ([\d,]+) captured requests of people's browsers none")[0], 0) == captured("person")
    assert said(r"in browsers' clothes it finds (\d+)%") == [int(quality("honeypot: agent is browser"))]
    caught = said(r"of ([\d,]+) captured over https, by libraries in browsers' clothes, all")[0]
    assert (caught, caught) == captured("library: in clothes", "https")
    best = next(row for row in table("docs/default-model.md", "attack | clients") if row[0] == "one change")
    assert said(r"best single change to all that it catches frees (\d+)%") == [round(number(best[5]))]


def test_what_it_refuses_in_ordinary_moments() -> None:
    card = " ".join((ROOT / "docs/default-model.md").read_text().split())
    told = re.findall(r"Of the ([\d,]+) requests themselves, in (\d+) ordinary moments .* none is called a bot", card)
    assert [said(r"of ([\d,]+) that .* in (\d+) ordinary moments none")] == [[number(each) for each in told[0]]]


def test_what_it_finds_by_behaviour() -> None:
    traffic = " ".join((ROOT / "docs/traffic.md").read_text().split())
    held, people = re.search(
        r"none of the ([\d,]+) clients of people is refused.*?and (\d+)% of those held out", traffic
    ).groups()[::-1]  # type: ignore[union-attr]
    assert said(r"browser sends, (\d+)% of those held out") == [number(held)]
    assert said(r"none of ([\d,]+) clients of people is") == [number(people)]


def test_what_a_record_costs() -> None:
    """bench/instructions.json, which `make bench-check` keeps."""
    counts = json.loads((ROOT / "bench/instructions.json").read_text())["instructions"]
    added = [counts[f"{head}, recorded"] - counts[f"{head}, answer"] for head in ("small", "typical")]
    share = [100 * more / counts[f"{head}, answer"] for more, head in zip(added, ("small", "typical"), strict=True)]
    page = " ".join((ROOT / "docs/operations.md").read_text().split())
    found = re.search(
        r"costs a worker ([\d.]+)% more .*? and ([\d.]+)% for a browser's .*?: (\d+) and (\d+) instructions", page
    )
    assert found
    assert [float(each) for each in found.groups()] == [*(round(each, 1) for each in share), *added]
    (typical,) = re.findall(r"it takes ([\d,]+) with the default model", (ROOT / "docs/benchmarks.md").read_text())
    assert number(typical) == counts["typical, answer"]


def test_what_the_module_costs() -> None:
    """bench/inside.py counts through nginx; what `make bench-check` keeps of it is near."""
    counts = json.loads((ROOT / "bench/instructions.json").read_text())["instructions"]
    told = [number(row[2]) for row in table("docs/nginx-module.md", "| a request | more") if row[2]]
    assert told == pytest.approx([counts["in nginx, no table"], counts["in nginx"]], rel=0.05)


def evasion(attack: str) -> list[str]:
    return next(row for row in table("docs/default-model.md", "attack | clients") if row[0].startswith(attack))


@pytest.mark.parametrize(
    ("told", "attack"),
    [
        ("makes the best single change", "one change"),
        ("makes the best two changes", "two changes"),
        ("adds words, encodings or headers only", "padding"),
        ("changes its TLS library and nothing else", "apart: handshake"),
        ("takes the agent of a program", "apart: plain agent"),
        ("takes a browser's agent, languages", "apart: pretence"),
        ("changes its library and copies", "another handshake and a copy"),
    ],
)
def test_what_security_says_of_evasion(told: str, attack: str) -> None:
    page = table("docs/security.md", "the bot | passes afterwards")
    (share,) = (number(row[1]) for row in page if row[0].startswith(told))
    assert share == pytest.approx(number(evasion(attack)[5]), abs=0.5)


def test_what_behaviour_says_of_a_moved_threshold() -> None:
    page = (ROOT / "docs/behaviour.md").read_text()
    found = re.search(r"(\d+)% \(a honeypot's\) and (\d+)% \(plain clients'\) lie below it", page)
    assert found
    moved = evasion("no change; driven browsers have moved")
    assert [float(each) for each in found.groups()] == [round(number(moved[3])), round(number(moved[1]))]
