"""The directory of a board: which one will do, who has it, and what other users can do to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from board_harness import NOBODY, TCP, counted, refused, sidecar_on
from sidecar_harness import TIMEOUT, Sidecar, alive, ask, load, wait_until

from sidecar.board import memory
from sidecar.board.directory import Directory
from sidecar.errors import XbotError


def test_a_directory_that_is_of_no_use_is_refused(made_model_path: Path, place: Path, tmp_path: Path) -> None:
    def why(path: object) -> str:
        return refused("--model", made_model_path, "--board", path).removeprefix("xbot: --board: ")

    assert why(place / "none") == f"{place}/none: No such file or directory"
    (place / "file").touch()
    assert why(place / "file") == f"{place}/file: Not a directory"
    (tmp_path / "link").symlink_to(place)
    assert why(tmp_path / "link") == f"{tmp_path}/link: a symbolic link; name the directory itself"
    for mode in (0o777, 0o1777, 0o775, 0o757):
        place.chmod(mode)
        assert why(place) == f"{place}: others may write there (mode {mode:04o}); chmod go-w"
    place.chmod(0o755)
    (place / "file").unlink()
    assert list(place.iterdir()) == []
    if os.geteuid() == 0:
        os.chown(place, NOBODY, NOBODY)
        assert why(place) == f"{place}: belongs to nobody, and this process is root"
    assert why("relative") == "xbot: --board 'relative' is not an absolute path, or none"


def test_the_file_is_named_where_it_asks(
    made_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XBOT_BOARD", raising=False)
    toml = tmp_path / "xbot.toml"
    toml.write_text(f'workers = 1\nboard = "{tmp_path}/none"\n')
    assert refused("--config", toml) == f"xbot: {toml}:2: board: {tmp_path}/none: No such file or directory"
    toml.write_text('board = "run"\n')
    assert refused("--config", toml) == f"xbot: {toml}:1: board: 'run' is not an absolute path, or none"


def test_two_sidecars_on_one_directory(made_model_path: Path, place: Path) -> None:
    """The second says so at once; the first goes on. The lock ends with its owner, however that ends."""
    with sidecar_on(place, made_model_path, workers=1) as sidecar:
        before = (place / "served").read_bytes()
        begun = time.monotonic()
        line = refused("--model", made_model_path, "--board", place)
        assert line == f"xbot: --board: {place}: another sidecar has it; one directory is for one sidecar"
        assert time.monotonic() - begun < TIMEOUT
        assert (place / "served").read_bytes() == before
        assert sidecar.upgrade()
        sidecar.process.wait(TIMEOUT)
        assert refused("--model", made_model_path, "--board", place) == line  # the new master has the lock
        os.kill(sidecar.master, signal.SIGKILL)
        wait_until(lambda: not alive(sidecar.master))
    with sidecar_on(place, made_model_path, workers=1):
        pass


UNASKED = """
import pathlib
from sidecar.config import options
options.DEFAULT_BOARD = pathlib.Path({board!r})
from sidecar.commands import cli
cli.main()
"""


@pytest.mark.parametrize("how", ["missing", "open to all", "in use", "fit", "full"])
def test_where_nobody_asked_it_goes_on_without(how: str, made_model_path: Path, place: Path, tmp_path: Path) -> None:
    """The default directory is used where it can be; else memory that only workers share does, and a line says why."""
    script = tmp_path / "xbot.py"
    script.write_text(UNASKED.format(board=str(place / "missing" if how == "missing" else place)))
    environment = {name: value for name, value in os.environ.items() if name != "XBOT_BOARD"}
    if how == "full":
        (place / "served.new").mkdir()  # what cannot be removed stands for a file system that is full
    with contextlib.ExitStack() as stack:
        if how == "open to all":
            place.chmod(0o777)
        elif how == "in use":
            stack.enter_context(sidecar_on(place, made_model_path, workers=1))
        sidecar = Sidecar(
            made_model_path, "--admin", TCP, workers=1, command=[sys.executable, str(script)], env=environment
        )
        stack.enter_context(sidecar)
        assert ask(sidecar.address).status == 200
        assert counted(sidecar) == 1
        said = [event["reason"] for event in sidecar.events("no board")]
        assert len(said) == (how not in ("missing", "fit"))
        assert ("board" in sidecar.events("started")[0]) == (how == "fit")
        sidecar.reload()
        assert sidecar.events("reloaded")
        assert sidecar.upgrade()


def test_a_file_that_cannot_be_written_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    board = Directory.open(place)
    monkeypatch.setattr(memory, "write", full)
    with pytest.raises(XbotError, match=r"/counters\.new: No space left on device"):
        board.create("counters", b"x")
    assert [path.name for path in place.iterdir()] == ["lock"]
    board.close()


HOSTILE = """
import fcntl, os, sys, time
board, user = sys.argv[1], int(sys.argv[2])
os.setgroups([])
os.setgid(user)
os.setuid(user)
done = []
def attempt(what):
    try:
        done.append(repr(what()))
    except OSError as error:
        pass
end = time.monotonic() + 1.0
while time.monotonic() < end:
    for name in ("served", "counters", "lock", "served.new", "counters.new"):
        path = os.path.join(board, name)
        attempt(lambda: os.truncate(path, 0))
        attempt(lambda: os.open(path, os.O_RDWR))
        attempt(lambda: os.unlink(path))
        attempt(lambda: os.rename(path, path + ".x"))
        attempt(lambda: os.chmod(path, 0o666))
        attempt(lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        attempt(lambda: os.symlink("/etc/passwd", path))
        attempt(lambda: os.link(path, "/tmp/xbot-linked"))
        attempt(lambda: open(path, "rb").read(8))
    try:
        fcntl.flock(os.open(board, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
print(done)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_can_do_nothing(model_path: Path, place: Path) -> None:
    """Cut short, replace, rename, lock: under load, with reloads, a restarted worker and an upgrade, 0 requests fail."""
    with (
        sidecar_on(place, model_path) as sidecar,
        load(sidecar.address, keepalive=False, retry=True) as outcome,
    ):
        command = [sys.executable, "-I", "-S", "-c", HOSTILE, str(place), str(NOBODY)]
        hostile = subprocess.Popen(command, stdout=subprocess.PIPE)
        for _ in range(3):
            sidecar.reload()
        os.kill(sidecar.serving[0], signal.SIGKILL)
        assert sidecar.upgrade()
        out, _ = hostile.communicate(timeout=TIMEOUT)
        assert out.decode() == "[]\n"
        sidecar.wait_for("stopped")
        assert not sidecar.events("counters replaced")
    assert outcome.failures == []
    assert outcome.scores.total() > 50
    assert {path.name for path in place.iterdir()} == {"control", "counters", "lock", "module", "served"}
