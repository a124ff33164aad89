"""Builds and runs the fuzz targets beside this file with libFuzzer: `python tests/fuzz/run.py [TARGET...]`. Those in Python are for what
Python reads of others (atheris, which is libFuzzer for Python).

FUZZ_SECONDS is the time for each target (60); one runs on each core. Inputs that reach new code are kept in .fuzz/TARGET.corpus and
start the next run; the first come from tests/data. An input that breaks something is written to .fuzz/ and named. Needs clang.

--fast builds the targets in C without sanitizers, for several times as many executions: what the targets require is checked, a byte
read too far is not. Both builds keep their inputs in one place, so a run without it tries under the sanitizers what a fast one found.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "support"))

import tables  # noqa: E402
from places import MEMORY  # noqa: E402

IN_C = tuple(sorted(path.stem for path in HERE.glob("fuzz_*.c")))
IN_PYTHON = tuple(sorted(path.stem for path in (HERE / "python").glob("fuzz_*.py")))
TARGETS = IN_C + IN_PYTHON
CORES = len(os.sched_getaffinity(0))
CFLAGS = ["-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer"]
SANITIZE = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# Comparisons are not watched, and the schedule of inputs is libFuzzer's old one: the new one costs more than the slowest target.
FAST = ["-O2", "-fno-sanitize-coverage=trace-cmp"]
FAST_OPTIONS = ["-entropic=0"]
MOST = 8192  # bytes of an input
MOST_FAST = {
    "fuzz_clients": 512
}  # 64 operations: its time goes with their number. Longer histories are the other build's

# The kinds of csrc/request/logline.h, by the names in tests/data/lines.tsv.
KINDS = {"combined": 0, "vhost_combined": 1, "forwarded_combined": 2, "common": 4, "vhost_common": 5, "traefik_clf": 8}


def missing(target: str) -> str:
    """Why this target cannot run here, or an empty text."""
    if target in IN_PYTHON:
        return "" if importlib.util.find_spec("atheris") else "atheris is not installed: pip install --group test"
    if shutil.which("clang") is None:
        return "clang is not installed: apt-get install clang"
    probe = ["clang", "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", os.devnull]
    source = b"int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n; }"
    if subprocess.run(probe, input=source, capture_output=True, check=False).returncode:
        return "clang has no libFuzzer here: apt-get install libclang-rt-dev (or libclang-common-14-dev)"
    return ""


def build(targets: Sequence[str], place: Path, fast: bool = False) -> None:
    """Compiles csrc/ once, and each of these targets that is in C to place/TARGET, or place/fast/TARGET."""
    targets = [target for target in targets if target in IN_C]
    if not targets:
        return
    how = FAST if fast else SANITIZE
    place = place / "fast" if fast else place
    place.mkdir(parents=True, exist_ok=True)
    include = ["-I", str(ROOT / "csrc"), "-I", str(HERE.parent / "c" / "support")]
    objects = []
    for source in sorted((ROOT / "csrc").rglob("*.c")):
        objects.append(str(place / f"{source.stem}.o"))
        compiled = ["-fsanitize=fuzzer-no-link", *how, *include, "-c", str(source), "-o", objects[-1]]
        subprocess.run(["clang", *CFLAGS, *compiled], check=True)
    for target in targets:
        linked = ["-fsanitize=fuzzer", *how, *include, str(HERE / f"{target}.c"), *objects, "-lm"]
        subprocess.run(["clang", *CFLAGS, *linked, "-o", str(place / target)], check=True)


def seeds(target: str) -> Iterator[bytes]:
    """First inputs: the cases of tests/data, with the bytes before them that each target takes as its settings."""
    if target in IN_PYTHON:
        sys.path.insert(0, str(HERE / "python"))
        yield from importlib.import_module(target).seeds()
    elif target == "fuzz_head":
        from sidecar import core

        heads = [row["head"] for row in tables.heads()]
        for number, head in enumerate(heads):
            yield bytes([number % 256, number * 7 % 256]) + head
        for number, row in enumerate(tables.questions()):
            yield from (bytes([dialect, number]) + row["head"] for dialect in range(len(core.DIALECTS)))
        yield b"\x00\x03" + b"".join(heads[:12])
        for number, (_, _, suites, groups, _) in enumerate(tables.rows("handshakes.tsv", 5)):
            told = f"X-TLS-Ciphers: {suites}\r\nX-TLS-Curves: {groups}\r\nX-Connection: 1-2-3\r\nX-Xbot-Files: 2\r\nHost: a\r\n"
            yield bytes([0, number]) + f"GET / HTTP/1.1\r\n{told}\r\n".encode()
    elif target == "fuzz_line":
        for row in tables.lines():
            yield bytes([1 if row["format"] == "challenge" else 2 * KINDS[row["format"]]]) + row["line"]
    elif target == "fuzz_json":
        for escape in (rb"\u0041", rb"\u004g", rb"\u0141", rb"\u1041", rb"\u00", rb"\u0081", rb"\q"):
            yield b'{"agent":"%s"}' % escape
        yield from (tables.DATA / "false_positives.jsonl").read_bytes().splitlines()
        yield b'{"ip":"::1","time":1.5,"bytes":7,"status":200,"label":"bot","tls":{"alpn":"h2"},"headers":{"Host":"a","Cookie":"\\u0041"}}'
        yield b'{"agent":"a\\"b","policy":"shop","connection":17,"connection_requests":2,"more":-1,"order":null,"type":""}'
    elif target == "fuzz_handshake":
        for _, _, suites, groups, _ in tables.rows("handshakes.tsv", 5):
            yield b"\0".join([b"TLSv1.3", suites.encode(), groups.encode(), b"h2", b".", b"0x0a0a:0x0403", b"1-2-3"])
    elif target == "fuzz_policies":
        yield from policy_inputs()
    elif target == "fuzz_outcome":
        keys = b"0123456789abcdef" * 3
        yield b"<190>Nov 27 13:24:01 xbot: " + keys + b" 200 5120 text/html; charset=utf-8"
        yield from (keys + rest for rest in (b" 304 0 -", b" 000 0", b" 200 999999999999999 image/png", b" 200", b""))
    elif target == "fuzz_clients":
        for jumps in range(2):
            # A visit with parts, a crawl, outcomes that correct, long pauses.
            yield bytes([jumps]) + b"".join(bytes([1 + (n % 4 > 0), 0, 0x21, 1, 0, n, 90, n % 20]) for n in range(40))
            yield bytes([jumps]) + b"".join(bytes([1, n % 5, 0x20, 1, 0, n, 125, 6]) for n in range(200))
            yield bytes([jumps]) + b"".join(
                bytes([n % 3 | 128 * (n % 2), n % 5, 0x20, n, n * 7 % 256, n, 3, n % 24]) for n in range(200)
            )
            # Pages that are refused, each of them or every other one, and parts in between.
            yield bytes([jumps]) + b"".join(
                bytes(
                    [
                        1,
                        0,
                        0x21,
                        n,
                        0,
                        n,
                        90,
                        6,
                        0xC1,
                        0,
                        0x21,
                        n,
                        5 if n % 4 else 1,
                        n,
                        1,
                        3,
                        n % 3,
                        0,
                        0x20,
                        n,
                        0,
                        n,
                        9,
                        9,
                    ]
                )
                for n in range(60)
            )
    else:
        yield b"\x00\x89XBOT\r\n\x1a" + bytes(512)
        yield from (b"\x01" + bytes([place % 256, place // 256, 0x7F]) for place in range(0, 6000, 89))


# Ends of paths that a site may read otherwise than nginx.
OTHERWISE = ("%5ca", "%255c", "%01", "%7f", "%c0%ae", "%c1a", "..;/a", "..a", ".;a", ";a", "a;b", "...")


def policy_images() -> Iterator[bytes]:
    """Small images: of one policy, and of policies with every kind of list, without and with crawlers. One with the whole catalogue is
    larger than what a fuzzer tries."""
    from sidecar import core
    from sidecar.config import config, policies
    from sidecar.config.crawlers import Crawlers

    rows = (
        ("gptbot", "training", 1, 1, 0, False),
        ("yandex", "search", 2, 0, 1, True),
        ("bot", "tool", 0, 0, 0, False),
    )
    v4 = ((0x14000000, 0x140000FF, 1, 3), (0x09090900, 0x090909FF, 2, 1), (0xC6336480, 0xC63364FF, 3, 3))
    v6 = ((0x26060000 << 96, (0x26060001 << 96) - 1, 2, 1), (0x2A000000 << 96, (0x2A000001 << 96) - 1, 1, 3))
    some = Crawlers(rows, tuple(sorted(v4)), v6, ((b"gptbot", 0), (b"yandexbot/3", 1), (b"bot", 2), (b"yandexbot", 0)))
    for name in (None, "policies.toml", "policies_nearly.toml"):
        plan = config.load(tables.DATA / name if name else None)
        made = policies.material(plan)
        named = {**made.lists}
        for number, crawlers in enumerate((None, some)):
            lists = {name: each if crawlers else replace(each, source=0) for name, each in named.items()}
            if crawlers and "crawlers" in lists:  # its networks lie among theirs
                lists["crawlers"] = replace(lists["crawlers"], v4=[], v6=[], source=2)
            said = {name: bytes([number, 1 - number, 2]) for name in made.policies}
            yield core.policies_image(made.policies, lists, made.routes, crawlers, said)


def policy_inputs() -> Iterator[bytes]:
    """For each image questions that its lists, routes and crawlers name, and in each dialect one."""
    from sidecar import core

    def asked(ip: str, target: str, agent: str, more: str = "") -> bytes:
        told = f"X-Real-IP: {ip}\r\nX-Original-URI: {target}\r\nX-Original-Method: GET\r\nUser-Agent: {agent}\r\n{more}"
        return f"GET / HTTP/1.1\r\n{told}\r\n".encode()

    signature = "Signature: a=:AA==:\r\nSignature-Input: a=()\r\n"
    words = " ".join(f"w{n}" for n in range(70))
    addresses = (
        "20.0.0.9",
        "9.9.9.9",
        "2606::1",
        "2a00::1",
        "192.0.2.77",
        "10.0.0.1",
        "fe80::1",
        "2001:db8:bad::1",
        "unix:",
        "x",
    )
    agents = (
        "GPTBot/1.2",
        "YandexBot/3",
        "YandexBot/33",
        "bot",
        "curl",
        f"{words} Disco gptbot",
        f"{words} 123 v4 GPTBotv2 nobody",
        "go-http-client",
        "python-requests/22",
        "Discourse",
    )
    targets = (
        "/",
        "/login",
        "/x/..%2flogin",
        "/wp-login.php?a",
        "/feed.xml",
        "/feed.xmlx",
        "//open/./../open/a#b",
        "http://a",
        "/a%2",
        "/../..",
        "..%2fa",
        "/docs/a",
        "/open/a..b",
        *(f"/{place}/{rest}" for place in ("open", "docs") for rest in OTHERWISE),
    )
    questions = [asked(ip, "/", agent) for ip in addresses for agent in agents]
    questions += [asked(addresses[0], target, "curl") for target in targets]
    questions += [asked(ip, "/", "curl", signature) for ip in addresses[:5]]
    questions += [
        asked("9.9.9.9", "/", "curl", "Signature: a=:AA==:\r\n"),
        asked("9.9.9.9", "/", "", "").replace(b"X-Real-IP", b"X-Lost"),
    ]
    questions += [asked("9.9.9.9", "/", "Disco").replace(b"X-Original-Method", b"X-Lost")]
    questions += [asked("9.9.9.9", "/", "curl", f"X-Bot-Policy: {name}\r\n") for name in ("default", "login", "none")]
    questions += [b"GET / HTTP/1.1\r\n\r\n", *(row["head"] for row in tables.questions())]
    endless = next(policy_images()).replace(b"default".ljust(core.MAX_NAME + 1, b"\0"), b"d" * (core.MAX_NAME + 1))
    yield bytes([0, 0, len(questions[0]), 0, 0]) + questions[0] + endless  # a name that does not end
    for image in policy_images():
        head = asked("203.0.113.5", "/", "YandexBot/3")
        for said in range(0, 256, 16):  # all that the DNS can say of one who is in no list
            yield bytes([0x80, said, len(head), 0, 0]) + head + image
        for more in (1, 2, 3, 4, 4 | 8, 4 | 8 | 16, 8, 8 | 16, 32, 32 | 8, 64, 128):
            for said in (0, 0x20, 0x30, 0x70):
                yield bytes([0, said, len(head), 0, more]) + head + image
                signed = asked("203.0.113.7", "/", "curl", signature)
                yield bytes([0x40, said | 4, len(signed) % 256, len(signed) // 256, more]) + signed + image
                half = asked("203.0.113.7", "/", "curl", "Signature: a=:AA==:\r\n")
                yield bytes([0x40, said, len(half), 0, more]) + half + image
                bot = asked("198.51.100.7", "/login", "", "X-Connection: 1-2-3\r\n")
                yield bytes([0, said, len(bot) % 256, len(bot) // 256, more]) + bot + image
        for number, head in enumerate(questions):
            dialects = range(len(core.DIALECTS)) if number >= len(questions) - len(tables.questions()) else [0]
            for dialect in dialects:
                before = bytes(
                    [
                        dialect | 0x40 * ((number // 8 + number) % 4),
                        number * 37 % 256,
                        len(head) % 256,
                        len(head) // 256,
                        number * 3 % 8,
                    ]
                )
                yield before + head + image


def sow(target: str, place: Path) -> int:
    """Writes its first inputs; how many there are."""
    corpus = place / f"{target}.corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    number = 0
    for number, seed in enumerate(seeds(target), 1):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    return number


def run(target: str, place: Path, seconds: float, fast: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Runs a target that was built and sown there for some seconds; what broke is in its standard error."""
    options = [
        f"-max_total_time={seconds:g}",
        f"-max_len={MOST_FAST.get(target, MOST) if fast else MOST}",
        "-timeout=60",
        "-print_final_stats=1",
    ]
    # By way of a shell that forks: the kernel counts the peak memory of whoever starts a program as the program's own, and libFuzzer
    # would take that of the tests for a leak.
    command = ["sh", "-c", '"$@"; exit $?', "sh"]
    if target in IN_PYTHON:
        program = [sys.executable, str(HERE / "python" / f"{target}.py")]
    elif fast:
        program = [str(place / "fast" / target), *FAST_OPTIONS]
    else:
        program = [str(place / target)]
    command += [*program, *options, f"-artifact_prefix={place}/{target}-", f"{place}/{target}.corpus"]
    # libFuzzer ends without Python's ways to clean up, and a file is written for each input.
    with tempfile.TemporaryDirectory(prefix="xbot-fuzz-", dir=MEMORY) as files:
        environment = {**os.environ, "TMPDIR": files}
        return subprocess.run(command, stderr=subprocess.PIPE, env=environment, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="all, if none is named")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("FUZZ_SECONDS", "60")))
    parser.add_argument("--fast", action="store_true", help="without sanitizers: several times as many executions")
    parser.add_argument("--place", type=Path, default=ROOT / ".fuzz")
    options = parser.parse_args()
    options.place.mkdir(parents=True, exist_ok=True)
    place = options.place.resolve()
    targets: Sequence[str] = options.targets or TARGETS
    failed: list[str] = []
    if lacking := {why for target in targets if (why := missing(target))}:
        print("\n".join(f"fuzz: {why}" for why in sorted(lacking)), file=sys.stderr)
        return 2
    build(targets, place, options.fast)
    sown = {target: sow(target, place) for target in targets}
    print(f"{options.seconds:g} seconds each, {CORES} side by side", flush=True)
    with ThreadPoolExecutor(CORES) as pool:
        doing = {pool.submit(run, target, place, options.seconds, fast=options.fast): target for target in targets}
        for done in as_completed(doing):
            target, text = doing[done], done.result().stderr.decode("utf-8", "replace")
            figures = [line for line in text.splitlines() if line.startswith(("stat::number", "stat::new"))]
            if done.result().returncode:
                print(f"{target}: failed\n{text[-6000:]}", flush=True)
                failed.append(f"fuzz: {target}: {reason(text)}")
            elif int(figures[0].split()[-1]) < sown[target]:
                failed.append(
                    f"fuzz: {target}: not all of its {sown[target]} first inputs were tried: give it more seconds"
                )
            print("  ".join((f"{target}:", *figures)), flush=True)
    # Last, where whoever sees only the end of a long run finds them.
    print("\n".join(failed), end="\n" if failed else "", flush=True)
    return 1 if failed else 0


def reason(text: str) -> str:
    """What libFuzzer and Python say of an input that broke something, on one line: the error, its file, and short ones in base64."""
    told = [
        line.strip()
        for line in text.splitlines()
        if re.search(r"ERROR: |Error\b|runtime error|written to|^Base64:", line)
    ]
    return "; ".join(dict.fromkeys(told))[:2000] or text.strip()[-200:]


if __name__ == "__main__":
    sys.exit(main())
