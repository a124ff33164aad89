"""The log of decisions: what is in it, what never is, that it costs no request, and one decision looked up by its id.

Law: the sidecar is a real one, and its log is read by the commands, as its owner reads it.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from places import run_xbot
from sidecar_harness import (
    BROWSER,
    CURL,
    Reply,
    Sidecar,
    ask,
    connect,
    head,
    load,
    read_replies,
    read_reply,
    wait_until,
)

from sidecar import core
from sidecar.decisions import clean, lookup

TOML = """
[decisions]
file = "decisions.jsonl"
{more}
[policies.default]
mode = "enforce"
"""
SECRETS = {
    **CURL,
    "Cookie": "sid=COOKIESECRET",
    "Authorization": "Basic AUTHSECRET",
    "X-Api-Token": "TOKENSECRET",
    "Referer": "https://me:PASSSECRET@site.example/reset/8f3a9b2c4d5e6f708192a3b4?code=CODESECRET#id_token=JWTSECRET",
}
TARGET = (
    "/verify/8f3a9b2c4d5e6f708192a3b4c5/page;jsessionid=SESSIONSECRET?token=QUERYSECRET&q=word&sig%6Eature=SIGNSECRET"
)


def logging(place: Path, model: Path, more: str = "sample = 1", **extra: Any) -> Sidecar:
    configuration = place / "xbot.toml"
    configuration.write_text(TOML.format(more=more))
    return Sidecar(model, "--config", configuration, "--admin", "127.0.0.1:0", **extra)


def lines(place: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` lines of the log, once they are there."""
    file = place / "decisions.jsonl"
    wait_until(lambda: file.read_bytes().count(b"\n") >= count, f"{count} lines")
    return [json.loads(line) for line in file.read_bytes().splitlines()[:count]]


def in_order_of(replies: list[Reply], logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of these replies: workers are read one after the other."""
    by_id = {entry["id"]: entry for entry in logged}
    return [by_id[reply["X-Bot-Id"]] for reply in replies]


def why(place: Path, model: Path, reply: Reply, code: int = 0) -> Any:
    done = run_xbot("why", reply["X-Bot-Id"], "--log", place / "decisions.jsonl", "--model", model, "--json", code=code)
    return json.loads(done.stdout) if code == 0 else done.stderr.decode()


@pytest.mark.parametrize("privacy", ["whole", "network", "keyed"])
def test_an_id_leads_to_the_exact_sum(privacy: str, tmp_path: Path, model_path: Path) -> None:
    """Also where secrets and the address are taken away; and neither is anywhere in the file."""
    with logging(tmp_path, model_path, f'sample = 1\nprivacy = "{privacy}"') as running:
        replies = [
            ask(running.address, head(SECRETS, uri=TARGET, ip="203.0.113.77")),
            ask(running.address, head(BROWSER, uri="/a/b?c=d", ip="203.0.113.77")),
            ask(running.address, head(CURL, ip="2001:db8:1:2:3::4")),
            ask(running.address, head(CURL, ip="unix:")),
        ]
        assert [reply.status for reply in replies] == [403, 200, 403, 403]
        logged = in_order_of(replies, lines(tmp_path, 4))
    text = (tmp_path / "decisions.jsonl").read_text()
    assert "SECRET" not in text
    assert "8f3a9b2c4d5e6f708192a3b4" not in text
    assert ("203.0.113.77" in text) == (privacy == "whole")
    for reply, entry in zip(replies, logged, strict=True):
        assert (entry["id"], entry["verdict"]) == (reply["X-Bot-Id"], reply["X-Bot"])
        assert f"{entry['score']:.4f}" == reply["X-Bot-Score"]
        told = why(tmp_path, model_path, reply)
        assert told["model_is_the_one"]
        assert told["verdict"] == reply["X-Bot"]
        assert told["margin"] == pytest.approx(entry["margin"], abs=1e-9)
        total = told["bias"] + math.fsum(part["contribution"] for part in told["contributions"])
        assert total == pytest.approx(entry["margin"], abs=1e-9)
    if privacy == "keyed":
        assert logged[0]["visitor"] == logged[1]["visitor"] != logged[2]["visitor"]
        assert (tmp_path / "decisions.jsonl.key").stat().st_mode & 0o777 == 0o600
        assert not any("ip" in entry for entry in logged)
    if privacy == "network":
        assert [entry.get("ip") for entry in logged] == ["203.0.113.0", "203.0.113.0", "2001:db8:1::", None]


def test_its_own_log_is_read_by_every_command(tmp_path: Path, model_path: Path) -> None:
    """In the order of the headers, and with the very verdicts where nothing was taken away."""
    with logging(tmp_path, model_path) as running:
        asked = [
            ask(running.address, head(BROWSER)),
            ask(running.address, head(CURL)),
            ask(running.address, head(CURL, ip="unix:")),
        ]
        logged = in_order_of(asked, lines(tmp_path, 3))
    assert [name for name, _ in logged[0]["headers"]] == [name for name in BROWSER if name != "Host"]
    assert "features" not in logged[0]
    scored = run_xbot("score", "--json", "--model", model_path, tmp_path / "decisions.jsonl").stdout.splitlines()
    for entry, line in zip(lines(tmp_path, 3), map(json.loads, scored), strict=True):
        assert (line["verdict"], line["margin"]) == (entry["verdict"], entry["margin"])
    replayed = run_xbot("replay", "--model", model_path, tmp_path / "decisions.jsonl").stdout.decode()
    assert "3" in replayed


def test_a_handshake_is_on_every_line_of_its_connection(tmp_path: Path, model_path: Path) -> None:
    """nginx tells it with the first request alone."""
    first = {
        "X-TLS-Protocol": "TLSv1.3",
        "X-TLS-Ciphers": "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
        "X-TLS-Curves": "X25519",
    }
    with logging(tmp_path, model_path, workers=1) as running:
        replies = [
            ask(running.address, head({**first, "X-Connection": "7-9-1", "X-Xbot-Files": "2", **BROWSER})),
            ask(running.address, head({"X-Connection": "7-9-2", "X-Xbot-Files": "2", **BROWSER})),
        ]
        logged = lines(tmp_path, 2)
    assert logged[0]["handshake"] == logged[1]["handshake"]
    assert ("tls" in logged[0], "tls" in logged[1]) == (True, False)
    assert [entry["connection_requests"] for entry in logged] == [1, 2]
    for reply, entry in zip(replies, logged, strict=True):
        assert why(tmp_path, model_path, reply)["margin"] == entry["margin"]
        assert "features" not in entry


@pytest.mark.parametrize("dialect", ["forward-auth", "challenge", "haproxy"])
def test_what_a_proxy_does_not_keep_is_not_claimed(dialect: str, tmp_path: Path, model_path: Path) -> None:
    question = {
        "forward-auth": head(
            {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Uri": "/x", "X-Forwarded-Method": "GET", **BROWSER}
        ),
        "haproxy": head(BROWSER),
        "challenge": b"GET /?ip=203.0.113.7&user_agent=curl%2F8&referer=http%3A%2F%2Fa%2F HTTP/1.1\r\nHost: a\r\n\r\n",
    }[dialect]
    with logging(tmp_path, model_path, extra := "sample = 1") as running:
        assert extra
        running.stop()
    with Sidecar(model_path, "--config", tmp_path / "xbot.toml", "--dialect", dialect) as running:
        reply = ask(running.address, question)
        (entry,) = lines(tmp_path, 1)
    assert isinstance(entry.get("headers", {}), dict)
    assert why(tmp_path, model_path, reply)["margin"] == pytest.approx(entry["margin"], abs=1e-9)


def test_no_more_in_a_second_than_wanted(tmp_path: Path, model_path: Path) -> None:
    """The others are answered all the same, counted, and told of; and an id says what became of its record."""
    with logging(tmp_path, model_path, "per_second = 5", workers=1) as running:
        began = time.monotonic()
        with connect(running.address) as sock:
            sock.sendall(head(CURL) * 200)
            replies = read_replies(sock, 200)
        seconds = 1 + int(time.monotonic() - began)
        assert {reply.status for reply in replies} == {403}
        counted = "xbot_decision_records_total"
        wait_until(lambda: sum(running.counted(counted, result=each) for each in ("written", "capped")) == 200, "all")
        assert 5 <= running.counted(counted, result="written") <= 5 * (1 + seconds)
        assert running.wait_for("decisions capped")["per_second"] == 5
        logged = {entry["id"] for entry in lines(tmp_path, 5)}
        assert replies[0]["X-Bot-Id"] in logged
        lost = next(reply for reply in replies if reply["X-Bot-Id"] not in logged)
        assert "it was dropped: more came at once than [decisions] per_second" in why(
            tmp_path, model_path, lost, code=2
        )


def test_bots_always_others_by_the_sample(tmp_path: Path, model_path: Path) -> None:
    """And the id of what is not there says why."""
    with logging(tmp_path, model_path, "sample = 0") as running:
        human, bot = ask(running.address, head(BROWSER)), ask(running.address, head(CURL))
        (entry,) = lines(tmp_path, 1)
        assert entry["id"] == bot["X-Bot-Id"]
        assert "it was not sampled" in why(tmp_path, model_path, human, code=2)
        (tmp_path / "decisions.jsonl").write_text("")
        assert "it was recorded, and is not there" in why(tmp_path, model_path, bot, code=2)
    with Sidecar(model_path) as plain:
        assert "there was no log of decisions" in why(tmp_path, model_path, ask(plain.address), code=2)
    told = run_xbot("why", "x/../y", "--log", tmp_path / "decisions.jsonl", code=2).stderr.decode()
    assert told == "xbot: 'x/../y' is no id: an X-Bot-Id has 12 digits and letters, none of i, l, o, u\n"


def test_another_model_is_said(tmp_path: Path, model_path: Path) -> None:
    with logging(tmp_path, model_path) as running:
        reply = ask(running.address, head(SECRETS, uri=TARGET))
        lines(tmp_path, 1)
    done = run_xbot("why", reply["X-Bot-Id"], "--log", tmp_path / "decisions.jsonl").stdout.decode()
    assert "another model decided" in done
    assert "logged: bot" in done


def test_a_file_that_was_moved_is_opened_again(tmp_path: Path, model_path: Path) -> None:
    """As logrotate does it; and what was moved is found, too."""
    with logging(tmp_path, model_path) as running:
        first = ask(running.address, head(CURL))
        lines(tmp_path, 1)
        (tmp_path / "decisions.jsonl").rename(tmp_path / "decisions.jsonl.1")
        running.signal(signal.SIGUSR1)
        wait_until((tmp_path / "decisions.jsonl").exists)
        second = ask(running.address, head(CURL))
        assert lines(tmp_path, 1)[0]["id"] == second["X-Bot-Id"]
        assert why(tmp_path, model_path, first)["verdict"] == "bot"
        assert running.upgrade()  # both masters write
        third = ask(running.address, head(CURL))
        assert lines(tmp_path, 2)[1]["id"] == third["X-Bot-Id"]


def test_a_disk_that_is_full_costs_records_and_no_request(tmp_path: Path, model_path: Path) -> None:
    with logging(tmp_path, model_path, "sample = 1\n") as running:
        running.stop()
    (tmp_path / "xbot.toml").write_text(TOML.format(more="sample = 1").replace("decisions.jsonl", "/dev/full"))
    with Sidecar(model_path, "--config", tmp_path / "xbot.toml", "--admin", "127.0.0.1:0") as running:
        with load(running.address, keepalive=True) as outcome:
            wait_until(lambda: outcome.scores.total() > 500)
        assert outcome.failures == []
        assert running.wait_for("decisions lost")["reason"] == "/dev/full: No space left on device"
        wait_until(lambda: running.metrics()['xbot_decision_records_total{result="lost"}'] >= 500)
        assert len(running.events("decisions lost")) == 1


def test_a_reader_that_stalls_costs_records_and_no_request(tmp_path: Path, model_path: Path) -> None:
    os.mkfifo(tmp_path / "decisions.jsonl")
    reader = os.open(tmp_path / "decisions.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with logging(tmp_path, model_path) as running:
            with load(running.address, keepalive=True) as outcome:
                wait_until(lambda: outcome.scores.total() > 1000)
            assert outcome.failures == []
            wait_until(lambda: running.metrics()['xbot_decision_records_total{result="lost"}'] > 0)
            assert running.stop() == 0
    finally:
        os.close(reader)


def test_a_worker_that_is_killed_leaves_whole_records(tmp_path: Path, model_path: Path) -> None:
    with logging(tmp_path, model_path, workers=1) as running:
        before = ask(running.address, head(CURL))
        os.kill(running.workers[0], signal.SIGKILL)
        running.wait_for("worker ready", 2)
        after = ask(running.address, head(CURL))
        assert [entry["id"] for entry in lines(tmp_path, 2)] == [before["X-Bot-Id"], after["X-Bot-Id"]]


def test_what_cannot_be_written_is_refused_at_the_start(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "xbot.toml").write_text('[decisions]\nfile = "nix/decisions.jsonl"\n')
    done = run_xbot("serve", "--config", tmp_path / "xbot.toml", "--listen", "127.0.0.1:0", code=2).stderr.decode()
    place = tmp_path / "nix" / "decisions.jsonl"
    assert done == f"xbot: {tmp_path}/xbot.toml:2: decisions.file: {place}: No such file or directory\n"


def test_an_address_that_is_no_text_has_a_key() -> None:
    """As a proxy could pass it on: the records beside it would be lost with its own."""
    keys = {clean.keyed(address.decode("utf-8", "surrogateescape"), b"k") for address in (b"a\xe0", b"a\xe1", b"a")}
    assert len(keys) == 3


@pytest.mark.parametrize(
    "agent",
    [b"<script>alert(1)</script>", b"\x1b[2J", b"\xff\xfe", b'","id":"aaaaaaaaaaaa', b"\xed\xa0\x80", b"x" * 8000],
)
def test_hostile_agents_are_one_line(agent: bytes, tmp_path: Path, model_path: Path) -> None:
    with logging(tmp_path, model_path) as running:
        with connect(running.address) as sock:
            sock.sendall(head({}).replace(b"\r\n\r\n", b"\r\nUser-Agent: " + agent + b"\r\n\r\n"))
            reply = read_reply(sock)
        wait_until(lambda: (tmp_path / "decisions.jsonl").read_bytes().count(b"\n") == 1)
        found = lookup.find(reply["X-Bot-Id"], tmp_path / "decisions.jsonl")
        request, decided = lookup.read(found)
        assert request.fields["agent"] == agent
        assert decided.margin == core.Model(model_path.read_bytes()).judge(request).margin
    shown = run_xbot("why", reply["X-Bot-Id"], "--log", tmp_path / "decisions.jsonl").stdout
    assert b"\x1b" not in shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"/", b"/"),
        (b"/a/b?c=d", b"/a/b?c=d"),
        (b"/my-long-article-about-17-things-2024", b"/my-long-article-about-17-things-2024"),
        (b"/r/550e8400-e29b-41d4-a716-446655440000", b"/r/" + b"x" * 36),
        (b"/t/aZ3kQ9-xL0pW7_mN4vB8cR2tY6", b"/t/" + b"x" * 26),
        (b"/x?TOKEN=a&to%6ben=b&b=c", b"/x?TOKEN=x&to%6ben=x&b=c"),
        (b"/x?a=1;sid=abc#access_token=q", b"/x?a=1;sid=xxx#access_token=x"),
        (b"https://a:b@h.example/?x", b"https://xxx@h.example/?x"),
        (b"https://abcdefghijk1234567890.example/", b"https://abcdefghijk1234567890.example/"),
        (b"//a:b@h.example/?x", b"//xxx@h.example/?x"),
        # Steps before a secret, and addresses of mail, wherever they stand
        (b"/reset/hunter2", b"/reset/xxxxxxx"),
        (b"/Magic-Link/kJx", b"/Magic-Link/xxx"),
        (b"/login/abcdefghijklmnop", b"/login/" + b"x" * 16),
        (b"/invite/friends", b"/invite/friends"),
        (b"/auth/login/", b"/auth/login/"),
        (b"/presets/Warm2", b"/presets/Warm2"),
        (b"/unsubscribe/someone@mail.example", b"/unsubscribe/" + b"x" * 20),
        (b"/u/someone%40mail.example", b"/u/" + b"x" * 22),
        (b"/@someone/posts", b"/@someone/posts"),
        (b"/?u=a@b.example&v=1", b"/?u=xxxxxxxxxxx&v=1"),
        # Targets in targets
        (b"/?next=/cb?code=a", b"/?next=/cb?code=x"),
        (b"/?next=%2Fcb%3Fcode%3Da", b"/?next=" + b"x" * 16),
        (b"/?next=%2Fcb%3Fpage%3Da", b"/?next=%2Fcb%3Fpage%3Da"),
        (b"/?u=https%3A%2F%2Fa%3Ab%40h.example%2F", b"/?u=" + b"x" * 34),
        (b"/?a=%252Fcb%253Fto%256Ben%253Db", b"/?a=" + b"x" * 27),
        (b"/?a=%" + b"25" * 8 + b"3Db", b"/?a=" + b"x" * 20),  # too deep to be read
        (b"/?a=100%25&b=5%", b"/?a=100%25&b=5%"),
        (b"/?pin=1&cvv=2&spin=3", b"/?pin=x&cvv=x&spin=3"),
        (b"?", b"?"),
        (b"", b""),
        (b"/%zz?=&=&%=", b"/%zz?=&=&%="),
    ],
)
def test_what_is_taken_for_a_secret(text: bytes, wanted: bytes) -> None:
    assert clean.clean_target(text) == wanted
    assert len(wanted) == len(text)
