"""robots.txt from the policies: read back by a parser of other people (protego), it says of each crawler what the policy does."""

from __future__ import annotations

import http.server
import subprocess
import threading
from pathlib import Path

import pytest
from places import XBOT
from protego import Protego

from sidecar.config import config
from sidecar.verify import catalogue, robots

TOML = """
[policies.default]
verified = { search = "allow", training = "deny", ccbot = "allow", assistant = "allow", ai-search = "allow" }
[policies.papers]
paths = ["/papers/", "/a b*$"]
verified = { training = "allow", search = "deny" }
"""
KNOWN = catalogue.load().crawlers


def words(tmp_path: Path, text: str = TOML):
    (tmp_path / "xbot.toml").write_text(text)
    return config.load(tmp_path / "xbot.toml").words()


def test_it_says_what_the_policies_do(tmp_path) -> None:
    default, below = words(tmp_path)
    text = robots.text(default, below, "https://example.com/license.xml")
    rules = Protego.parse(text)
    for name, each in KNOWN.items():
        for agent in each.agents:
            for path, said in (
                ("/", default),
                ("/x", default),
                ("/papers/1", below["/papers/"]),
                ("/a b*$c", below["/papers/"]),
            ):
                assert rules.can_fetch(path, agent) == (robots.word_of(said, name) != "deny"), (agent, path)
    assert rules.can_fetch("/", "somebody-else")
    assert (
        "Content-Signal: search=yes, ai-input=yes, ai-train=no\nContent-Usage: search=y, train-ai=n\nAllow: /\n" in text
    )
    assert "\nLicense: https://example.com/license.xml\n" in text
    assert "User-agent: google-extended\n" in text  # never sent, and so only here
    assert not robots.contradictions(text, default, below)


def test_without_a_word_nothing_is_asked_for() -> None:
    text = robots.text({}, {})
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["", "User-agent: *", "Allow: /"]


def test_purposes_that_disagree_say_nothing_of_ai_input() -> None:
    assert "ai-input" not in robots.text({"assistant": "allow", "ai-search": "deny"}, {})


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ("", ["/: the policy denies gptbot, claudebot, anthropic-ai, googleother, bytespider and"]),
        ("User-agent: *\nDisallow: /\n", ["/: the policy lets in googlebot, google-inspection,"]),
        ("User-agent: GPTBot\nDisallow: /\n", ["/: the policy denies claudebot,"]),
        ("User-agent: *\nDisallow: /\nUser-agent: googlebot\nAllow: /", ["/: the policy lets in google-inspection,"]),
    ],
)
def test_contradictions(served, said) -> None:
    found = robots.contradictions(served, {"search": "allow", "training": "deny"}, {})
    assert len(found) == len(said)
    for line, begin in zip(found, said, strict=True):
        assert line.startswith(begin)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([XBOT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_commands(tmp_path) -> None:
    words(tmp_path)
    path = tmp_path / "xbot.toml"
    done = run("robots", "--config", path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "robots.txt").write_text(done.stdout)
    assert (
        f"{tmp_path}/robots.txt says what the policies say"
        in run("check", path, "--robots", tmp_path / "robots.txt").stdout
    )
    bad = run("robots", "--config", path, "--license", "x y")
    assert (bad.returncode, bad.stderr) == (2, "xbot: --license: 'x y' is no address\n")

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/elsewhere" else 200)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(b"User-agent: *\nAllow: /\n")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        assert (
            f"warning  robots.txt    {at}/robots.txt: /: the policy denies gptbot"
            in run("check", path, "--robots", f"{at}/robots.txt").stdout
        )
        assert f"{at}/elsewhere: HTTP Error 302" in run("check", path, "--robots", f"{at}/elsewhere").stdout
        server.shutdown()
    for wrong in ("https://example.com/robots.txt", "http://169.254.169.254/x", "ftp://127.0.0.1/x"):
        assert "not of this machine" in run("check", path, "--robots", wrong).stdout
    assert "No such file" in run("check", path, "--robots", tmp_path / "none").stdout
