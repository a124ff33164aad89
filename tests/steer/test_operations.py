"""docs/operations.md, step by step: what an operator does in the first week, in an incident, to roll back, and to uninstall.

Law: each numbered step of these sections has a test here, or names the one elsewhere that shows it; a step that is changed or added fails
until it has.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nginx_harness import EchoSite, guarded, nginx_binary, running_nginx
from places import ROOT, XBOT, run_xbot
from sidecar_harness import BROWSER, CURL, Reply, Sidecar, ask, head, visit, wait_until

from sidecar.config import config

WEEK, BACK, INCIDENT, UNINSTALL = "The operator's first week", "Roll back", "An incident's five minutes", "Uninstall"
PAGE = (ROOT / "docs" / "operations.md").read_text()
SHOWN: dict[tuple[str, int], str] = {}
needs_nginx = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
TOML = """
control = "{place}/c"
model = "{place}/site.xbot"
admin = "127.0.0.1:0"

[decisions]
file = "decisions.jsonl"

[lists.ours]
networks = [{networks}]

[policies.default]
mode = "{mode}"
allow = ["ours"]

[policies.watched]
mode = "observe"
threshold = 0.0001
paths = ["/watched"]
"""


def steps(section: str) -> dict[int, str]:
    """The numbered steps of a section."""
    text = re.split(rf"^## {section}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    return {int(number): said for number, said in re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE)}


def step(section: str, number: int, *says: str, elsewhere: str = "") -> Callable[[Any], Any]:
    """A test shows this step, which says these words; or a function of a file `elsewhere` does."""
    said = steps(section).get(number, "")
    assert all(each in said for each in says), (section, number, says)
    assert (section, number) not in SHOWN
    if elsewhere:
        file, _, name = elsewhere.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), elsewhere
    SHOWN[section, number] = elsewhere or "here"
    return lambda test: test


def test_each_step_is_shown() -> None:
    for section in (WEEK, BACK, INCIDENT, UNINSTALL):
        found = steps(section)
        assert list(found) == list(range(1, len(found) + 1))
        assert {number for name, number in SHOWN if name == section} == set(found), section
        assert PAGE.count(f"\n## {section}\n") == 1


@pytest.fixture
def enforcing(tmp_path: Path, model_path: Path) -> Iterator[Sidecar]:
    write(tmp_path, model_path)
    with Sidecar(tmp_path / "site.xbot", "--config", tmp_path / "xbot.toml") as sidecar:
        yield sidecar


def write(place: Path, model: Path, mode: str = "enforce", networks: str = "") -> None:
    if not (place / "site.xbot").exists():
        (place / "site.xbot").write_bytes(model.read_bytes())
    (place / "xbot.toml").write_text(TOML.format(place=place, mode=mode, networks=networks))


def xbot(place: Path, *words: object, code: int = 0) -> str:
    done = run_xbot(*words, "--control", place / "c", code=code)
    return (done.stdout if code == 0 else done.stderr).decode()


def curl(sidecar: Sidecar, **more: str) -> Reply:
    return ask(sidecar.address, head(CURL, **more))


# ---- the first week


@step(WEEK, 1, "It observes")
@step(WEEK, 2, "`xbot check", "status 2")
@step(WEEK, 3, "[decisions]", "[clients]")
def test_the_first_day(tmp_path: Path, model_path: Path) -> None:
    shipped = config.load(ROOT / "deploy" / "xbot.toml")
    assert {policy.mode for policy in shipped.policies.values()} == {"observe"}
    with Sidecar(model_path, "--config", ROOT / "deploy" / "xbot.toml", "--admin", "127.0.0.1:0") as sidecar:
        assert (curl(sidecar).status, curl(sidecar)["X-Bot"]) == (200, "bot")
    text = (ROOT / "deploy" / "xbot.toml").read_text()
    wanted = '[clients]\noutcomes = "unix:/run/xbot/outcome.sock"\n[decisions]\nfile = "decisions.jsonl"\n'
    (tmp_path / "xbot.toml").write_text(text + wanted)
    assert config.load(tmp_path / "xbot.toml").fixed.outcomes is not None
    (tmp_path / "wrong.toml").write_text('[policies.default]\nmode = "nix"\n')
    assert "policies.default.mode" in run_xbot("check", tmp_path / "wrong.toml", code=2).stdout.decode()


step(
    WEEK,
    4,
    "canary.conf",
    elsewhere="tests/check/test_canaries.py::test_each_gets_the_right_answer_and_none_is_counted",
)


@step(WEEK, 5, "`xbot status`", "look like people")
@step(WEEK, 6, "`xbot why ID --config")
@step(WEEK, 7, "list", "`xbot reload`")
def test_each_day(enforcing: Sidecar, tmp_path: Path, model_path: Path) -> None:
    visit(enforcing, "203.0.113.9", "/", "/b", "/watched")
    wait_until(lambda: "looks like a person" in xbot(tmp_path, "status"), "somebody who looks like a person")
    (named,) = re.findall(r"looks like a person: (\w+), called a bot", xbot(tmp_path, "status"))
    wait_until(lambda: named.encode() in (tmp_path / "decisions.jsonl").read_bytes(), "its line")
    assert "margin" in run_xbot("why", named, "--config", tmp_path / "xbot.toml").stdout.decode()
    assert curl(enforcing, ip="203.0.113.7").status == 403
    write(tmp_path, model_path, networks='"203.0.113.7"')
    xbot(tmp_path, "reload")
    assert curl(enforcing, ip="203.0.113.7").status == 200
    assert curl(enforcing, ip="203.0.113.8").status == 403


@step(WEEK, 8, "`xbot replay --config /etc/xbot/xbot.toml --mode enforce access.log`")
def test_what_would_have_been_refused(tmp_path: Path) -> None:
    line = '203.0.113.7 - - [17/May/2026:10:05:0{n} +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.5.0"'
    (tmp_path / "access.log").write_text("".join(line.format(n=n) + "\n" for n in range(9)))
    (tmp_path / "xbot.toml").write_text('[policies.default]\nmode = "observe"\n')
    told = run_xbot(
        "replay", "--config", tmp_path / "xbot.toml", "--mode", "enforce", tmp_path / "access.log"
    ).stdout.decode()
    assert re.search(r"refused +│ 9 \(100", told), told


@step(WEEK, 9, "`xbot mode enforce --for 1h`", "by itself")
def test_enforce_for_a_while(tmp_path: Path, model_path: Path) -> None:
    """That a time which is over is over by itself: test_steer.py has it with seconds."""
    write(tmp_path, model_path, mode="observe")
    with Sidecar(tmp_path / "site.xbot", "--config", tmp_path / "xbot.toml") as sidecar:
        assert curl(sidecar).status == 200
        assert re.search(
            r"policy default: enforce by hand, for (1h|59m)", xbot(tmp_path, "mode", "enforce", "--for", "1h")
        )
        assert (curl(sidecar).status, ask(sidecar.address, head(BROWSER)).status) == (403, 200)
        xbot(tmp_path, "mode", "enforce", "--for", "1s")
        wait_until(lambda: curl(sidecar).status == 200, "its end")


@step(WEEK, 10, 'refused="yes"', '`mode = "enforce"`')
def test_one_path_first(tmp_path: Path, model_path: Path) -> None:
    write(tmp_path, model_path, mode="observe")
    with Sidecar(tmp_path / "site.xbot", "--config", tmp_path / "xbot.toml") as sidecar:
        assert sidecar.counted("xbot_doubted_clients_total", refused="yes") == 0
        file = tmp_path / "xbot.toml"
        file.write_text(file.read_text() + '[policies.login]\nmode = "enforce"\npaths = ["/login"]\n')
        xbot(tmp_path, "reload")
        assert (curl(sidecar, uri="/login").status, curl(sidecar).status) == (403, 200)


# ---- roll back


@step(BACK, 1, "at once", "in all workers")
@step(BACK, 2, "`xbot reload`", "what was served goes on")
@step(BACK, 3, "`xbot mode configured`")
def test_refusals_stop_and_begin_again(enforcing: Sidecar, tmp_path: Path, model_path: Path) -> None:
    workers, text = enforcing.workers, (tmp_path / "xbot.toml").read_text()
    assert {curl(enforcing).status for _ in range(10)} == {403}
    xbot(tmp_path, "mode", "observe")
    assert {curl(enforcing).status for _ in range(20)} == {200}
    assert (enforcing.workers, (tmp_path / "xbot.toml").read_text()) == (workers, text)
    (tmp_path / "xbot.toml").write_text(text.replace('mode = "enforce"', 'mode = "nix"'))
    assert "reload refused" in xbot(tmp_path, "reload", code=2)
    assert curl(enforcing)["X-Bot"] == "bot"
    write(tmp_path, model_path)
    xbot(tmp_path, "reload")
    assert curl(enforcing).status == 200
    xbot(tmp_path, "mode", "configured")
    assert curl(enforcing).status == 403


@step(BACK, 4, '`mode = "observe"`', "SIGHUP")
@step(BACK, 7, "the old file", "`xbot reload`")
def test_by_the_file_and_by_the_model(enforcing: Sidecar, tmp_path: Path, model_path: Path) -> None:
    unit = (ROOT / "deploy" / "systemd" / "xbot.service").read_text()
    assert "kill -HUP $MAINPID" in unit  # what `systemctl reload` does
    write(tmp_path, model_path, mode="observe")
    enforcing.signal(signal.SIGHUP)
    wait_until(lambda: curl(enforcing).status == 200, "a reload")
    model = tmp_path / "site.xbot"
    old = model.read_bytes()
    first = xbot(tmp_path, "status")
    model.write_bytes((ROOT / "sidecar" / "default.xbot").read_bytes())
    xbot(tmp_path, "reload")
    assert xbot(tmp_path, "status").splitlines()[1] != first.splitlines()[1]
    model.write_bytes(old)
    xbot(tmp_path, "reload")
    assert xbot(tmp_path, "status").splitlines()[1] == first.splitlines()[1]


@needs_nginx
@step(BACK, 5, "`systemctl stop xbot.service xbot.socket`", "`X-Bot: unknown`")
@step(BACK, 6, "`enforce_fail_closed.conf`")
@step(UNINSTALL, 1, "out of nginx", "nobody is asked")
@step(UNINSTALL, 2, "nobody is refused either")
def test_without_the_sidecar(enforcing: Sidecar) -> None:
    with EchoSite() as site:
        plain = f"location / {{ proxy_pass http://{site.address}; }}"
        with (
            running_nginx(guarded(site, "enforce"), socket=enforcing.address) as gated,
            running_nginx(guarded(site, "enforce_fail_closed"), socket=enforcing.address) as closed,
            running_nginx(plain, socket=enforcing.address) as bare,
        ):
            assert [nginx.ask("/", CURL).status for nginx in (gated, closed, bare)] == [403, 403, 200]
            enforcing.stop()
            reply = gated.ask("/", CURL)
            assert (reply.status, reply.seen("X-Bot")) == (200, ["unknown"])
            assert closed.ask("/", CURL).status == 503
            assert bare.ask("/", CURL).seen("X-Bot") == []


# ---- an incident


@step(INCIDENT, 1, "`xbot mode observe --for 1h`")
@step(INCIDENT, 2, "`xbot status`", "which alarms hold")
@step(INCIDENT, 3, "`xbot why ID`", "`grep '\" 403 ' site.log | tail -n 1 | xbot explain --config /etc/xbot/xbot.toml`")
@step(INCIDENT, 4, "`xbot allow ADDRESS --for 1h`")
@step(INCIDENT, 5, "`xbot reload`")
@step(INCIDENT, 6, "`xbot mode configured`", "`xbot_refused_total`")
def test_an_incident(enforcing: Sidecar, tmp_path: Path, model_path: Path) -> None:
    refused = curl(enforcing, ip="203.0.113.7")
    assert refused.status == 403
    xbot(tmp_path, "mode", "observe", "--for", "1h")
    assert curl(enforcing).status == 200
    told = xbot(tmp_path, "status")
    assert re.search(r"^xbot \S+, pid \d+, up ", told)
    assert "policy default: observe by hand, for " in told
    assert "\nmodel " in told
    wait_until(lambda: refused["X-Bot-Id"].encode() in (tmp_path / "decisions.jsonl").read_bytes(), "its line")
    assert "margin" in run_xbot("why", refused["X-Bot-Id"], "--config", tmp_path / "xbot.toml").stdout.decode()
    line = b'203.0.113.7 - - [17/May/2026:10:05:00 +0000] "GET / HTTP/1.1" 403 5 "-" "curl/8.5.0"\n'
    explained = subprocess.run(
        [XBOT, "explain", "--config", tmp_path / "xbot.toml"], input=line, capture_output=True, check=False
    )
    assert (explained.returncode, b"bot" in explained.stdout) == (0, True), explained.stderr
    xbot(tmp_path, "allow", "203.0.113.7", "--for", "1h")
    write(tmp_path, model_path, networks='"nonsense"')
    assert "nonsense" in xbot(tmp_path, "reload", code=2)
    write(tmp_path, model_path, networks='"198.51.100.0/24"')
    xbot(tmp_path, "reload")
    xbot(tmp_path, "mode", "configured")
    before = enforcing.counted("xbot_refused_total")
    assert [curl(enforcing, ip=ip).status for ip in ("203.0.113.7", "198.51.100.7", "203.0.113.8")] == [200, 200, 403]
    assert enforcing.counted("xbot_refused_total") == before + 1


# ---- uninstall


@step(UNINSTALL, 3, "`systemctl disable --now xbot-canary.timer xbot.socket xbot.service`")
@step(UNINSTALL, 5, "`/var/log/xbot`")
def test_what_is_left_is_named() -> None:
    units = {
        path.name
        for path in (ROOT / "deploy" / "systemd").iterdir()
        if path.suffix in (".service", ".socket", ".timer")
    }
    named = set(re.findall(r"xbot[a-z-]*\.(?:service|socket|timer)", steps(UNINSTALL)[3]))
    assert units - named == {"xbot-canary.service"}  # which its timer alone starts
    assert "LogsDirectory=xbot\n" in (ROOT / "deploy" / "systemd" / "xbot.service").read_text()
    assert not re.search(r"var/log/xbot", (ROOT / "Makefile").read_text())
    assert not re.search(r"/var/log", (ROOT / "deploy" / "debian" / "postrm").read_text())


step(
    UNINSTALL,
    4,
    "`make uninstall`",
    "`apt-get purge xbot`",
    elsewhere="tests/product/test_makefile.py::test_uninstall_takes_away_what_install_put",
)
