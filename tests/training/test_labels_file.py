"""Labels from a file: the same as a plain reading of it gives, whatever its order and size, in a byte a line.

The oracle is a dict that is filled line by line.
"""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import XbotError
from sidecar.sources import reading

np = pytest.importorskip("numpy", reason="training needs: pip install 'xbot[train]'")
labels_file = pytest.importorskip("training.labels", reason="training needs: pip install 'xbot[train]'")

WORDS = {"bot": 1, "human": 0}
ROWS = st.lists(
    st.tuples(
        st.integers(1, 200) | st.integers(1, 100_000),
        st.sampled_from(["bot", "human", "unknown", ""]),
        st.sampled_from([None, "", "-", "declared-crawler", "a,b,,c", "w\u00f6rter\u2028", "trap\tmore"]),
    ),
    min_size=1,
    max_size=60,
)


@given(ROWS, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.integers(1, 400), st.booleans())
def test_the_labels_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list, heading: bool, end: str, block: int, zipped: bool
) -> None:
    text = ["line\tlabel\trules"] * heading
    wanted, why = {}, {}
    for line, word, reason in rows:
        text.append(f"{line:05d}\t{word}" + ("" if reason is None else f"\t{reason}"))
        wanted[line] = WORDS.get(word, -1)
        first = (reason or "").partition("\t")[0]
        why[line] = tuple(part for part in first.split(",") if part) if first != "-" else ()
    path = tmp_path_factory.mktemp("labels") / "labels.tsv"
    data = (end.join(text) + end).encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK", block)
        if not any(label >= 0 for label in wanted.values()):
            # A label that a later line takes back was one, and is not missed: nothing of the kind is labelled here.
            if not any(word in WORDS for _, word, _ in rows):
                with pytest.raises(XbotError, match="no line says bot or human"):
                    labels_file.read_labels(path)
            return
        plain, full = labels_file.read_labels(path), labels_file.read_labels(path, reasons=True)
    lines = np.arange(1, 100_050)
    for labels in (plain, full):
        found = labels.of(lines)
        assert found.dtype == np.int8
        assert {int(line): int(found[line - 1]) for line in lines[found >= 0]} == {
            line: label for line, label in wanted.items() if label >= 0
        }
        assert all(labels[line] == label for line, label in wanted.items())
        assert labels[10**9] == -1
        assert labels.last == max(line for line, word, _ in rows if word in WORDS)
    assert all(full.why(line) == reasons for line, reasons in why.items())
    assert all(plain.why(line) == () for line in wanted)
    assert full.why(10**9) == ()


@pytest.mark.parametrize("reasons", [False, True])
def test_a_line_takes_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reasons: bool) -> None:
    """At its end; and never, while the file is read, more than a few for each line that is there already."""
    path, lines = tmp_path / "labels.tsv", 100_000
    monkeypatch.setattr(reading, "BLOCK", 1 << 15)
    with path.open("w") as file:
        for number in range(1, lines + 1):
            file.write(f"{number}\t{'bot' if number % 3 else 'human'}\tdeclared-crawler,robots-txt\n")
    tracemalloc.start()
    try:
        labels = labels_file.read_labels(path, reasons=reasons)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert labels.of(np.array([lines - 1, lines]))[0] == 1 * bool((lines - 1) % 3)
    a_line = 5 if reasons else 1
    assert kept < 2.5 * a_line * lines + 100_000
    assert peak < 4 * a_line * lines + 32 * reading.BLOCK


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1\tbot\nx\tbot\n", "labels.tsv:2: line: expected a line number, a tab and bot or human"),
        ("line\tlabel\n1\tbot\n\n2\tbot\n", "labels.tsv:3: line: expected a line number, a tab and bot or human"),
        ("1 bot\n", "labels.tsv:1: line: expected"),
        ("-1\tbot\n", "labels.tsv:1: line: expected"),
        ("\u00b2\tbot\n", "labels.tsv:1: line: expected"),
        ("0\tbot\n", "labels.tsv:1: line: 0: lines are counted from 1"),
        ("7\tbot\n9999999999\tbot\n", "labels.tsv:2: line: 9999999999: lines are counted from 1 to 1073741824 at most"),
        (f"{'9' * 5000}\tbot\n", f"labels.tsv:1: line: {'9' * 20}: lines are counted from 1 to"),
        ("1\tmaybe\n", "labels.tsv: no line says bot or human"),
        ("line\tlabel\n", "labels.tsv: no line says bot or human"),
        ("", "labels.tsv: no line says bot or human"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(XbotError) as caught:
        labels_file.read_labels(path)
    assert why in str(caught.value)
    assert str(caught.value).count("\n") == 0


def private_kib() -> int:
    """Of this process, which other tests may have made large."""
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])


def test_a_line_number_in_the_distance_costs_nothing(tmp_path: Path) -> None:
    """One label near the last line that there may be: its place is asked for, not filled."""
    path = tmp_path / "labels.tsv"
    path.write_text(f"{labels_file.LAST_LINE}\tbot\n")
    before = private_kib()
    labels = labels_file.read_labels(path)
    assert labels[labels_file.LAST_LINE] == 1
    assert labels[labels_file.LAST_LINE - 1] == -1
    assert private_kib() - before < labels_file.LAST_LINE // 1024 * 3 // 4


def test_labels_from_standard_input(xbot, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    line = '192.0.2.7 - - [01/Jan/2024:00:00:00 +0000] "GET /a HTTP/1.1" 200 1 "-" "curl/8"\n'
    log.write_text(line * 3)
    done = xbot(
        "features", "--csv", "--format", "combined", "--labels", "-", log, stdin=b"2\tbot\n3\thuman\n4\tunknown\n"
    )
    assert [row.split(b",")[1] for row in done.stdout.splitlines()[1:]] == [b"", b"bot", b"human"]
