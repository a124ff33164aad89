"""Canaries go through a real nginx: known bots and people, who must get the right answer and are nowhere counted; and nobody else can
pass for one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from nginx_harness import FILES, EchoSite, Nginx, guarded, nginx_binary, running_nginx
from places import ROOT, run_xbot
from proxy_harness import free_port
from sidecar_harness import CURL, Sidecar, wait_until

from sidecar.check import canaries
from sidecar.model import DEFAULT

needs_nginx = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
ALL = len(canaries.heads())


@contextmanager
def door(sidecar: Sidecar, server: str = "return 204;", policy: str = "") -> Iterator[tuple[Nginx, str]]:
    """An nginx with canary.conf, on a port of its own, and a server of a site; and the URL of the first."""
    port = free_port()
    text = (FILES / "canary.conf").read_text().replace("8012", str(port))
    text = text.replace("set $xbot_ip", f"{policy} set $xbot_ip")
    with running_nginx(server, http=text, socket=sidecar.address) as nginx:
        yield nginx, f"http://127.0.0.1:{port}/"


def serving(place: Path, policies: str = "") -> Sidecar:
    """With the default model, a log of all decisions, and a control socket."""
    (place / "xbot.toml").write_text(
        f'control = "{place}/c"\n[decisions]\nfile = "decisions.jsonl"\nsample = 1\n[policies.default]\nmode = "enforce"\n{policies}'
    )
    return Sidecar(DEFAULT, "--config", place / "xbot.toml", "--admin", "127.0.0.1:0", workers=1)


def check(url: str, place: Path, code: int = 0) -> list[dict[str, str]]:
    done = run_xbot("check", "--canary", url, "--json", place / "xbot.toml", code=code)
    return list(json.loads(done.stdout)["findings"])


@needs_nginx
def test_each_gets_the_right_answer_and_none_is_counted(tmp_path: Path) -> None:
    """Also where nginx tells what became of requests: not a number moves but that of probes."""
    with serving(tmp_path) as sidecar, door(sidecar) as (_, url):
        before = sidecar.metrics()
        (found,) = check(url, tmp_path)
        assert (found["status"], found["what"]) == ("ok", f"{ALL} known bots and people got the right answer")
        after = sidecar.metrics()
        moved = {name for name, value in after.items() if name.startswith("xbot_") and value != before.get(name)}
        assert after["xbot_probes_total"] == ALL
        assert moved <= {
            "xbot_probes_total",
            "xbot_connections_total",
            "xbot_asked_again_total",
            "xbot_canaries_timestamp_seconds",
            'xbot_canaries{result="right"}',
            'xbot_canaries{result="wrong"}',
            'xbot_worker_resident_memory_bytes{worker="0"}',
        }
        assert after['xbot_canaries{result="right"}'] == ALL
        assert (tmp_path / "decisions.jsonl").read_bytes() == b""
        said = run_xbot("status", "--control", tmp_path / "c").stdout.decode()
        assert re.search(rf"^canaries \d+s ago: {ALL} right$", said, re.MULTILINE), said


@needs_nginx
def test_a_wrong_answer_is_told_everywhere(tmp_path: Path) -> None:
    """A policy that takes everybody for a bot: people are named, in the output, the log, the metrics and xbot status."""
    strict = '[policies.strict]\nmode = "enforce"\nthreshold = 0.00001\n'
    with serving(tmp_path, strict) as sidecar:
        with door(sidecar, policy="set $xbot_policy strict;") as (_, url):
            found = check(url, tmp_path, code=2)
            people = [name for name, each in canaries.heads().items() if each.kind == "person"]
            assert [each["what"] for each in found] == [f"{name}, a person, is told bot" for name in people]
            assert sidecar.wait_for("alarm")["alarm"] == "canaries_wrong"
            assert sidecar.counted("xbot_alarm", alarm="canaries_wrong") == 1
            assert f"wrong: {', '.join(people)}\n" in run_xbot("status", "--control", tmp_path / "c").stdout.decode()
        with door(sidecar) as (_, url):
            check(url, tmp_path)
            wait_until(lambda: sidecar.counted("xbot_alarm", alarm="canaries_wrong") == 0, "its end")
            assert sidecar.wait_for("alarm over")["alarm"] == "canaries_wrong"


@needs_nginx
def test_nobody_else_passes_for_one(tmp_path: Path) -> None:
    """Whatever a visitor of the site says, he is counted, and told nothing."""
    with EchoSite() as site, serving(tmp_path) as sidecar, door(sidecar, guarded(site)) as (nginx, _):
        lies = {"X-Real-IP": "192.0.2.1", "X-Forwarded-For": "192.0.2.1", "X-Bot-Canary": "1", "Host": "127.0.0.1:8012"}
        for _ in range(3):
            reply = nginx.ask("/", {**CURL, **lies})
            assert reply.status == 200
            assert reply.seen("X-Bot") == ["bot"]
        assert sidecar.counted("xbot_requests_total", verdict="bot") == 3
        assert sidecar.metrics()["xbot_probes_total"] == 0


@needs_nginx
def test_a_sidecar_that_is_away_is_no_right_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as sidecar, door(sidecar) as (_, url):
        sidecar.stop()
        found = check(url, tmp_path, code=2)
    assert len(found) == ALL + 1
    assert found[0]["what"].endswith("X-Bot is 'unknown': the sidecar does not answer nginx")
    assert found[-1]["status"] == "warning"  # nobody could be told


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "not of this machine"),
        ("https://127.0.0.1/", "not of this machine"),
        ("file:///etc/passwd", "not of this machine"),
        ("http://[", "not of this machine"),
        ("http://127.0.0.1:99999/", "not of this machine"),
    ],
)
def test_they_are_sent_to_nobody_else(url: str, why: str) -> None:
    told = run_xbot("check", "--canary", url, code=2).stderr.decode()
    assert why in told
    assert told.count("\n") == 1


def test_where_nobody_listens_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "xbot.toml").write_text('control = "none"\n[policies.default]\n')
    (found,) = check(f"http://127.0.0.1:{free_port()}/", tmp_path, code=2)
    assert "refused" in found["what"]
    assert "canary.conf" in found["mend"]
    assert "--every: only with --canary" in run_xbot("check", "--every", "5", code=2).stderr.decode()


def test_the_files_that_send_them() -> None:
    """The unit, the pod and nginx's file name one place."""
    place = "http://127.0.0.1:8012/"
    unit = (ROOT / "deploy" / "systemd" / "xbot-canary.service").read_text()
    assert f"ExecStart=/usr/bin/xbot check --canary {place} /etc/xbot/xbot.toml\n" in unit
    assert "listen 127.0.0.1:8012;" in (FILES / "canary.conf").read_text()
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "sidecar.yaml").read_text())
    (pod,) = [each["spec"]["template"]["spec"] for each in documents if each["kind"] == "Deployment"]
    (canary,) = [each for each in pod["containers"] if each["name"] == "canaries"]
    assert canary["args"][:3] == ["check", "--canary", place]
