"""The board: what a sidecar serves and counts, as files that outlive it and that other hosts read.

Law: a sidecar here has a board of its own, asked for by --board, in a directory that this test made. What others do to it is
done by them: another user's process, or a program in C that has csrc/ and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from compiled import ENVIRONMENT, SANITIZE, SUPPORT, gcc
from places import DATA, XBOT
from sidecar_harness import TIMEOUT, Sidecar, alive, ask, head, load, wait_until

from sidecar import core
from sidecar.board import directory, memory
from sidecar.board.directory import Directory
from sidecar.errors import XbotError

TCP = "127.0.0.1:0"
NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for a board, below one that every user may search."""
    with tempfile.TemporaryDirectory(prefix="xbot-board-") as above:
        path = Path(above, "board")
        path.parent.chmod(0o755)
        path.mkdir(mode=0o755)
        yield path


def sidecar_on(place: Path, model: Path, *more: object, **extra: Any) -> Sidecar:
    return Sidecar(model, "--board", place, "--admin", TCP, *more, **extra)


def counted(sidecar: Sidecar) -> float:
    """How many requests got a verdict."""
    return sidecar.counted("xbot_requests_total")


def refused(*arguments: object) -> str:
    """The one line of a sidecar that does not start."""
    command = [XBOT, "serve", "--listen", TCP, "--workers", "1", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT)
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("{")]
    assert done.returncode == 2, done.stderr.decode()
    assert len(lines) == 1, lines
    return lines[0]


# What outlives whom


def test_counters_survive_restarts_kills_and_upgrades(model_path: Path, place: Path) -> None:
    with sidecar_on(place, model_path) as sidecar:
        assert sidecar.events("started")[0]["board"] == str(place)
        for _ in range(3):
            ask(sidecar.address)
        worker = sidecar.serving[0]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(sidecar.serving) == 2)
        ask(sidecar.address)
        assert counted(sidecar) == 4
        assert sidecar.upgrade()
        ask(sidecar.address)
        assert sidecar.process.wait(TIMEOUT) == 0
        assert counted(sidecar) == 5
        assert sidecar.stop() == 0
    with sidecar_on(place, model_path) as sidecar:  # after an orderly end
        ask(sidecar.address)
        assert counted(sidecar) == 6
        workers = sidecar.workers
        sidecar.process.kill()
        wait_until(lambda: not any(map(alive, workers)))
    with sidecar_on(place, model_path, workers=1) as sidecar:  # after kill -9 of the master
        ask(sidecar.address)
        assert counted(sidecar) == 7
        assert sidecar.counted("xbot_requests_total", verdict="bot") == 7
        assert not sidecar.events("counters replaced")
        for pid in [*sidecar.workers, sidecar.process.pid]:
            os.kill(pid, signal.SIGKILL)
        sidecar.process.wait(TIMEOUT)
    with sidecar_on(place, model_path) as sidecar:
        assert counted(sidecar) == 7


def test_a_new_master_counts_while_the_old_one_drains(model_path: Path, place: Path) -> None:
    """Both write, each worker in a slot of its own: no request of a load that goes on all the time is lost to the sums."""
    with sidecar_on(place, model_path) as sidecar:
        with load(sidecar.address, keepalive=True, clients=2, pause=0) as outcome:
            for _ in range(3):
                assert sidecar.upgrade()
        sidecar.wait_for("stopped", 3)
        assert outcome.failures == []
        assert counted(sidecar) == outcome.scores.total() > 100


def test_without_a_board_an_upgrade_keeps_the_counters(model_path: Path) -> None:
    with Sidecar(model_path, "--board", "none", "--admin", TCP) as sidecar:
        assert "board" not in sidecar.events("started")[0]
        ask(sidecar.address)
        assert sidecar.upgrade()
        ask(sidecar.address)
        assert counted(sidecar) == 2


def test_an_upgrade_may_move_the_board(made_model_path: Path, place: Path, tmp_path: Path) -> None:
    """The sums come along; the old directory is free for another sidecar."""
    toml = tmp_path / "xbot.toml"
    other = place.with_name("other")
    other.mkdir(mode=0o755)

    def write(board: Path) -> None:
        toml.write_text(f'workers = 1\nadmin = "{TCP}"\nboard = "{board}"\n[[listen]]\naddress = "{TCP}"\n')

    write(place)
    environment = {name: value for name, value in os.environ.items() if name != "XBOT_BOARD"}
    with Sidecar(made_model_path, "--config", toml, listen=[], workers=1, env=environment) as sidecar:
        ask(sidecar.address)
        write(other)
        sidecar.reload()
        assert sidecar.events("reload refused")[0]["reason"].startswith(f"{toml}:3: board: changed")
        assert sidecar.upgrade()
        ask(sidecar.address)
        sidecar.process.wait(TIMEOUT)
        assert counted(sidecar) == 2
        assert {path.name for path in other.iterdir()} == {"control", "counters", "lock", "module", "served"}
        with sidecar_on(place, made_model_path, workers=1) as second:
            assert counted(second) == 1
        assert not sidecar.events("counters replaced")


def test_more_workers_get_more_slots(made_model_path: Path, place: Path) -> None:
    small = core.counters_image(3, *directory.times())
    (place / "counters").write_bytes(
        small[: core.COUNTERS_HEADER] + struct.pack("<Q", 5) + small[core.COUNTERS_HEADER + 8 :]
    )
    with sidecar_on(place, made_model_path, workers=3) as sidecar:
        assert "room for 2 workers" in sidecar.wait_for("counters replaced")["reason"]
        assert core.sum_counters((place / "counters").read_bytes())["unknown_policy"] == 5
        ask(sidecar.address)
        kept = core.sum_counters((place / "counters").read_bytes())
        assert (kept["unknown_policy"], kept["requests"]) == (5, 1)


CLAIM = """
import os, sys, time
from sidecar import core
from sidecar.board.slots import claim
fd = int(sys.argv[1])
slot = claim(fd)
slot[:8] = (7).to_bytes(8, "little")
print(core.sum_counters(os.pread(fd, 1 << 20, 0))["unknown_policy"], flush=True)
sys.stdin.read()
"""


def test_a_worker_without_a_slot_counts_for_itself() -> None:
    """And one that ends leaves its slot, with what is in it, to the next."""
    fd = memory.writable("counters", core.counters_image(3, *directory.times()))

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CLAIM, str(fd)]
        return subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start() as first, start() as second:
        assert sorted([first.stdout.readline(), second.stdout.readline()]) in (["14\n", "7\n"], ["14\n", "14\n"])
        with start() as third:
            assert third.stdout.readline() == "14\n"
            third.stdin.close()
        first.kill()
        first.wait()
        with start() as fourth:
            assert fourth.stdout.readline() == "14\n"  # it wrote 7 over 7
            assert (
                memoryview(os.pread(fd, 1 << 20, 0))[core.COUNTERS_HEADER + core.COUNTERS_SLOT :][:8].cast("Q")[0] == 7
            )
            fourth.stdin.close()
        second.stdin.close()
    os.close(fd)


# What others find


@pytest.fixture(scope="module")
def read_served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A program in C that judges by what it finds in a board, as a module inside nginx does."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place = tmp_path_factory.mktemp("read_served")
    objects = request.getfixturevalue("sanitized")
    gcc(*SANITIZE, SUPPORT / "read_served.c", *objects, "-lm", "-o", place / "read_served")
    return place / "read_served"


def judged(program: Path, served: Path, heads: list[bytes], **extra: Any) -> tuple[int, list[str]]:
    """Its exit status and lines."""
    asked = b"".join(struct.pack("<I", len(one)) + one for one in heads)
    done = subprocess.run([program, served], input=asked, capture_output=True, env=ENVIRONMENT, check=False, **extra)
    return done.returncode, done.stdout.decode().splitlines()


def records() -> list[dict[str, Any]]:
    """Requests of people and programs, as a log has them."""
    lines = (DATA / "false_positives.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines if line and not line.startswith("#")]
    wanted = ("method", "uri", "protocol", "scheme", "host", "headers")
    return [{"ip": f"192.0.2.{i}", **{name: one[name] for name in wanted}} for i, one in enumerate(found, 1)]


def as_asked(record: dict[str, Any]) -> bytes:
    """The same, as nginx asks."""
    lines = ["GET /xbot HTTP/1.1", f"X-Real-IP: {record['ip']}"]
    lines += [f"X-Original-{name}: {record[name.lower()]}" for name in ("URI", "Method", "Protocol", "Scheme", "Host")]
    lines += [f"{name}: {value}" for name, value in record["headers"]]
    return "\r\n".join([*lines, "", ""]).encode()


def test_another_host_gives_the_same_margins(model_path: Path, place: Path, read_served: Path, xbot) -> None:  # type: ignore[no-untyped-def]
    rows = records()
    assert len(rows) > 60
    log = "".join(json.dumps(row) + "\n" for row in rows).encode()
    said = xbot("score", "--model", model_path, "--format", "jsonl", "--json", "-", stdin=log).stdout.splitlines()
    with sidecar_on(place, model_path, workers=1) as sidecar:
        code, lines = judged(read_served, place / "served", [as_asked(row) for row in rows])
        assert code == 0
        outcomes = [ask(sidecar.address, as_asked(row))["X-Bot"] for row in rows]
    margins, theirs = zip(*(line.split() for line in lines), strict=True)
    assert [float(margin) for margin in margins] == [json.loads(line)["margin"] for line in said]
    assert list(theirs) == outcomes
    assert len({*margins}) > 30


def test_what_is_published_is_what_is_served(
    made_model_path: Path, model_path: Path, place: Path, read_served: Path
) -> None:
    """A reload renames a new file into place; one that is refused changes no byte; a reader never sees half of one."""
    with tempfile.TemporaryDirectory() as own:
        model = Path(shutil.copy(made_model_path, own))
        served = place / "served"
        with sidecar_on(place, model) as sidecar:
            first = served.read_bytes()
            image, policies = core.served_parts(first, verified=False)
            assert image == made_model_path.read_bytes()
            assert core.Policies(policies).names == ("default",)
            assert stat.S_IMODE(served.stat().st_mode) == 0o640
            assert stat.S_IMODE((place / "counters").stat().st_mode) == 0o600
            with served.open("rb") as old:
                model.write_bytes(b"no model")
                sidecar.reload()
                assert sidecar.events("reload refused")
                assert served.read_bytes() == first
                shutil.copy(model_path, model)
                sidecar.reload()
                assert old.read() == first  # who holds the old one has it whole
            assert core.served_parts(served.read_bytes(), verified=False)[0] == model_path.read_bytes()
            sizes = set()
            for turn in range(6):
                shutil.copy((made_model_path, model_path)[turn % 2], model)
                sidecar.signal(signal.SIGHUP)
                while len(sidecar.events("reloaded")) < turn + 2:
                    image, _ = core.served_parts(served.read_bytes(), verified=False)
                    sizes.add(len(image))
            assert sizes == {made_model_path.stat().st_size, model_path.stat().st_size}
            assert judged(read_served, served, [head()])[0] == 0
        assert judged(read_served, served, [head()])[0] == 0  # it outlives the sidecar


@pytest.mark.parametrize("how", ["cut", "grown", "a bit", "of another kind", "empty", "a link"])
def test_another_host_refuses_what_is_damaged(how: str, made_model_path: Path, place: Path, read_served: Path) -> None:
    whole = core.served_image(made_model_path.read_bytes(), b"", *directory.times())
    path = place / "served"
    path.write_bytes(whole)
    if how == "a link":
        path = place / "link"
        path.symlink_to("served")
    said = {
        "cut": (whole[:-8], "wrong size: it is not what the header says"),
        "grown": (whole + bytes(8), "wrong size: it is not what the header says"),
        "a bit": (whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], "wrong digest"),
        "of another kind": (core.counters_image(9, *directory.times()), "another kind of file"),
        "empty": (b"", None),
        "a link": (whole, None),
    }
    data, why = said[how]
    (place / "served").write_bytes(data)
    code, lines = judged(read_served, path, [head()])
    assert (code, lines) == ((1, [why]) if why else (2, []))


# What lies in the directory


def damage(how: str, place: Path) -> None:
    """Put something that is of no use in the place of the counters."""
    path = place / "counters"
    good = core.counters_image(65, *directory.times())
    if how == "cut":
        path.write_bytes(good[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        path.write_bytes(b"%PDF-1.7" * 1000)
    elif how == "old":
        path.write_bytes(good[:24] + struct.pack("<I", 99) + good[28:])
    elif how == "huge":
        path.write_bytes(good)
        os.truncate(path, 1 << 40)
    elif how == "link":
        path.symlink_to(place.parent / "elsewhere")
        (place.parent / "elsewhere").write_bytes(good)
    elif how == "directory":
        path.mkdir()
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "writable":
        path.write_bytes(good)
        path.chmod(0o666)
    elif how == "second name":
        path.write_bytes(good)
        os.link(path, place.parent / "second")
    else:
        path.write_bytes(good)
        os.chown(path, NOBODY, NOBODY)


DAMAGES = {
    "cut": "wrong size: it is not what the header says",
    "empty": "wrong size: too short for a header",
    "foreign": "wrong magic: this is no file of the board",
    "old": "another version of its layout",
    "huge": "wrong size",
    "link": "Too many levels of symbolic links",
    "directory": "Is a directory",
    "fifo": "no regular file",
    "writable": "others may write there (mode 0666)",
    "second name": "it has a second name",
    "owned": "belongs to nobody",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_bad_counters_are_put_aside(how: str, made_model_path: Path, place: Path) -> None:
    """One line says so; the sidecar counts from 0, and touches nothing outside of its directory."""
    if how == "owned" and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    damage(how, place)
    outside = {path: path.read_bytes() for path in place.parent.iterdir() if path.is_file()}
    with sidecar_on(place, made_model_path, workers=1) as sidecar:
        assert ask(sidecar.address).status == 200
        (event,) = sidecar.events("counters replaced")
        assert (event["level"], DAMAGES[how] in event["reason"]) == ("warning", True), event
        assert counted(sidecar) == 1
        assert core.sum_counters((place / "counters").read_bytes())["requests"] == 1
    assert os.path.lexists(place / "counters.refused")
    assert outside == {path: path.read_bytes() for path in place.parent.iterdir() if path.is_file()}
    with sidecar_on(place, made_model_path, workers=1) as sidecar:
        assert counted(sidecar) == 1
        assert not sidecar.events("counters replaced")


@pytest.mark.parametrize("how", ["cut", "link", "fifo"])
def test_whatever_lies_in_the_place_of_what_is_served(how: str, made_model_path: Path, place: Path) -> None:
    path, outside = place / "served", place.parent / "outside"
    outside.write_bytes(b"untouched")
    for name in ("served", "served.new"):
        if how == "cut":
            (place / name).write_bytes(b"XBBOARD\n")
        elif how == "link":
            (place / name).symlink_to(outside)
        else:
            os.mkfifo(place / name)
    with sidecar_on(place, made_model_path, workers=1):
        assert core.served_parts(path.read_bytes(), verified=False)[0] == made_model_path.read_bytes()
        assert path.lstat().st_nlink == 1
    assert outside.read_bytes() == b"untouched"


# Directories


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


def test_a_reload_that_cannot_publish_changes_nothing(made_model_path: Path, model_path: Path, place: Path) -> None:
    """What other hosts serve and what we serve is one thing: both are new, or neither."""
    with tempfile.TemporaryDirectory() as own:
        model = Path(shutil.copy(made_model_path, own))
        with sidecar_on(place, model, workers=1) as sidecar:
            before = ask(sidecar.address)["X-Bot-Score"]
            (place / "served.new").mkdir()
            shutil.copy(model_path, model)
            sidecar.reload()
            assert sidecar.events("reload refused")[0]["reason"] == f"{place}/served.new: Is a directory"
            assert ask(sidecar.address)["X-Bot-Score"] == before
            assert core.served_parts((place / "served").read_bytes(), verified=False)[0] == made_model_path.read_bytes()
            (place / "served.new").rmdir()
            sidecar.reload()
            assert ask(sidecar.address)["X-Bot-Score"] != before


def test_a_file_that_cannot_be_written_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    board = Directory.open(place)
    monkeypatch.setattr(memory, "write", full)
    with pytest.raises(XbotError, match=r"/counters\.new: No space left on device"):
        board.create("counters", b"x")
    assert [path.name for path in place.iterdir()] == ["lock"]
    board.close()


# Other users

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


def test_counters_that_their_owner_cuts_are_replaced(made_model_path: Path, place: Path) -> None:
    """Who owns the file can end the workers by it; the next ones count in a new file, from the sums known last."""
    with sidecar_on(place, made_model_path, workers=1) as sidecar:
        ask(sidecar.address)
        assert counted(sidecar) == 1
        worker = sidecar.serving[0]
        os.truncate(place / "counters", 0)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: [one for one in sidecar.serving if one != worker])
        assert sidecar.wait_for("counters replaced")["reason"] == "wrong size: too short for a header"
        ask(sidecar.address)
        assert counted(sidecar) == 2


# ---- records of decisions


def lane_with(
    margin: float = 1.0, score: float = 0.5, seconds: float = 0.0, past: Sequence[float] = (), doubt: int = 0
) -> bytearray:
    """A lane with one record (csrc/record.h), of this long ago."""
    head, room = b"GET / HTTP/1.1\r\n\r\n", 4096
    written = time.monotonic_ns() - int(seconds * 1e9)
    flags = 0, 0, 0, 0, 0, 1, len(past), 0, doubt
    plain = struct.pack("=IIQQQdd24x9B7x40x32s96x", 0, len(head), 4, 1, written, margin, score, *flags, b"default")
    record = plain + struct.pack(f"={len(past)}d", *past) + head
    lane = bytearray(core.LANE_SIZE)
    lane[room : room + len(record)] = struct.pack("=I", len(record)) + record[4:]
    lane[:8] = struct.pack("=Q", -(-len(record) // 8) * 8)
    return lane


PAST = sum(row.group == "client" for row in core.FEATURES)


def test_a_record_is_read() -> None:
    (one,), bad = core.read_lane(lane_with(past=[math.nan] * PAST, doubt=2), 9)
    assert (one.margin, one.policy, one.doubt, bad) == (1.0, "default", "regretted", 0)
    assert abs(one.time / 1e9 - time.time()) < 60


@pytest.mark.parametrize(
    "forged",
    [
        {"margin": math.nan},
        {"margin": math.inf},
        {"score": math.nan},
        {"score": 2.0},
        {"seconds": -3600.0},
        {"past": [math.inf] * PAST},
        {"doubt": 3},
    ],
    ids=str,
)
def test_a_record_that_a_host_made_up_is_none_where_it_cannot_be_shown(forged: dict[str, Any]) -> None:
    """Of such numbers no JSON can be made, and of such a time no date."""
    assert core.read_lane(lane_with(**forged), 9) == ([], 1)


@pytest.mark.parametrize("lacks", ["", "_POPULATE_WRITE", "_COLLAPSE"])
def test_memory_in_large_pages_is_the_same_memory(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    """Also where the kernel knows nothing of it; what others have mapped stays as it is."""
    data = random.Random(1).randbytes(3 * memory.LARGE_PAGE + 5000)
    fd = memory.writable("pages", data)
    view = memory.mapped(fd)
    if lacks:
        monkeypatch.setattr(memory, lacks, 9999)
    before = Path("/proc/self/maps").read_text().count("memfd:pages")
    gathered = memory.gather(fd)
    assert not (gathered and lacks)
    assert view == data
    view[7] = 1 + data[7] % 255
    assert os.pread(fd, len(data), 0) == bytes(view)
    assert Path("/proc/self/maps").read_text().count("memfd:pages") == before
    assert not memory.gather(memory.writable("small", b"", 4096))
    os.close(fd)
