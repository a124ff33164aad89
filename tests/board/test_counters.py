"""Counters: what they outlive, whose slot is whose, and what lies in the place of their file."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from board_harness import NOBODY, TCP, counted, sidecar_on
from sidecar_harness import TIMEOUT, Sidecar, alive, ask, load, wait_until

from sidecar import core
from sidecar.board import directory, memory


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
