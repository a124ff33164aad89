"""What is said while a bar is shown: on a terminal of 80 columns, neither breaks the other, and at the end no bar is left.

Law: a real terminal (pty) with a real command, as a person sees it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

LINE = '192.0.2.1 - - [12/Mar/2026:07:15:{:02} +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8"\n'
# Late lines, and one that cannot be read: two remarks while the bar is shown.
LOG = "".join(LINE.format(59 - i) for i in range(50)) + "what is this\n"


def on_a_terminal(words: list[str], place: Path) -> tuple[str, str]:
    """(what the terminal got, as it came; standard output, in a file)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    out = place / "out"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with (
        out.open("wb") as file,
        subprocess.Popen(words, cwd=place, stdout=file, stderr=theirs, env=environment) as process,
    ):
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
    os.close(ours)
    assert process.returncode == 0, said.decode()
    return said.decode(), out.read_text()


def screen(said: str) -> list[str]:
    """The lines that are left to be seen."""
    lines, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if piece == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif piece == "\r":
            column = 0
        elif found := re.fullmatch(r"\x1b\[(\d*)A", piece):
            row -= int(found[1] or 1)
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece[0] != "\x1b":
            lines[row] = lines[row].ljust(column)[:column] + piece + lines[row][column + len(piece) :]
            column += len(piece)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("command", ["score", "replay"])
def test_a_remark_breaks_no_bar_and_no_bar_is_left(tmp_path: Path, command: str) -> None:
    (tmp_path / "log").write_text(LOG)
    at_once = "from sidecar.commands.cli import main; from sidecar.sources import progress; progress.SOON = 0; main()"
    said, out = on_a_terminal([sys.executable, "-c", at_once, command, "log"], tmp_path)
    assert "━" in said  # there was a bar
    seen = screen(said)
    assert not [line for line in seen if "━" in line], seen
    assert max(map(len, seen)) <= 80
    words = " ".join(seen)
    assert "xbot: log: read as combined (of nginx and Apache)" in words
    assert "xbot: log:51: time: expected [day/Mon/year" in words
    assert "49 of 50 lines are earlier than the line before them; first: log:2" in words
    assert len(out.splitlines()) >= 50 or command == "replay"


def test_a_short_log_needs_no_bar(tmp_path: Path) -> None:
    """Of `xbot score log | head` the first line stood behind it."""
    (tmp_path / "log").write_text(LOG)
    late = "from sidecar.commands.cli import main; from sidecar.sources import progress; progress.SOON *= 1000; main()"
    said, _ = on_a_terminal([sys.executable, "-c", late, "score", "log"], tmp_path)
    assert "━" not in said


def test_long_remarks_are_broken_between_words(tmp_path: Path) -> None:
    program = 'from sidecar.sources import progress; progress.say("xbot: " + "remark " * 40)'
    said, _ = on_a_terminal([sys.executable, "-c", program], tmp_path)
    seen = screen(said)
    assert len(seen) > 3
    assert set(" ".join(seen).split()) == {"xbot:", "remark"}
