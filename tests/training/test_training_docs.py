"""The commands of docs/training.md run as they stand, in their order: on a small log made on the fly, and on real ones.

Not run in their order: xbot serve, and --backend dask (tests/sources/test_logs.py, on a real cluster). What the page says of
enforcing and of taking it back is done at the end, with its own file and its own commands.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from places import ROOT

sys.path.insert(0, str(ROOT / "bench"))

from quality import LOGS
from sidecar_harness import CURL, Sidecar, ask, head, load

from sidecar import model
from sidecar.config.options import DEFAULT_MODEL
from training.corpus import generate, published

PAGE = ROOT / "docs" / "training.md"
XBOT = str(Path(sys.executable).parent / "xbot")
ELSEWHERE = ("xbot serve", "--backend dask")

needs_corpus = pytest.mark.skipif(
    not all(map(find_spec, published.PACKAGES)), reason="needs the packages of the extra `corpus`"
)


def commands() -> list[str]:
    """Each line of the page that is indented as a command."""
    lines = re.findall(r"^ {4,}((?:xbot|pip) .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) >= 14, "the page lost its commands, or this test lost their form"
    return lines


def run_all(place: Path) -> None:
    """Runs the commands in `place`, where access.log is, and checks what they were said to write. Whole requests, some with
    their handshakes, are the corpus'."""
    (place / "decisions.jsonl").write_bytes(b"\n".join(msgspec.json.encode(record) for record in generate(4, 2000)))
    (place / "hosts.txt").write_text("example.org\nexample.com\nwww.google.com\n")
    for line in commands():
        if any(word in line for word in ELSEWHERE):
            continue
        words = shlex.split(line)
        done = subprocess.run([XBOT, *words[1:]], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr
        if "--out" in words:
            out = place / words[words.index("--out") + 1]
            assert out.stat().st_size > 0
            if out.suffix == ".xbot":
                assert model.load(out).provenance["rows"] > 0


def as_combined(record: dict) -> str:
    """A line of the combined format, as nginx would write it."""
    value = {name.lower(): text for name, text in record["headers"]}

    def quoted(text: str) -> str:
        return "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\x{ord(c):02X}" for c in text) or "-"

    request = f"{record['method']} {record['uri']} {record['protocol']}"
    status = 404 if record["label"] == "bot" and "." in record["uri"][:3] else 200
    told = f'"{quoted(value.get("referer", ""))}" "{quoted(value.get("user-agent", ""))}"'
    return f'{record["ip"]} - - [01/Jan/2026:00:00:00 +0000] "{quoted(request)}" {status} 512 {told}'


@pytest.fixture
def small_log(tmp_path: Path) -> Path:
    """3,000 requests as one site's log: the visits of the corpus, all of one host."""
    with (tmp_path / "access.log").open("w") as file:
        for record in generate(3, 3000):
            host = record["host"]
            one = [[name, text.replace(host, "www.example.org")] for name, text in record["headers"]]
            file.write(as_combined(record | {"headers": one}) + "\n")
    return tmp_path


@needs_corpus
@pytest.mark.long
def test_the_commands_run_on_a_small_log(small_log: Path) -> None:
    run_all(small_log)


@needs_corpus
@pytest.mark.long
@pytest.mark.parametrize("site", LOGS)
def test_the_commands_run_on_a_real_log(site: str, data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / "logs" / f"{LOGS[site]}.log", tmp_path / "access.log")
    run_all(tmp_path)


def test_what_is_left_to_other_tests_is_on_the_page() -> None:
    text = "\n".join(commands())
    assert all(word in text for word in ELSEWHERE)


# ---- enforcing, and taking it back


class AsOnThePage(Sidecar):
    """Serves by the page's xbot.toml, in the directory where that is; the socket is beside it."""

    def __init__(self, place: Path, model_path: Path, *arguments: object) -> None:
        (block,) = re.findall(r"^    # xbot\.toml\n(?:    .*\n|\n)+", PAGE.read_text(), re.MULTILINE)
        text = re.sub(r"^    ", "", block, flags=re.MULTILINE)
        assert "/run/xbot/xbot.sock" in text
        text = text.replace("/run/xbot/xbot.sock", f"{place}/s").replace('socket_group = "www-data"\n', "")
        (place / "xbot.toml").write_text(text)
        shutil.copy(model_path, place / "site.xbot")
        super().__init__(place, "--config", "xbot.toml", *arguments, listen=(), workers=1, cwd=place)
        at = self._command.index("--model")
        del self._command[at : at + 2]

    def take_back(self, place: Path) -> None:
        """The two commands of the page, by a shell."""
        (block,) = re.findall(r"^    sed -i .*\n    kill -HUP PID\n", PAGE.read_text(), re.MULTILINE)
        before = len(self.events("reloaded"))
        pid = self.events("started")[-1]["pid"]
        subprocess.run(["sh", "-ec", block.replace("PID", str(pid))], cwd=place, check=True)
        self.wait_for("reloaded", before + 1)


def test_enforcing_is_taken_back_as_the_page_says(tmp_path: Path) -> None:
    """The page once said that `--mode observe` and SIGHUP do it: a running sidecar has no way to hear of a flag."""
    with AsOnThePage(tmp_path, DEFAULT_MODEL) as sidecar:
        assert ask(sidecar.address, head(CURL)).status == 403
        with load(sidecar.address, keepalive=True) as outcome:
            sidecar.take_back(tmp_path)
        assert outcome.failures == []
        assert ask(sidecar.address, head(CURL)).status == 200


def test_a_flag_is_not_taken_back_so(tmp_path: Path) -> None:
    """As the page warns: it stands above the file as long as the sidecar runs."""
    with AsOnThePage(tmp_path, DEFAULT_MODEL, "--mode", "enforce") as sidecar:
        sidecar.take_back(tmp_path)
        assert ask(sidecar.address, head(CURL)).status == 403


def test_the_old_model_is_put_back(made_model_path: Path, tmp_path: Path) -> None:
    with AsOnThePage(tmp_path, DEFAULT_MODEL) as sidecar:
        first = sidecar.events("started")[0]["sha256"]
        old = (tmp_path / "site.xbot").read_bytes()
        for image, same in ((made_model_path.read_bytes(), False), (old, True)):
            (tmp_path / "new").write_bytes(image)
            (tmp_path / "new").replace(tmp_path / "site.xbot")
            sidecar.reload()
            assert (sidecar.events("reloaded")[-1]["sha256"] == first) == same
