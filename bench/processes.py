"""Programs of a run: started on given cores, measured by their pids, and always ended by them.

Law: nothing that was started here outlives `Processes`, however the block is left; nothing else is ever
signalled. Figures come from /proc of the whole tree below a pid (nginx's workers, xbot's workers), so a
service pays for all of its processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

READY_SECONDS = 60.0  # sixteen Python processes that import scikit-learn on one core take their time
END_SECONDS = 5.0

# For Python with numpy in it: threads of OpenBLAS that wait for a busy core burn it, for sums of a few numbers.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class BenchError(Exception):
    """What stops a run or a row, in one line."""


class Processes:
    """Context manager: `start` programs in it; leaving it ends them, last started first."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends everything that runs; nothing is left when this returns. A second Ctrl-C does not cut it short."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._running):
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                for pid in tree(process.pid):  # a master that is killed cannot end its workers
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()
        self._running.clear()
        for number, handler in before.items():
            signal.signal(number, handler)

    def start(
        self,
        command: list[str | Path | None],
        *,
        cores: frozenset[int],
        log: Path,
        ready: Callable[[], bool],
        environment: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> int:
        """Starts a program on `cores` and returns its pid once `ready()` holds. Its output goes to `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C reaches the bench alone, which then ends everything in order
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        self._running.append(process)
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace").strip().rsplit("\n", 1)[-1]
                raise BenchError(f"{Path(str(command[0])).name} did not start: {last or 'it said nothing'}")
            time.sleep(0.02)
        return process.pid


def answers(address: Path | tuple[str, int]) -> Callable[[], bool]:
    """Says whether somebody accepts connections at a Unix socket's path or a (host, port)."""

    def attempt() -> bool:
        family, where = (socket.AF_UNIX, str(address)) if isinstance(address, Path) else (socket.AF_INET, address)
        with socket.socket(family, socket.SOCK_STREAM) as client:
            return client.connect_ex(where) == 0

    return attempt


def program(name: str) -> str | None:
    """Where a program is: beside this Python, on PATH, or where Debian keeps nginx."""
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin")
    return shutil.which(name, path=os.pathsep.join(places))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    pids = [pid]
    for parent in pids:  # grows while it is walked
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += map(int, task.read_text().split())
    return pids


def cpu_ns(pids: list[int]) -> int:
    """Nanoseconds on a core of the trees of `pids`, from schedstat (`stat` counts in steps of 10 ms)."""
    tasks = (task for pid in pids for member in tree(pid) for task in Path(f"/proc/{member}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def pin(pid: int, cores: frozenset[int]) -> None:
    """Moves a tree that runs already, every thread of it, to `cores`."""
    for member in tree(pid):
        for task in Path(f"/proc/{member}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def memory(pid: int) -> dict[str, float]:
    """MiB of one process: `rss`, and `pss` where a page shared by n processes counts 1/n."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in rollup if line.endswith("kB")}
    return {"rss": kib["Rss"] / 1024, "pss": kib["Pss"] / 1024}
