"""The demo, run for real: its table comes from replies through nginx, its exit code from the verdicts, and no process
of it is left. Needs nginx, the packages of the extra `corpus`, and those of the group `demo`."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import nginx_harness
import pytest
from click.testing import CliRunner
from places import ROOT

from training.corpus.published import PACKAGES

needs_nginx = pytest.mark.skipif(not nginx_harness.nginx_binary(), reason="needs nginx")
NEEDS = (*PACKAGES, "requests", "trustme")
pytestmark = pytest.mark.skipif(not all(map(find_spec, NEEDS)), reason="needs the extra `corpus` and the group `demo`")


def processes_of(environment: dict[str, str], folder: Path) -> list[str]:
    """The command lines of processes with this mark in their environment, or (nginx overwrites its own) in `folder`."""
    mark = f"XBOT_DEMO_RUN={environment['XBOT_DEMO_RUN']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or another user's
            if mark in (process / "environ").read_bytes() or (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment for the demo, run in tmp_path. At the end no process of it may be left."""
    environment = {**os.environ, "XBOT_DEMO_RUN": str(uuid.uuid4())}
    yield environment
    assert processes_of(environment, tmp_path) == []


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "demo"))
    return importlib.import_module("demo")


def command(*options: str) -> list[str]:
    return [sys.executable, str(ROOT / "demo" / "demo.py"), *options]


@needs_nginx
@pytest.mark.servers
def test_the_demo_shows_verdicts_that_came_through_nginx(tmp_path: Path, marked: dict[str, str]) -> None:
    run = subprocess.run(
        command("--once", "--dir", str(tmp_path)),
        env=marked,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.findall(r"^  (\S.*?) {2,}(bot|human)(?: \?)? +([01]\.\d{4}) +(\d{3}) ", run.stdout, re.MULTILINE)
    table = {client: (verdict, score, status) for client, verdict, score, status in found}
    assert {
        *(["curl"] if shutil.which("curl") else []),
        "Python urllib",
        "Chrome on Windows",
        "Safari on an iPhone",
        "Googlebot",
        "no User-Agent",
    } <= table.keys()
    assert table["Python urllib"][::2] == ("bot", "200")
    assert table["Firefox on Linux"][::2] == ("human", "200")
    assert table["Firefox, members' door"][::2] == ("human", "200")
    assert table["the same, members' door"][::2] == ("bot", "403")

    # One head, word for word: over http nothing tells it from Chrome's, over https the handshake does, and is the reason.
    assert table["requests as Chrome, http"] == table["Chrome on Windows"]
    assert table["requests as Chrome, https"][::2] == ("bot", "200")
    assert re.search(r"^  requests as Chrome, https +bot .* odd_tls_chrome ", run.stdout, re.MULTILINE), run.stdout
    assert re.search(r"^  requests as Chrome, https +openssl +odd_tls_chrome: ", run.stdout, re.MULTILINE), run.stdout
    if shutil.which("ffuf"):
        assert table["Go as Chrome, https"][::2] == ("bot", "200")
        assert re.search(r"^  Go as Chrome, https +go +odd_tls_chrome: ", run.stdout, re.MULTILINE), run.stdout
    assert ("apt-get install ffuf" in run.stdout) == (not shutil.which("ffuf"))

    # The site keeps what reached it; judged again by `xbot score`, each request gets the score in the table.
    score = [sys.executable, "-m", "sidecar", "score", "--json", "--format", "jsonl"]
    score += ["--model", str(tmp_path / "demo.xbot"), str(tmp_path / "visits.jsonl")]
    judged = subprocess.run(score, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    reached = [score for client, (_, score, status) in table.items() if status != "403"]
    assert [f"{json.loads(line)['score']:.4f}" for line in judged] == reached


@needs_nginx
def test_ctrl_c_ends_it(tmp_path: Path, marked: dict[str, str]) -> None:
    with subprocess.Popen(
        command("--dir", str(tmp_path), "--rows", "400"),
        env=marked,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C stops" in line:
                break
        assert re.search(r"http://127\.0\.0\.1:\d+/", said), said
        assert "xbot explain --model" in said
        running = " ".join(processes_of(marked, tmp_path))
        assert all(name in running for name in ("demo.py", " serve ", "nginx: master", "nginx: worker")), running
        time.sleep(0.2)  # until it waits
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all in front
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "\nstopped\n", "")


def test_without_nginx_it_names_the_command(demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nginx_harness, "nginx_binary", lambda: None)
    result = CliRunner().invoke(demo.main, ["--once", "--dir", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == "demo: nginx is missing; install it: apt-get install nginx-light\n"


@pytest.mark.parametrize(
    ("verdict", "status", "sure", "code"),
    [("bot", 200, True, 0), ("human", 200, True, 1), ("human", 200, False, 0), ("-", 200, True, 1)],
)
def test_once_fails_on_a_verdict_that_must_hold(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, status: int, sure: bool, code: int
) -> None:
    visit = demo.Visit("curl", "curl/8", "GET /", "bot", sure, False, status, verdict, "0.5000", "ua_short")
    monkeypatch.setattr(nginx_harness, "nginx_binary", lambda: "nginx")
    monkeypatch.setattr(demo, "train", lambda *_: None)
    monkeypatch.setattr(demo, "running", lambda *_: contextlib.nullcontext((None, None)))
    monkeypatch.setattr(demo, "send", lambda *_: [visit])
    monkeypatch.setattr(demo, "show_handshakes", lambda *_: None)
    result = CliRunner().invoke(demo.main, ["--once", "--dir", str(tmp_path)])
    assert result.exit_code == code
    assert ("curl was called" in result.output) == bool(code)


def test_a_refusal_that_was_not_carried_out_fails_too(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = demo.Visit("curl", "curl/8", "GET /members/", "bot", False, False, 200, "bot", "0.9999", "ua_short")
    monkeypatch.setattr(nginx_harness, "nginx_binary", lambda: "nginx")
    monkeypatch.setattr(demo, "train", lambda *_: None)
    monkeypatch.setattr(demo, "running", lambda *_: contextlib.nullcontext((None, None)))
    monkeypatch.setattr(demo, "send", lambda *_: [visit])
    monkeypatch.setattr(demo, "show_handshakes", lambda *_: None)
    assert CliRunner().invoke(demo.main, ["--once", "--dir", str(tmp_path)]).exit_code == 1


def test_a_client_that_lacks_its_modules_is_left_out(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare Debian has /usr/bin/perl without HTTP::Tiny."""
    visitors = importlib.import_module("visitors")
    monkeypatch.setattr(visitors, "_run", lambda client, *_: client)
    monkeypatch.setenv("PATH", str(tmp_path))
    perl = tmp_path / "perl"
    for script, visits in (("exit 0", True), ('echo "Can\'t locate HTTP/Tiny.pm in @INC" >&2; exit 2', False)):
        perl.write_text(f"#!/bin/sh\n{script}\n")
        perl.chmod(0o755)
        assert ("Perl HTTP::Tiny" in list(visitors.real_clients("http://127.0.0.1:9/"))) is visits
