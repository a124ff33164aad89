"""The bench for real, briefly: the shape of its JSON, and that no row measures something easier than it says.

Times are not judged here: there is none that another machine, or a busy one, must meet.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from places import ROOT
from sidecar_harness import alive

BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))

import check  # noqa: E402
import heads  # noqa: E402
import load  # noqa: E402
import openloop  # noqa: E402
import processes  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import services  # noqa: E402
import verified  # noqa: E402

needs_load = pytest.mark.skipif(bool(rows.missing(("nginx", "wrk"))), reason="nginx or wrk is missing")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[rows.Bench]:
    cores = frozenset(os.sched_getaffinity(0))
    with processes.Processes() as started:
        yield rows.Bench(tmp_path, started, cores, cores, tmp_path / "log", tmp_path / "model.xbot")


def short_run(place: Path, seconds: float, chosen: list[str]) -> tuple[dict[str, Any], str, Path]:
    """The result of one round, what was printed, and the document that the tables went into."""
    out, document = place / "result.json", place / "document.md"
    document.write_text(f"before\n{report.BEGIN}\nstale figures\n{report.END}\nafter\n")
    command = [sys.executable, BENCH / "run.py", "--rounds", "1", "--seconds", str(seconds), "--json", out]
    command += ["--markdown", document, *(word for name in chosen for word in ("--only", name))]
    environment = {name: value for name, value in os.environ.items() if name != "XBOT_DATA"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout, document


COMMANDS = sorted(path.name for path in BENCH.glob("*.py") if "@click.command" in path.read_text())


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_starts(command: str) -> None:
    """Some run for minutes and are in no other test: what they import must be where they look for it."""
    done = subprocess.run([sys.executable, BENCH / command, "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage:")


@needs_load
@pytest.mark.long
def test_a_short_run_of_every_row(tmp_path: Path) -> None:
    result, printed, document = short_run(tmp_path, 1.0, [row.name for row in services.ROWS])

    assert set(result["rows"]) | set(result["skipped"]) == {row.name for row in services.ROWS}
    assert all("missing" in reason for reason in result["skipped"].values())
    assert {"unguarded", "static"} <= set(result["rows"])
    by_module = {"module_shipped", "module", "module_alone"}
    inside = {"unguarded", *by_module, "lua", "njs", "modsecurity"}  # nginx alone does their work
    for name, row in result["rows"].items():
        (one,) = row["rounds"]
        assert one["failed"] == 0, name
        assert one["requests"] > 0
        assert one["p99_ms"] >= one["p50_ms"] > 0
        assert one["nginx_us"] > 0
        assert (one["service_us"] > 0) == bool(row["memory"]) == (name not in inside)
        assert row["median"] == row["min"] == row["max"] == one
        assert sum(row["told"].values()) == heads.POOL
    if "xbot" in result["rows"]:
        assert "xbot over static" in printed
        assert result["sidecar"]["answers"] >= result["rows"]["xbot"]["rounds"][0]["requests"]
        assert len(result["rows"]["xbot"]["memory"]) == 2  # master and one worker
    for name in {"module", "module_alone", "lua", "njs"} & set(
        result["rows"]
    ):  # the same model, in other languages, too
        assert result["rows"][name]["told"] == result["rows"]["xbot"]["told"]
    if by_module & set(result["rows"]):
        assert by_module <= set(result["rows"])
        assert "module_shipped over unguarded" in printed
    if "hackathon" in result["rows"]:
        assert 0.9 < result["rows"]["hackathon"]["model"]["accuracy"] <= 1
        assert len(result["rows"]["hackathon"]["memory"]) == services.HACKATHON_PROCESSES
    assert {"machine", "versions", "commit", "run", "ratios"} <= set(result)

    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale figures" not in text
    assert "nginx alone" in text
    assert "nginx alone" in document.with_suffix(".svg").read_text()
    assert json.loads(document.with_suffix(".json").read_text()) == result


@needs_load
@pytest.mark.skipif(bool(rows.missing(("h2load", "xbot"))), reason="h2load or xbot is missing")
@pytest.mark.long
def test_a_short_run_of_the_other_parts(tmp_path: Path) -> None:
    import run

    result, printed, _ = short_run(tmp_path, 0.2, ["xbot", "open", "socket", "life", "settings", "https", "hop"])
    found = result["open"]["xbot"]
    for one in (*found["rounds"], *found["ladder"]):
        values = list(one["percentiles"].values())
        assert values == sorted(values)
        assert one["failed"] == 0
        assert one["requests"] > 0
    assert len(found["ladder"]) == len(run.OPEN_STEPS)
    for generator in result["parts"]["socket"].values():
        assert set(generator["services"]) == {"static", "xbot"}
        assert all(one["max"]["failed"] == 0 < one["min"]["service_us"] for one in generator["services"].values())
    life = result["parts"]["life"]
    assert 0 < life["reload_ms"]["min"] <= life["reload_ms"]["max"]
    assert len(life["memory"]) == 2
    assert [one["workers"] for one in life["scaling"]] == [1, 2][: len(os.sched_getaffinity(0))]
    assert all(one["failed"] == 0 < one["min"]["requests_per_second"] for one in result["parts"]["settings"].values())
    assert (
        result["parts"]["settings"]["cached"]["median"]["service_us"]
        < result["parts"]["settings"]["shipped"]["median"]["service_us"]
    )
    https = result["parts"]["https"]
    assert set(https) == {"unguarded_https", "static_https", "untold", "told", "always"}
    assert all(one["failed"] == 0 < one["min"]["requests_per_second"] for one in https.values())
    if "hop" in result["parts"]:  # to ask is one more exchange
        asked, alone = (result["parts"]["hop"][name]["nginx"] for name in ("xbot", "unguarded"))
        assert asked["writev"] > alone["writev"] + 0.5
        assert asked["recvfrom"] > alone["recvfrom"] + 0.5
    assert "Open loop" in printed
    assert "reload" in printed


@needs_load
def test_a_row_that_does_not_judge_is_caught(bench: rows.Bench) -> None:
    """The fixed answer, sold as a judge: the browser gets its due, the bot does not."""

    class Sold(services.Static):
        name = "sold"
        expects = services.Xbot.expects

    bench.start_site()
    with pytest.raises(rows.NotJudgingError, match="sold: the site was told human of the bot, not bot"):
        rows.Running(Sold(), bench).check()


@needs_load
def test_a_row_whose_service_is_away_is_caught(bench: rows.Bench, tmp_path: Path) -> None:
    """Fail-open answers every request quickly, and with 200: neither when checked nor under load is that work."""

    class Away(rows.Row):
        name = "away"
        title = "nginx that asks a socket where nobody listens"
        expects = services.Static.expects

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
    running = rows.Running(services.Unguarded(), bench)
    broken = heads.Head("broken", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    one = running.measure(load.write_heads([broken], tmp_path / "heads"), 0.3)
    assert one["failed"] >= one["requests"] > 0


@needs_load
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
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
    assert not [pid for pid in children if alive(pid)]
    assert not list(tmp_path.iterdir())


def names(pids: list[int]) -> list[bytes]:
    comms = (Path(f"/proc/{pid}/comm") for pid in pids)
    return [comm.read_bytes() for comm in comms if comm.exists()]


@pytest.mark.skipif(bool(rows.missing(("h2load",))), reason="h2load is missing")
def test_who_comes_while_the_service_stalls_is_counted(tmp_path: Path) -> None:
    """A service that answers nobody for half a second at 200 requests a second: a hundred visitors waited, not only those
    whose requests were on the way."""
    stall, rate, heard = 0.5, 200.0, 0

    class Service(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            nonlocal heard
            while self.request.recv(4096):
                heard += 1
                if heard >= 150 and not over.is_set():  # the clock of the stall starts with the first who meets it
                    threading.Timer(stall, over.set).start()
                    over.wait()
                self.request.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    over = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Service) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, cores = f"http://127.0.0.1:{server.server_address[1]}/", frozenset(os.sched_getaffinity(0))
        found = openloop.measure(url, heads.pool()[0], rate, 2.0, cores, tmp_path)
        server.shutdown()
    lines = [line.split() for line in (tmp_path / "h2load.log").read_text().splitlines()]
    late = [float(line[2]) for line in lines if float(line[2]) > 50_000]
    seen = openloop.corrected(late, openloop.FEWEST / rate * 1e6)
    assert found["failed"] == 0
    assert sum(value > 50_000 for value in seen) >= 0.8 * rate * (stall - 0.05)
    assert found["percentiles"]["p99"] > 400_000


def test_the_correction_adds_who_was_held_back() -> None:
    assert openloop.corrected([1.0, 35.0], 10.0) == [1.0, 5.0, 15.0, 25.0, 35.0]
    assert openloop.percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert openloop.percentile([1.0, 2.0, 3.0, 4.0], 99.9) == 4.0


FIGURES = {"typical, answer": 10_000}


@pytest.mark.parametrize(
    ("counted", "status", "said"),
    [(10_099, 0, "+0.99%"), (9_901, 0, "-0.99%"), (10_101, 1, "+1.01%"), (9_899, 1, "-1.01%"), (None, 1, "gone")],
)
def test_a_count_that_is_off_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int | None, status: int, said: str
) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"made_with": check.identity(), "instructions": FIGURES}))
    monkeypatch.setattr(check, "program", lambda _: "found")
    monkeypatch.setattr(check, "count", lambda: {"typical, answer": counted} if counted else {})
    done = CliRunner().invoke(check.main, ["--figures", str(file)])
    assert done.exit_code == status
    assert said in done.output


@pytest.mark.parametrize(
    ("nginx", "why", "said"),
    [("0.9", "", "the figures are of 0.9"), (None, "not built", "not built"), (None, "", "gone")],
)
def test_rows_of_nginx_need_the_module_and_the_same_nginx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nginx: str | None, why: str, said: str
) -> None:
    file = tmp_path / "figures.json"
    made_with = check.identity() | ({"nginx": nginx} if nginx else {})
    file.write_text(json.dumps({"made_with": made_with, "instructions": FIGURES | {"in nginx, no table": 5}}))
    monkeypatch.setattr(check, "program", lambda _: "found")
    monkeypatch.setattr(check, "count", lambda: FIGURES)
    monkeypatch.setattr("inside.without_module", lambda: why)
    done = CliRunner().invoke(check.main, ["--figures", str(file)])
    assert said in done.output
    assert done.exit_code == (said == "gone")


def test_counts_of_another_compiler_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"made_with": check.identity() | {"compiler": "0.9"}, "instructions": FIGURES}))
    monkeypatch.setattr(check, "program", lambda _: "found")
    monkeypatch.setattr(check, "count", lambda: pytest.fail("it counted"))
    done = CliRunner().invoke(check.main, ["--figures", str(file)])
    assert done.exit_code == 0
    assert "cannot be compared" in done.output
    assert "compiler 0.9" in done.output


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

    monkeypatch.setattr(services.Hackathon, "needs", ("no_such_peer",))
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


@pytest.mark.long
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


LATE = r"""
#include <signal.h>
#include <unistd.h>
static void say(int n) {
    static const char said[] = "{\"requests\": 7, \"seconds\": 1, \"p50_us\": 1, \"p99_us\": 1, \"status\": 0, \"connect\": 0, "
                               "\"read\": 0, \"write\": 0, \"timeout\": 0}";
    _exit(write(1, said, sizeof said - 1) < n);
}
int main(void) {
    signal(SIGINT, SIG_DFL);
    sleep(1);
    signal(SIGINT, say);
    sleep(60);
}
"""


def test_a_load_that_begins_late_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine wrk was interrupted before it could hear that, and had said nothing."""
    (tmp_path / "late.c").write_text(LATE)
    subprocess.run(["cc", "-o", tmp_path / "late", tmp_path / "late.c"], check=True)
    monkeypatch.setattr(load, "program", lambda _: str(tmp_path / "late"))
    assert load.wrk(1, tmp_path / "heads", 0.1, frozenset(os.sched_getaffinity(0)))["requests"] == 7


@needs_load
@pytest.mark.long
def test_verified_crawlers_through_nginx(capsys: pytest.CaptureFixture[str]) -> None:
    """Each head is told `verified` by the one sidecar and judged by score by the other, and none fails: else it stops."""
    from rich.console import Console

    verified.through_nginx(1, 0.5, Console(width=140))
    assert "crawlers are told" in capsys.readouterr().out
