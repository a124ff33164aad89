"""The files that commands write: none of a user's is lost, whatever he types."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import ROOT, XBOT, start_xbot

from sidecar import outputs
from sidecar.errors import XbotError

LOG = b"".join(
    b'192.0.2.%d - - [17/May/2015:10:05:%02d +0000] "GET /%d HTTP/1.1" 200 1 "-" "%s"\n'
    % (n % 9, n % 60, n, b"curl/8.5" if n % 2 else b"Mozilla/5.0 (X11) Firefox/115.0")
    for n in range(200)
)
MARKS = b"line\tlabel\n" + b"".join(b"%d\t%s\n" % (n + 1, b"bot" if n % 2 else b"human") for n in range(200))

# The command, with {out} where its output goes; files of `place` in braces.
COMMANDS = {
    "label --out": "label --quiet --format combined --out {out} {log}",
    "label --json": "label --quiet --format combined --json {out} {log}",
    "train --out": "train --quiet --format combined --labels {marks} --out {out} {log}",
    "train --pipeline": "train --quiet --format combined --labels {marks} --out {new} --pipeline {out} {log}",
    "report --out": "report --quiet --format combined --labels {marks} --out {out} {log}",
    "features --out": "features --csv --quiet --format combined --labels {marks} --out {out} {log}",
    "replay --json": "replay --model {model} --format combined --json {out} {log}",
}


@pytest.fixture
def place(tmp_path: Path, made_model_path: Path) -> dict[str, Path]:
    """Files to name in a command; `new` and `out` are not there."""
    names = {name: tmp_path / name for name in ("log", "marks", "model", "new", "out", "notes")}
    names["log"].write_bytes(LOG)
    names["marks"].write_bytes(MARKS)
    names["model"].write_bytes(made_model_path.read_bytes())
    names["notes"].write_bytes(b"all that I know\n")
    return names


def run(command: str, place: dict[str, Path], code: int, **files: object) -> str:
    words = [word.format(**{**place, **files}) for word in command.split()]
    done = start_xbot(*words, cwd=place["log"].parent)
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    if code:
        assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_output_is_no_input(command: str, place: dict[str, Path]) -> None:
    """`xbot label --out access.log access.log` once left a file of labels in the log's place."""
    before = {path: path.read_bytes() for path in place.values() if path.exists()}
    directory = place["log"].parent
    (directory / "symbolic").symlink_to("log")
    os.link(place["log"], directory / "hard")
    for out in (place["log"], "log", "../" + directory.name + "/log", "symbolic", "hard"):
        assert "not written: it is an input" in run(command, place, 2, out=out)
    for name in ("marks", "model"):
        if "{" + name + "}" in command:
            assert "not written: it is an input" in run(command, place, 2, out=place[name])
    assert {path: path.read_bytes() for path in before} == before
    assert not place["new"].exists()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_output_takes_no_other_s_place(command: str, place: dict[str, Path]) -> None:
    said = run(command, place, 2, out=place["notes"])
    assert "notes: not written: it is there already, and is no " in said
    assert place["notes"].read_bytes() == b"all that I know\n"
    assert "is a directory" in run(command, place, 2, out=place["log"].parent)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_an_output_takes_its_own_place(command: str, place: dict[str, Path]) -> None:
    """An empty file is any kind; and what the command wrote it may write again, through a link too, with its mode."""
    place["out"].touch()
    place["out"].chmod(0o640)
    run(command, place, 0)
    wrote = place["out"].read_bytes()
    (place["log"].parent / "link").symlink_to("out")
    run(command, place, 0, out="link")
    assert place["out"].read_bytes()[:20] == wrote[:20] != b""
    assert place["out"].stat().st_mode & 0o777 == 0o640
    assert (place["log"].parent / "link").is_symlink()
    assert not [path for path in place["log"].parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_is_no_file_is_written_to(command: str, place: dict[str, Path]) -> None:
    run(command, place, 0, out="/dev/null")
    fifo, heard = place["log"].parent / "fifo", []
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: heard.append(fifo.read_bytes()), daemon=True)
    reader.start()
    run(command, place, 0, out=fifo)
    reader.join(20)
    assert heard[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes links of another user")
@pytest.mark.parametrize("sticky", [True, False], ids=["of another user", "in a directory of everybody"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_output_goes_through_a_link_of_others(command: str, sticky: bool, place: dict[str, Path]) -> None:
    """Such as one in /tmp that leads into a home."""
    shared, home = place["log"].parent / "shared", place["log"].parent / "home"
    shared.mkdir()
    home.mkdir()
    shared.chmod(0o1777 if sticky else 0o777)
    link = shared / "out"
    link.symlink_to(home / "new")
    if sticky:
        os.lchown(link, 65534, 65534)
    assert "a symbolic link in the hands of others" in run(command, place, 2, out=link)
    assert not list(home.iterdir())


def test_an_output_goes_through_a_link_of_our_own_in_tmp(place: dict[str, Path]) -> None:
    shared = place["log"].parent / "shared"
    shared.mkdir()
    shared.chmod(0o1777)  # nobody else can take it away
    (shared / "out").symlink_to(place["new"])
    run(COMMANDS["label --out"], place, 0, out=shared / "out")
    assert (shared / "out").is_symlink()
    assert place["new"].read_bytes()


def test_standard_output_by_name(place: dict[str, Path]) -> None:
    """Also where it is a file, which is added to and not replaced."""
    command = [XBOT, "label", "--quiet", "--format", "combined", str(place["log"])]
    plain = subprocess.run(command, capture_output=True, check=True).stdout
    with place["notes"].open("ab") as notes:
        subprocess.run([*command, "--out", "/dev/stdout"], stdout=notes, check=True)
    assert place["notes"].read_bytes() == b"all that I know\n" + plain
    assert subprocess.run([*command, "--out", "/dev/stdout"], capture_output=True, check=True).stdout == plain


def test_standard_input_is_an_input(place: dict[str, Path]) -> None:
    with place["log"].open("rb") as log:
        command = [XBOT, "label", "--format", "combined", "--out", place["log"], "-"]
        done = subprocess.run(command, stdin=log, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"on standard input" in done.stderr
    assert place["log"].read_bytes() == LOG


def test_two_outputs_are_two_files(place: dict[str, Path]) -> None:
    said = run("train --format combined --labels {marks} --out {out} --pipeline ./out {log}", place, 2)
    assert "it is another output" in said
    assert "it is another output" in run("label --format combined --out {out} --json {out} {log}", place, 2)
    assert not place["out"].exists()


def test_the_page_of_train(place: dict[str, Path]) -> None:
    pages = place["log"].parent / "pages"
    pages.mkdir()
    (pages / "report.html").write_text("<p>mine</p>")
    said = run("train --format combined --labels {marks} --out {out} --report {pages} {log}", place, 2, pages=pages)
    assert "report.html: not written" in said
    assert not place["out"].exists()


def test_the_corpus(place: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "training.corpus", "--seed", "1", "--rows", "10", "--out"]
    done = subprocess.run([*command, place["notes"]], capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert b"is no corpus" in done.stderr
    for _ in range(2):
        subprocess.run([*command, place["out"]], check=True, cwd=ROOT)
    assert place["out"].read_bytes().count(b"\n") == 10


def test_the_files_for_an_older_or_newer_nginx(place: dict[str, Path], xbot: Callable[..., Any]) -> None:
    """Lines that only a newer one reads are comments for an older one."""
    found = {}
    for version in ("1.18.0", "1.22.1", "1.31.2", "2.0"):
        directory = place["log"].parent / version
        xbot("nginx", "--write", directory, "--for", version)
        code = [
            line
            for line in (directory / "handshake.conf").read_text().splitlines()
            if not line.lstrip().startswith("#")
        ]
        found[version] = [name in "".join(code) for name in ("$ssl_ciphers", "$ssl_alpn_protocol", "$ssl_sigalgs")]
    assert found == {
        "1.18.0": [True, False, False],
        "1.22.1": [True, True, False],
        "1.31.2": [True, True, True],
        "2.0": [True, True, True],
    }
    for wrong in ("x", "1", "1.2.3.4", ""):
        said = xbot("nginx", "--print", "--for", wrong, code=2).stderr.decode()
        assert said.count("\n") == 1
        assert "--for" in said


def test_the_files_for_nginx(place: dict[str, Path], xbot: Callable[..., Any]) -> None:
    """Beside one that differs, also by bytes that are no text, the new one is laid; of one that is no file, none is written."""
    directory = place["log"].parent / "nginx"
    xbot("nginx", "--write", directory)
    names = sorted(path.name for path in directory.iterdir())
    for name in names[:-1]:
        (directory / name).unlink()
    ours, edited = (directory / names[-1]).read_bytes(), gzip.compress(b"\xff")
    (directory / names[-1]).write_bytes(edited)
    for told in (len(names), 0):  # the second time there is nothing new
        assert len(xbot("nginx", "--write", directory).stdout.splitlines()) == told
        assert (directory / names[-1]).read_bytes() == edited
        assert (directory / f"{names[-1]}.new").read_bytes() == ours
        assert {path.name for path in directory.iterdir()} == {*names, f"{names[-1]}.new"}
    for name in (names[-1], f"{names[-1]}.new"):
        (directory / names[0]).unlink(missing_ok=True)
        (directory / name).unlink()
        (directory / name).symlink_to("nowhere")
        assert name in xbot("nginx", "--write", directory, code=2).stderr.decode()
        assert not (directory / "nowhere").exists()
        assert not (directory / names[0]).exists()
        (directory / name).unlink()
        (directory / name).write_bytes(edited)


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    outputs.write(out, b"old")
    with pytest.raises(TypeError), outputs.writing(out) as file:
        file.writelines([b"new", None])  # type: ignore[list-item]
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_umask_counts(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        outputs.write(tmp_path / "out", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(XbotError, match="no such directory"):
        outputs.check([(tmp_path / "none" / "out", outputs.LABELS)])


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_locale_that_lacks_our_signs_is_no_reason_to_end(encoding: str) -> None:
    """Tables have lines, bars and dashes; a traceback stood in their place."""
    done = subprocess.run(
        [XBOT, "inspect"], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"threshold" in done.stdout


@pytest.mark.parametrize("command", ["label", "score", "replay", "explain"])
def test_a_full_disk_behind_standard_output_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "log").write_text("192.0.2.1\tcurl/8.5.0\t-\n")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [XBOT, command, "log"], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "xbot: standard output: No space left on device"
