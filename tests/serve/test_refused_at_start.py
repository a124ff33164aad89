"""A sidecar whose model is refused at the start: it serves the default model, refuses nobody, and says so wherever one looks.

Before, it ended with status 2: a site that upgraded xbot beside a model of its own had no sidecar at all until somebody trained.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from places import XBOT
from sidecar_harness import BROWSER, CURL, Sidecar, ask, get, head

from sidecar.config.options import DEFAULT_MODEL
from sidecar.core import MODEL_DIGEST

CONFIG = """model = "site.xbot"
admin = "127.0.0.1:0"

[policies.default]
mode = "enforce"
threshold = 0.0002
suspect_above = 0.0001

[policies.login]
mode = "enforce"
deny = ["abuse"]

[lists.abuse]
networks = ["203.0.113.0/24"]
"""
DEFAULT_SHA256 = hashlib.sha256(DEFAULT_MODEL.read_bytes()).hexdigest()


def another_version(whole: bytes) -> bytes:
    changed = whole[:8] + b"\xff\0\0\0" + whole[12:-MODEL_DIGEST]
    return changed + hashlib.sha256(changed).digest()


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda whole: whole[:-1],
    "a bit": lambda whole: whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
    "empty": lambda _: b"",
    "no model": lambda _: b"not a model at all\n" * 100,
    "another version": another_version,
}


class Named(Sidecar):
    """Its configuration names the model, as an owner's does."""

    def __init__(self, place: Path, *arguments: object) -> None:
        super().__init__(place, "--config", place / "xbot.toml", *arguments, workers=1)
        at = self._command.index("--model")
        del self._command[at : at + 2]


@pytest.fixture
def place(tmp_path: Path, made_model_path: Path) -> Path:
    (tmp_path / "xbot.toml").write_text(CONFIG)
    (tmp_path / "site.xbot").write_bytes(made_model_path.read_bytes())
    return tmp_path


def nobody_is_refused(sidecar: Sidecar) -> None:
    """By no policy, whatever its mode, thresholds and lists; the verdicts are the default model's own."""
    for policy in ("default", "login"):
        for visitor in (CURL, BROWSER):
            assert ask(sidecar.address, head({**visitor, "X-Bot-Policy": policy})).status == 200
    assert ask(sidecar.address, head({**CURL, "X-Bot-Policy": "default"}, ip="192.0.2.1"))["X-Bot"] == "bot"
    # Neither a bot nor a suspect by thresholds that were chosen for another model.
    assert ask(sidecar.address, head({**BROWSER, "X-Bot-Policy": "default"}, ip="192.0.2.1"))["X-Bot"] == "human"
    assert ask(sidecar.address, head({**BROWSER, "X-Bot-Policy": "login"}))["X-Bot-Reason"] == "deny=abuse"


@pytest.mark.parametrize("damage", BROKEN.values(), ids=list(BROKEN))
def test_the_default_model_observes(place: Path, damage: Callable[[bytes], bytes]) -> None:
    model = place / "site.xbot"
    whole = model.read_bytes()
    model.write_bytes(damage(whole))
    with Named(place) as sidecar:
        nobody_is_refused(sidecar)
        (started,), (refused,) = sidecar.events("started"), sidecar.events("model refused")
        assert (started["path"], started["sha256"]) == (str(DEFAULT_MODEL), DEFAULT_SHA256)
        assert started["policies"] == {"default": "observe", "login": "observe"}
        assert refused["level"] == "error"
        assert refused["reason"].startswith(f"{place}/xbot.toml:1: model: {model}: ")
        status, text = get(sidecar.admin, "/readyz")
        assert status == 200
        assert "model refused, served is the default model, and every policy observes" in text
        assert str(model) in text
        assert sidecar.metrics()["xbot_model_refused"] == 1

        # A worker that dies is replaced by one that does the same.
        os.kill(sidecar.workers[0], signal.SIGKILL)
        sidecar.wait_for("worker ready", 2)
        nobody_is_refused(sidecar)

        # At a reload nothing is put in the place of anything: still refused, still the default model.
        sidecar.reload()
        assert sidecar.events("reload refused")[-1]["kept_sha256"] == DEFAULT_SHA256
        nobody_is_refused(sidecar)

        # The owner mends it: his model, and his policies.
        model.write_bytes(whole)
        sidecar.reload()
        assert sidecar.events("reloaded")[-1]["path"] == str(model)
        assert ask(sidecar.address, head({**CURL, "X-Bot-Policy": "login"})).status == 403
        assert "refused" not in get(sidecar.admin, "/readyz")[1]
        assert sidecar.metrics()["xbot_model_refused"] == 0

        # From then on a bad model is refused as ever: his own goes on, and enforces.
        model.write_bytes(damage(whole))
        sidecar.reload()
        assert sidecar.events("reload refused")[-1]["kept_sha256"] == hashlib.sha256(whole).hexdigest()
        assert ask(sidecar.address, head({**CURL, "X-Bot-Policy": "login"})).status == 403
        assert len(sidecar.events("model refused")) == 1


def test_a_flag_above_the_modes_too(place: Path) -> None:
    (place / "site.xbot").write_bytes(b"")
    with Named(place, "--mode", "enforce") as sidecar:
        nobody_is_refused(sidecar)


def test_a_model_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "site.xbot").write_bytes(b"XBOTMODL")
    with Sidecar(tmp_path / "site.xbot", "--mode", "enforce", workers=1) as sidecar:
        assert ask(sidecar.address, head(CURL)).status == 200
        assert sidecar.events("model refused")[0]["reason"].startswith(f"{tmp_path}/site.xbot: ")


def test_an_upgrade_in_place_leaves_it_to_the_old_one(place: Path) -> None:
    """The new master would observe; the old one has the model, and enforces: it goes on."""
    model = place / "site.xbot"
    whole = model.read_bytes()
    with Named(place) as sidecar:
        master = sidecar.master
        model.write_bytes(whole[:-1])
        assert not sidecar.upgrade()
        assert sidecar.events("upgrade refused")[-1]["reason"].startswith(f"{place}/xbot.toml:1: model: {model}: ")
        assert sidecar.master == master
        assert ask(sidecar.address, head({**CURL, "X-Bot-Policy": "login"})).status == 403
        model.write_bytes(whole)
        assert sidecar.upgrade()
        assert ask(sidecar.address, head({**CURL, "X-Bot-Policy": "login"})).status == 403
        assert not sidecar.events("model refused")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("site.xbot", "sight.xbot"), "xbot.toml:1: model: {place}/sight.xbot: No such file"),
        (lambda text: text.replace("site.xbot", "."), "xbot.toml:1: model: {place}: Is a directory"),
        (lambda text: text.replace('"enforce"', '"enforced"', 1), "xbot.toml:5: policies.default.mode: 'enforced' is not"),
        (lambda text: text.replace("203.0.113.0/24", "somewhere"), "xbot.toml:14: lists.abuse.networks[0]: 'somewhere'"),
    ],
)  # fmt: skip
def test_a_mistake_is_still_one(place: Path, change: Callable[[str], str], why: str) -> None:
    """A path that leads nowhere is a typing error, and told as one: status 2, also beside a damaged model."""
    (place / "site.xbot").write_bytes(b"")
    (place / "xbot.toml").write_text(change(CONFIG))
    command = [XBOT, "serve", "--config", place / "xbot.toml", "--listen", f"unix:{place}/s"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"xbot: {place}/{why.format(place=place)}")
