"""What can be watched of a running sidecar: tallies that agree with the metrics, decisions that can be added up, and hostile visitors.

Law: the sidecar is a real one, and `xbot top` and `xbot tail` are run as an operator runs them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import XBOT, run_xbot
from sidecar_harness import BROWSER, CURL, TIMEOUT, Sidecar, ask, connect, head, read_replies, wait_until

POLICIES = """
workers = 2
control = "{control}"
{more}
[policies.default]
mode = "enforce"

[policies.strict]
mode = "enforce"
threshold = 0.0001
paths = ["/strict"]
"""
HOSTILE = {
    "escape": b"\x1b[31mred\x1b]0;title\x07\x9b31m",
    "markup": b"<script>alert(1)</script>[bold red]&amp;",
    "bidi": "\u202eevil\u2066\u200b\u061c".encode(),
    "no text": b"\xff\xfe\x80 \xed\xa0\x80 \xc0\xaf",
    "long": b"A" * 8000,
    "lines": b"one\x0btwo\x0cthree\x85four \xe2\x80\xa8five\xe2\x80\xa9",
    "empty": b"",
}


@contextlib.contextmanager
def watched(place: Path, model: Path, more: str = "", **extra: Any) -> Iterator[Sidecar]:
    """A sidecar of these policies, with a control socket."""
    (place / "xbot.toml").write_text(POLICIES.format(control=place / "control", more=more))
    with Sidecar(model, "--config", place / "xbot.toml", "--admin", "127.0.0.1:0", **extra) as running:
        yield running


def top(sidecar: Sidecar) -> dict[str, Any]:
    """What `xbot top` tells a script."""
    control = sidecar.events("started")[-1]["control"].removeprefix("unix:")
    said: dict[str, Any] = json.loads(run_xbot("top", "--once", "--json", "--control", control).stdout)
    return said


def tail(sidecar: Sidecar, *words: str) -> bytes:
    control = sidecar.events("started")[-1]["control"].removeprefix("unix:")
    return run_xbot("tail", "--once", *words, "--control", control).stdout


def decisions(sidecar: Sidecar, count: int) -> list[dict[str, Any]]:
    """The last decisions, once there are so many."""
    wait_until(lambda: tail(sidecar, "--json").count(b"\n") >= count, f"{count} decisions")
    return [json.loads(line) for line in tail(sidecar, "--json").splitlines()]


def test_top_says_what_the_metrics_say(tmp_path: Path, model_path: Path) -> None:
    """By verdict and by policy, in the window and in all, whatever part of it was recorded."""
    with watched(tmp_path, model_path) as sidecar, connect(sidecar.address) as sock:
        sock.sendall(head(CURL) * 300 + head(BROWSER) * 40 + head(BROWSER, uri="/strict") * 7)
        read_replies(sock, 347)
        live = wait_until(lambda: (said := top(sidecar)["live"])["totals"]["requests"] == 347 and said)
        assert live["totals"] == {"requests": 347, "refused": 307, "human": 40, "suspect": 0, "bot": 307, "verified": 0}
        for name, requests, refused in (("default", 340, 300), ("strict", 7, 7)):
            counted = live["window"]["policies"][name]
            assert (counted["requests"], counted["refused"]) == (requests, refused)
            assert counted["requests"] == sidecar.counted("xbot_requests_total", policy=name)
            assert counted["refused"] == sidecar.counted("xbot_refused_total", policy=name)
        assert live["window"]["requests"] == sum(live["window"]["scores"]) == sidecar.counted("xbot_requests_total")
        assert live["window"]["latency"]["p50"] > 0
        # Of single decisions it knows a bounded part.
        recorded = sum(each["recorded"] for each in live["reasons"])
        assert 0 < recorded < 307
        assert len(tail(sidecar).splitlines()) <= 100
        [reason] = {each["said"] for each in live["reasons"] if each["share"] > 0.5}
        assert " " in reason


def test_an_id_says_that_there_is_no_log(tmp_path: Path, model_path: Path) -> None:
    """Watching is no log: whoever asks why finds out that there was none."""
    with watched(tmp_path, model_path) as sidecar:
        id_ = ask(sidecar.address, head(CURL))["X-Bot-Id"]
        [seen] = decisions(sidecar, 1)
        assert (seen["id"], seen["logged"]) == (id_, False)
        assert any("[decisions]" in note for note in top(sidecar)["live"]["notes"])
    (tmp_path / "log").write_text("")
    assert b"there was no log" in run_xbot("why", id_, "--log", tmp_path / "log", code=2).stderr


def test_parts_add_up_to_what_why_says(tmp_path: Path, model_path: Path) -> None:
    """With a log that samples nothing else, people are seen too; a refusal's parts are those of `xbot why`, and their sum is its margin."""
    more = '[decisions]\nfile = "decisions.jsonl"\nsample = 0\nprivacy = "network"'
    with watched(tmp_path, model_path, more) as sidecar:
        secret = {
            **CURL,
            "Cookie": "sid=COOKIESECRET",
            "Authorization": "Basic AUTHSECRET",
            "Referer": "https://a.example/?token=REFSECRET",
        }
        refused = ask(sidecar.address, head(secret, uri="/a?token=QUERYSECRET", ip="203.0.113.77"))
        ask(sidecar.address, head(BROWSER, ip="198.51.100.9"))
        seen = {each["verdict"]: each for each in decisions(sidecar, 2)}
        assert (seen["bot"]["logged"], seen["human"]["logged"]) == (True, False)
        assert (seen["bot"]["visitor"], seen["human"]["visitor"]) == ("203.0.113.0", "198.51.100.0")
        [shown] = top(sidecar)["live"]["refusals"]
        assert "SECRET" not in json.dumps([top(sidecar), seen])
        assert (tmp_path / "decisions.jsonl").read_bytes().count(b"\n") == 1
    said = run_xbot("why", refused["X-Bot-Id"], "--log", tmp_path / "decisions.jsonl", "--model", model_path, "--json")
    why = json.loads(said.stdout)
    assert shown["margin"] == pytest.approx(why["margin"], abs=1e-4)
    assert math.fsum(part["added"] for part in shown["parts"]) == pytest.approx(shown["margin"], abs=1e-9)
    whys = {part["name"]: part["contribution"] for part in why["contributions"]}
    named = [part for part in shown["parts"] if part["name"] in whys]
    assert len(named) >= 4
    for part in named:
        assert part["added"] == pytest.approx(whys[part["name"]], abs=1e-4)


def test_refused_people_and_what_looks_alike(tmp_path: Path, model_path: Path) -> None:
    """A client that the metrics call refused and a person is named; a shape has its clients and networks."""
    with watched(tmp_path, model_path) as sidecar:
        for number, target in enumerate(("/", "/b", "/strict", "/strict")):
            came = {"Cookie": "a=b", "Referer": "https://example.com/"} if number else {}
            ask(sidecar.address, head({**BROWSER, **came}, uri=target, ip="203.0.113.1"))
            part = {"Accept": "text/css,*/*;q=0.1", "Sec-Fetch-Dest": "style", "Sec-Fetch-Mode": "no-cors"}
            part |= {"Sec-Fetch-Site": "same-origin", "Referer": "https://example.com/"}
            ask(sidecar.address, head({**BROWSER, **came, **part}, uri="/a.css", ip="203.0.113.1"))
        for number in range(6):
            ask(sidecar.address, head(CURL, ip=f"198.51.{number}.7"))
        decisions(sidecar, 10)
        live = top(sidecar)["live"]
        assert sidecar.counted("xbot_doubted_clients_total", refused="yes") == 1
        [person] = live["people"]
        assert (person["visitor"], person["uri"], person["regretted"]) == ("203.0.113.1", "/strict", True)
        alike = {each["agent"]: each for each in live["shapes"]}
        program = alike[CURL["User-Agent"]]
        assert (program["clients"], program["networks"], program["verdict"]) == (6, 6, "bot")
        assert not program["grows"]  # nobody knows yet what is usual


def test_hostile_visitors_are_harmless_in_a_terminal(tmp_path: Path, model_path: Path) -> None:
    """A line each, of printable text, and no markup is obeyed."""
    with watched(tmp_path, model_path) as sidecar:
        for agent in HOSTILE.values():
            text = agent.decode("latin-1")
            ask(
                sidecar.address,
                head({**CURL, "User-Agent": text, "Referer": text}, uri="/" + text.replace(" ", "")[:4000]),
            )
        decisions(sidecar, len(HOSTILE))
        control = sidecar.events("started")[-1]["control"].removeprefix("unix:")
        lines = tail(sidecar).decode()
        screen = run_xbot("top", "--once", "--control", control).stdout.decode()
    assert len(lines.removesuffix("\n").split("\n")) == len(HOSTILE)
    for said in (lines, screen):
        assert all(c == "\n" or c.isprintable() for c in said)
        assert "\\x1b" in said
    assert all(len(line) < 1200 for line in lines.split("\n"))
    assert "<script>alert(1)</script>[bold red]&amp;" in lines


def test_tail_goes_on_and_ends_at_once(tmp_path: Path, model_path: Path) -> None:
    """Each decision once; over an upgrade too, and SIGINT is no failure."""
    with watched(tmp_path, model_path) as sidecar:
        control = sidecar.events("started")[-1]["control"].removeprefix("unix:")
        command = [XBOT, "tail", "--json", "--refused", "--interval", "0.2", "--control", control]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            seen = []
            for turn in range(3):
                ask(sidecar.address, head(BROWSER))
                told = ask(sidecar.address, head(CURL, uri=f"/{turn}"))
                seen.append(json.loads(process.stdout.readline()))
                assert (seen[-1]["uri"], seen[-1]["id"]) == (f"/{turn}", told["X-Bot-Id"])
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 0
            assert process.stdout.read() == b""


def test_top_fills_a_terminal_and_leaves_it_as_it_was(tmp_path: Path, model_path: Path) -> None:
    with watched(tmp_path, model_path) as sidecar:
        ask(sidecar.address, head(CURL))
        control = sidecar.events("started")[-1]["control"].removeprefix("unix:")
        ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm"}
        process = subprocess.Popen([XBOT, "top", "--control", control], stdin=theirs, stdout=theirs, env=environment)
        os.close(theirs)
        said = b""
        end = time.monotonic() + TIMEOUT
        while b"latest refusals" not in said and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                said += os.read(ours, 65536)
        assert b"latest refusals" in said
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the other side is gone
            while more := os.read(ours, 65536):
                said += more
        assert process.wait(TIMEOUT) == 0
        os.close(ours)
        assert said.index(b"\x1b[?1049h") < said.rindex(b"\x1b[?1049l")  # another screen, and back
        assert not re.search(rb"\n{40}", said)


@pytest.mark.parametrize("command", ["top", "tail"])
def test_without_a_sidecar_one_line_says_so(command: str, tmp_path: Path) -> None:
    said = run_xbot(command, "--once", "--control", tmp_path / "nowhere", code=2).stderr.decode()
    assert (
        said == f"xbot: {tmp_path}/nowhere: no such socket; does a sidecar run with a board? --control names another\n"
    )
