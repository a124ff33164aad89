"""What is counted, by policy, rule and verdict: it agrees with what clients were told, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from sidecar_harness import BROWSER, CURL, Sidecar, ask, get, head, load, visit

TCP = "127.0.0.1:0"
POLICIES = """
[lists.ours]
networks = ["198.51.100.0/24"]

[policies.default]
allow = ["ours"]

[policies.login]
mode = "enforce"
paths = ["/login"]
deny = ["ours"]
"""


def test_requests_are_told_by_policy_rule_and_verdict(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "xbot.toml").write_text(POLICIES)
    with Sidecar(model_path, "--config", tmp_path / "xbot.toml", "--admin", TCP, workers=1) as sidecar:
        begun = sidecar.metrics()
        assert begun['xbot_requests_total{host="worker",policy="login",rule="score",verdict="bot"}'] == 0
        for uri, ip, headers in (
            ("/", "203.0.113.7", CURL),
            ("/", "203.0.113.7", BROWSER),
            ("/", "198.51.100.7", CURL),
            ("/login", "203.0.113.7", CURL),
            ("/login", "198.51.100.7", BROWSER),
        ):
            ask(sidecar.address, head(headers, uri=uri, ip=ip))
        told = sidecar.metrics()
        requests = {name: value for name, value in told.items() if name.startswith("xbot_requests_total") and value}
        assert requests == {
            f'xbot_requests_total{{host="worker",policy="{policy}",rule="{rule}",verdict="{verdict}"}}': 1
            for policy, rule, verdict in (
                ("default", "score", "bot"),
                ("default", "score", "human"),
                ("default", "allow", "human"),
                ("login", "score", "bot"),
                ("login", "deny", "bot"),
            )
        }
        assert sidecar.counted("xbot_refused_total") == sidecar.counted("xbot_refused_total", policy="login") == 2
        assert told['xbot_score_count{host="worker"}'] == told["xbot_verdict_seconds_count"] == 5
        edges = [value for name, value in told.items() if name.startswith('xbot_score_bucket{host="worker"')]
        assert edges == sorted(edges)
        assert 0 < told['xbot_score_sum{host="worker"}'] < 5
        # Names that came and went keep their counters; the rest share one place, and nothing is lost.
        for number in range(40):
            (tmp_path / "xbot.toml").write_text(f'[policies.default]\n[policies.p{number}]\npaths = ["/p"]\n')
            sidecar.reload()
            ask(sidecar.address, head(CURL, uri="/p"))
        assert sidecar.counted("xbot_requests_total") == 45
        assert sidecar.counted("xbot_requests_total", policy="p7") == 1
        assert sidecar.counted("xbot_requests_total", policy="(others)") == 40 - 30
        assert len({name.partition('policy="')[2].partition('"')[0] for name in sidecar.metrics()}) <= 35


def test_no_label_says_who_came(model_path: Path) -> None:
    """Each label that there is has few values, of our own or of the configuration."""
    allowed = {
        "host",
        "policy",
        "rule",
        "verdict",
        "refused",
        "version",
        "cause",
        "le",
        "result",
        "worker",
        "list",
        "mode",
        "alarm",
        "which",
    }
    allowed |= {"commit", "path", "sha256"}  # of *_info
    with Sidecar(model_path, "--admin", TCP, "--mode", "enforce", workers=1) as sidecar:
        ask(sidecar.address, head({"User-Agent": "needle-agent/7"}, uri="/needle-path", ip="203.0.113.77"))
        text = get(sidecar.admin, "/metrics")[1]
    assert "needle" not in text
    assert "203.0.113" not in text
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    assert {label for each in samples for label in each.labels} <= allowed
    assert len(samples) < 300


def test_under_load_and_kill_9_the_sum_is_what_clients_were_told(model_path: Path) -> None:
    """But for what was in flight: a request whose answer was lost with its worker, and which was asked again, may count twice."""
    with Sidecar(model_path, "--admin", TCP, "--mode", "enforce") as sidecar:
        with load(sidecar.address, keepalive=True, retry=True, clients=6) as outcome:
            for turn in range(1, 6):
                before = sum(outcome.scores.values())
                while sum(outcome.scores.values()) < before + 100 and not outcome.failures:
                    time.sleep(0.01)
                os.kill(sidecar.serving[0], signal.SIGKILL)
                sidecar.wait_for("worker ready", 2 + turn)
        assert not outcome.failures
        told, counted = sum(outcome.scores.values()), sidecar.counted("xbot_requests_total")
        assert told <= counted <= told + outcome.retried
        assert told >= 500
        assert counted == sidecar.metrics()["xbot_verdict_seconds_count"]
        assert sidecar.upgrade()
        assert sidecar.counted("xbot_requests_total") == counted


STRICT = """
[policies.default]
mode = "enforce"
threshold = 0.9999

[policies.strict]
mode = "enforce"
threshold = 0.0001
paths = ["/strict"]

[policies.watched]
threshold = 0.0001
paths = ["/watched"]
"""


def test_refused_clients_that_do_what_people_do_are_counted_once(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "xbot.toml").write_text(STRICT)

    def doubted(sidecar: Sidecar) -> tuple[float, float]:
        name = "xbot_doubted_clients_total"
        return sidecar.counted(name, refused="no"), sidecar.counted(name, refused="yes")

    with Sidecar(model_path, "--config", tmp_path / "xbot.toml", "--admin", TCP, workers=1) as sidecar:
        # Known as a person, then refused; refused, and then known; called a bot where nobody is refused, and refused after that.
        assert visit(sidecar, "203.0.113.1", "/", "/b", "/strict", "/strict") == [200, 200, 403, 403]
        assert doubted(sidecar) == (0, 1)
        assert visit(sidecar, "203.0.113.2", "/strict", "/", "/b", "/c") == [403, 200, 200, 200]
        assert doubted(sidecar) == (0, 2)
        assert visit(sidecar, "203.0.113.3", "/", "/b", "/watched", "/watched") == [200] * 4
        assert doubted(sidecar) == (1, 2)
        assert visit(sidecar, "203.0.113.3", "/", "/strict") == [200, 403]
        assert doubted(sidecar) == (1, 3)
        # Neither a person who was never called a bot, nor a bot that loads no part.
        visit(sidecar, "203.0.113.4", "/", "/b", "/c")
        for _ in range(5):
            assert (
                ask(sidecar.address, head({**BROWSER, "Cookie": "a=b"}, uri="/strict", ip="203.0.113.5")).status == 403
            )
        assert doubted(sidecar) == (1, 3)
