"""The bench for real, briefly: the shape of its JSON, and that no row measures something easier than it says.

Times are not judged here: there is none that another machine, or a busy one, must meet.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import heads  # noqa: E402
import load  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402

needs_load = pytest.mark.skipif(bool(rows.missing(("nginx", "wrk"))), reason="nginx or wrk is missing")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[rows.Bench]:
    cores = frozenset(os.sched_getaffinity(0))
    with processes.Processes() as started:
        yield rows.Bench(tmp_path, started, cores, cores, tmp_path / "model.xbot", tmp_path / "hackathon.pickle")


@needs_load
def test_a_short_run(tmp_path: Path) -> None:
    out, document = tmp_path / "result.json", tmp_path / "document.md"
    document.write_text(f"before\n{report.BEGIN}\nstale figures\n{report.END}\nafter\n")
    command = [sys.executable, BENCH / "run.py", "--rounds", "1", "--seconds", "0.3", "--json", out]
    command += ["--markdown", document, *(word for row in rows.ROWS for word in ("--only", row.name))]
    environment = {name: value for name, value in os.environ.items() if name != "XBOT_DATA"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())

    assert set(result["rows"]) | set(result["skipped"]) == {row.name for row in rows.ROWS}
    assert all("missing" in reason for reason in result["skipped"].values())
    assert {"unguarded", "static"} <= set(result["rows"])
    for name, row in result["rows"].items():
        (one,) = row["rounds"]
        assert one["failed"] == 0, name
        assert one["requests"] > 0
        assert one["p99_ms"] >= one["p50_ms"] > 0
        assert one["nginx_us"] > 0
        assert (one["service_us"] > 0) == bool(row["memory"]) == (name != "unguarded")
        assert row["median"] == row["min"] == row["max"] == one
        assert sum(row["told"].values()) == heads.POOL
    if "xbot" in result["rows"]:
        assert "xbot over static" in done.stdout
        assert result["sidecar"]["answers"] >= result["rows"]["xbot"]["rounds"][0]["requests"]
        assert len(result["rows"]["xbot"]["memory"]) == 2  # master and one worker
    if "hackathon" in result["rows"]:
        assert 0.9 < result["hackathon"]["accuracy"] <= 1
        assert len(result["rows"]["hackathon"]["memory"]) == rows.HACKATHON_PROCESSES
    assert {"machine", "versions", "commit", "run", "ratios"} <= set(result)

    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale figures" not in text
    assert "nginx alone" in text


@needs_load
def test_a_row_that_does_not_judge_is_caught(bench: rows.Bench) -> None:
    """The fixed answer, sold as a judge: the browser gets its due, the bot does not."""

    class Sold(rows.Static):
        name = "sold"
        expects = rows.Xbot.expects

    bench.start_site()
    with pytest.raises(rows.NotJudgingError, match="sold: the site was told human of the bot, not bot"):
        rows.Running(Sold(), bench).check()


@needs_load
def test_a_row_whose_service_is_away_is_caught(bench: rows.Bench, tmp_path: Path) -> None:
    """Fail-open answers every request quickly, and with 200: neither when checked nor under load is that work."""

    class Away(rows.Row):
        name = "away"
        title = "nginx that asks a socket where nobody listens"
        expects = rows.Static.expects

        def start(self, bench: rows.Bench) -> rows.Gate:
            return rows.project_gate(bench, self.name, bench.directory / "nobody.sock")

    bench.start_site()
    running = rows.Running(Away(), bench)
    with pytest.raises(rows.NotJudgingError, match="away: the site was told unknown of the browser, not human"):
        running.check()
    one = running.measure(load.write_heads(heads.pool(), tmp_path / "heads"), 0.3)
    assert one["failed"] >= one["requests"] > 0


@needs_load
def test_failed_requests_are_counted_and_said(bench: rows.Bench, tmp_path: Path) -> None:
    """Heads that nginx refuses with 400 are answers too, and fast ones: they must not count as work done."""
    bench.start_site()
    running = rows.Running(rows.Unguarded(), bench)
    broken = heads.Head("broken", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    one = running.measure(load.write_heads([broken], tmp_path / "heads"), 0.3)
    assert one["failed"] >= one["requests"] > 0


@needs_load
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the middle of the load ends wrk and every nginx."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, BENCH / "run.py", "--rounds", "9", "--seconds", "30", "--only", "static"]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    children = [run.pid]
    while b"wrk\n" not in names(children):
        children = processes.tree(run.pid)
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(children) >= 8  # the bench, three nginx of two processes each, wrk
    run.send_signal(number)
    assert run.wait(30) != 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.iterdir())


def names(pids: list[int]) -> list[bytes]:
    comms = (Path(f"/proc/{pid}/comm") for pid in pids)
    return [comm.read_bytes() for comm in comms if comm.exists()]


def test_the_load_is_the_same_everywhere() -> None:
    pool = heads.pool()
    assert pool == heads.pool()
    assert len(pool) == heads.POOL
    assert {head.kind for head in pool} == {"browser", "bot"}
    browsers = [len(head.bytes) for head in pool if head.kind == "browser"]
    assert 600 < sum(browsers) / len(browsers) < 800
    assert all(head.bytes.endswith(b"\r\n\r\n") and b"\0" not in head.bytes for head in pool)


def test_a_missing_peer_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import run

    monkeypatch.setattr(rows.Hackathon, "needs", ("no_such_peer",))
    monkeypatch.setitem(rows.INSTALL, "no_such_peer", "apt-get install no-such-peer")
    chosen, skipped = run.choose(("hackathon",))
    assert not chosen
    assert skipped == {"hackathon": "no_such_peer is missing (apt-get install no-such-peer)"}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"result_version": 0}'])
def test_what_is_no_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    import run

    (tmp_path / "other.json").write_text(text)
    with pytest.raises(processes.BenchError, match=r"other\.json: "):
        run.read(tmp_path / "other.json")


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no place for the tables"):
        report.update(document, {})
    assert document.read_text() == "nothing here\n"


# ---- logs ----


def test_logs_are_scored_and_trained_on(tmp_path: Path) -> None:
    """Small ones, by the real commands; the tables come between the marks."""
    pytest.importorskip("crawleruseragents", reason="needs: pip install 'xbot[corpus]'")
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- logs -->\nstale figures\n<!-- /logs -->\nafter\n")
    command = [sys.executable, BENCH / "logs.py", "--lines", "2000", "--rounds", "1", "--train", "2000"]
    done = subprocess.run([*command, "--markdown", document], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    text = document.read_text()
    assert text.startswith("before\n<!-- logs -->\n| lines scored |")
    assert text.endswith("<!-- /logs -->\nafter\n")
    assert "stale" not in text
    cells = {row[1]: row[2:-1] for line in text.splitlines() if len(row := [c.strip() for c in line.split("|")]) > 3}
    assert float(cells["xbot score"][0].split()[0].replace(",", "")) > 0
    assert float(cells["xbot score, jsonl with all headers"][0].split()[0].replace(",", "")) > 0
    seconds, _, memory = cells["2,000 lines"]
    assert float(seconds) > 0
    assert 50 < float(memory) < 1000  # the interpreter, numpy and scikit-learn at least
