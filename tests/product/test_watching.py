"""The dashboard and the alert rules: each metric that they name exists, each alert is raised by what it is for, and names keep to
Prometheus' conventions, by its own tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from places import DATA, ROOT, run_xbot
from sidecar_harness import CURL, Sidecar, ask, connect, get, head, wait_until

DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "operations.md").read_text()
RULES = DEPLOY / "prometheus" / "rules.yml"
LATER = {
    "xbot_margin_stability_index"
}  # where a model of one's own has seen some thousand requests: tests/serve/test_alarms.py
OF_PROMETHEUS = {"up", "ALERTS"}
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)
NAME = re.compile(r"\b(?:xbot|process)_[a-z_]+|\bup\b")


@pytest.fixture(scope="module")
def page(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """/metrics of a sidecar that has all that can be had."""
    place = tmp_path_factory.mktemp("watched")
    (place / "xbot.toml").write_text(
        f'control = "{place}/c"\n[decisions]\nfile = "decisions.jsonl"\n[policies.default]\nmode = "enforce"\n'
    )
    model = place / "site.xbot"
    model.write_bytes(model_path.read_bytes())
    with Sidecar(model, "--config", place / "xbot.toml", "--admin", "127.0.0.1:0", workers=1) as sidecar:
        ask(sidecar.address, head(CURL))
        run_xbot("mode", "observe", "--for", "1h", "--control", place / "c")
        with connect(f"unix:{place}/c") as sock:
            sock.sendall(b'{"op":"canaries","right":3,"wrong":["curl"]}\n')
            assert json.loads(sock.recv(65536))["canaries"]["wrong"] == ["curl"]
        wait_until(lambda: sidecar.counted("xbot_alarm", alarm="canaries_wrong") == 1, "the alarm")
        yield get(sidecar.admin, "/metrics")[1]


def names(page: str) -> set[str]:
    """The metrics of a page, as queries name them."""
    return {line.partition("{")[0].partition(" ")[0] for line in page.splitlines() if line and line[0] != "#"} | LATER


def of_queries(*queries: str) -> set[str]:
    """The metrics that they name."""
    bare = [re.sub(r'"[^"]*"|\[[^\]]*\]|\b(?:by|without) \([^)]*\)', "", query) for query in queries]
    return {name for query in bare for name in NAME.findall(query)}


def queries_of(place: object) -> Iterator[str]:
    """Every query of a dashboard."""
    if isinstance(place, dict):
        for key, value in place.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            yield from queries_of(value)
    elif isinstance(place, list):
        for each in place:
            yield from queries_of(each)


def test_each_metric_of_the_dashboard_exists(page: str) -> None:
    board = json.loads((DEPLOY / "grafana" / "xbot.json").read_text())
    found = of_queries(*queries_of(board))
    assert len(found) > 15
    assert found <= names(page)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        assert panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "${source}"  # and no data source of ours


def test_each_metric_of_the_rules_exists(page: str) -> None:
    alerts = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert of_queries(*(each["expr"] for each in alerts)) <= names(page) | OF_PROMETHEUS
    said = {name for each in alerts for name in re.findall(r'alarm=~?"([a-z_|]+)"', each["expr"])}
    assert set("|".join(said).split("|")) == set(re.findall(r'xbot_alarm\{alarm="([a-z_]+)"\}', page))
    tried = yaml.safe_load((DATA / "alerts.yml").read_text())["tests"]
    assert [each["name"] for each in tried] == ["sound", *(each["alert"] for each in alerts)]


def test_the_page_names_each_metric(page: str) -> None:
    """And no other one."""
    table = PAGE.partition("- `/metrics`, for Prometheus:")[2].partition("\nThe counters lie")[0]
    told = {name.partition("{")[0] for name in re.findall(r"`(xbot_[a-z_{]+)", table)} - {"xbot_"}
    ours = {name for name in names(page) if name.startswith("xbot_")}
    ours = {re.sub(r"^(xbot_(?:score|verdict_seconds))_(?:bucket|sum|count)$", r"\1", name) for name in ours}
    ours = {name for name in ours if not name.endswith("_created")}
    assert ours - told == set()
    elsewhere = {name for name in told if name.startswith("xbot_store_")}  # there where machines share
    assert told - ours - elsewhere <= {"xbot_model_trained_timestamp_seconds"}


@needs_promtool
@pytest.mark.parametrize("kind", ["rules", "config"])
def test_prometheus_takes_the_files(kind: str) -> None:
    file = RULES if kind == "rules" else DEPLOY / "prometheus" / "prometheus.yml"
    done = subprocess.run(["promtool", "check", kind, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_alert_is_raised_by_what_it_is_for(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yml"
    file.write_text((DATA / "alerts.yml").read_text().replace("RULES", str(RULES)))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_names_keep_to_the_conventions(page: str) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
