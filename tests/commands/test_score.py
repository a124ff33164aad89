"""`xbot score`, `explain` and `inspect`: what they print is what the model says, in input order and in constant memory."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import subprocess
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import models
import pytest
import tables
from hypothesis import given
from hypothesis import strategies as st
from places import XBOT

from sidecar import core
from sidecar.commands import offline
from sidecar.sources import records, sentences

CHALLENGE = [row["line"] for row in tables.lines() if row["format"] == "challenge" and row["field"] == "ok"]
COMBINED = [row["line"] for row in tables.lines() if row["format"] == "combined" and row["field"] == "ok"]
JSONL = [
    json.dumps(
        {
            **({"ip": "192.0.2.7", "uri": f"/{n}/x.php", "method": "GET"} if n % 2 else {}),
            "headers": [["User-Agent", row[4]]],
        }
    ).encode()
    for n, row in enumerate(tables.rows("agents.tsv", 5))
]
LOGS = {"challenge": CHALLENGE, "combined": COMBINED, "jsonl": JSONL}


def write(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def judged(model: core.Model, log_format: str, line: bytes, clients: core.Clients | None = None) -> core.Verdict:
    request = core.Request()
    if log_format == "jsonl":
        records.load_record(line, request)
    else:
        request.load_line(log_format, line)
    if clients is None:
        return model.judge(request)
    clients.read(request)
    verdict = model.judge(request)
    clients.count(request)
    return verdict


@pytest.mark.parametrize("log_format", LOGS)
def test_score_prints_what_the_model_says(xbot, made_model, made_model_path, tmp_path, log_format) -> None:
    """The margin to the last bit, the score to four digits; as text and as JSON."""
    lines = LOGS[log_format]
    log = write(tmp_path / "log", lines)
    command = ["score", "--model", made_model_path, "--format", log_format, log]
    text, objects = xbot(*command).stdout.splitlines(), xbot(*command, "--json").stdout.splitlines()
    assert len(text) == len(objects) == len(lines)
    clients = core.Clients()
    for number, (line, row, one) in enumerate(zip(lines, text, objects, strict=True), 1):
        verdict, said = judged(made_model, log_format, line, clients), json.loads(one)
        assert said["line"] == number
        assert said["verdict"] == ("bot" if verdict.bot else "human")
        assert said["margin"] == verdict.margin
        assert abs(said["score"] - verdict.score) <= 0.00005 + 1e-12
        assert re.search(rb'"score": [01]\.\d{4},', one)
        assert said["reason"] == verdict.reason
        assert row.decode().split("\t") == [str(number), said["verdict"], f"{said['score']:.4f}", verdict.reason]


def test_both_verdicts_are_met_here(made_model) -> None:
    """So that the tests above see both."""
    verdicts = [judged(made_model, log_format, line) for log_format, lines in LOGS.items() for line in lines]
    assert 0.1 < sum(verdict.bot for verdict in verdicts) / len(verdicts) < 0.9
    assert len({round(verdict.score, 3) for verdict in verdicts}) > 50
    assert len({verdict.reason for verdict in verdicts}) > 3
    assert {verdict.reason for verdict in verdicts if not verdict.bot} == {"none"}


def added(parts: Iterable[dict[str, Any]], bias: float) -> tuple[float, float]:
    """Bias and contributions, summed exactly; and the size of what was added."""
    numbers = [bias, *(part["contribution"] for part in parts)]
    return math.fsum(numbers), max(1.0, math.fsum(abs(number) for number in numbers))


def check_explained(objects: Iterable[bytes], names: set[str]) -> int:
    """Each explanation adds up to its margin and has a row for each feature. Returns how many there were."""
    count = 0
    for one in objects:
        said = json.loads(one)
        total, size = added(said["contributions"], said["bias"])
        assert abs(total - said["margin"]) <= 1e-9 * size, said["line"]
        assert {part["name"] for part in said["contributions"] if "=" not in part["name"]} == names
        assert all(part["contribution"] == 0 for part in said["contributions"] if part["value"] is None)
        above = max((part["contribution"] for part in said["contributions"]), default=0.0)
        strongest = {part["name"] for part in said["contributions"] if part["contribution"] == above}
        assert (
            said["reason"] == "none"
            if above <= 0 or said["verdict"] == "human"
            else any(name.startswith(said["reason"]) or said["reason"].startswith(name) for name in strongest)
        )
        count += 1
    return count


NAMES = {row.name for row in core.FEATURES}


@pytest.mark.parametrize("log_format", LOGS)
def test_contributions_add_up_to_the_margin(xbot, made_model, made_model_path, tmp_path, log_format) -> None:
    lines = LOGS[log_format]
    done = xbot("explain", "--json", "--model", made_model_path, "--format", log_format, write(tmp_path / "log", lines))
    objects = done.stdout.splitlines()
    assert check_explained(objects, NAMES) == len(lines)
    clients = core.Clients()
    for line, one in zip(lines, objects, strict=True):
        verdict, said = judged(made_model, log_format, line, clients), json.loads(one)
        assert (said["margin"], said["score"], said["reason"]) == (verdict.margin, verdict.score, verdict.reason)


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=40)), max_size=20),
    st.ip_addresses(),
    st.binary(max_size=60),
)
def test_contributions_add_up_for_any_request(made_model, headers, ip, uri) -> None:
    request = core.Request()
    request.load_record(
        headers, True, ip=str(ip).encode(), uri=b"/" + uri, method=b"GET", protocol=b"HTTP/1.1", scheme=b"https"
    )
    verdict, bias, parts = made_model.explain(request)
    numbers = [bias, *(part.contribution for part in parts)]
    assert abs(math.fsum(numbers) - verdict.margin) <= 1e-9 * max(1.0, math.fsum(map(abs, numbers)))
    header = made_model.header
    assert verdict.score == pytest.approx(1 / (1 + math.exp(header["a"] * verdict.margin + header["b"])), rel=1e-12)
    assert verdict.bot == (verdict.score >= header["threshold"])


def test_the_margin_is_the_formula(made_model) -> None:
    """bias + (value - mean) x weight / scale over the features that are there + weight of each bucket."""
    request = core.Request()
    hosts = models.parts().hosts
    import array

    for line in COMBINED + CHALLENGE:
        request.load_line("combined" if line in COMBINED else "challenge", line)
        dense, tokens = request.features(made_model.k, array.array("I", hosts))
        parts = [made_model.header["bias"]]
        for i, value in enumerate(dense):
            if not math.isnan(value):
                value = min(max(value, made_model.lower[i]), made_model.upper[i])
                parts.append((value - made_model.mean[i]) * made_model.weight[i] / made_model.scale[i])
        parts += [made_model.weight[len(dense) + bucket] for bucket, _, _ in tokens]
        assert made_model.judge(request).margin == pytest.approx(math.fsum(parts), abs=1e-9)


def test_hashed_words_show_their_text(xbot, made_model_path) -> None:
    line = b'192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /wp-login.php HTTP/1.1" 200 1 "http://ref.example/" "curl/8.5.0 spam"'
    command = ["explain", "--model", made_model_path, "--format", "combined", "-"]
    (one,) = xbot(*command, "--json", stdin=line).stdout.splitlines()
    words = {part["name"] for part in json.loads(one)["contributions"] if "=" in part["name"]}
    assert words == {
        "ua_word=curl", "ua_word=spam", "ref_host=ref.example", "url_word=wp", "url_word=login", "url_word=php",
        "ip_net=192.0.2.7/32", "ip_net=192.0.2.0/24", "ip_net=192.0.0.0/16",
    }  # fmt: skip
    text = xbot(*command, "--all", stdin=line).stdout.decode()
    for shown in (*words, "bias", "margin", "GET /wp-login.php", "curl/8.5.0 spam"):
        assert shown in text


@pytest.mark.parametrize("log_format", LOGS)
def test_what_is_printed_adds_up_to_the_last_digit(xbot, made_model_path, tmp_path, log_format) -> None:
    """Three parts for a bot at most, three against, the bias and the rest."""
    done = xbot(
        "explain", "--model", made_model_path, "--format", log_format, write(tmp_path / "log", LOGS[log_format])
    )
    line = re.compile(r"([+-]\d+\.\d{6})  (for a bot|against|bias|all others|rounding|margin) ")
    found = [(Decimal(number), what) for number, what in line.findall(done.stdout.decode())]
    sums = 0
    while found:
        end = [what for _, what in found].index("margin")
        (*parts, (margin, _)), found = found[: end + 1], found[end + 1 :]
        assert sum(number for number, _ in parts) == margin
        named = [what for _, what in parts]
        assert named.count("for a bot") + named.count("against") > 0
        assert max(named.count("for a bot"), named.count("against")) <= 3
        assert all((number > 0) == (what == "for a bot") for number, what in parts if what in {"for a bot", "against"})
        sums += 1
    assert sums == len(LOGS[log_format])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("hdr_accept", 1.0, "sends Accept"),
        ("hdr_accept", 0.0, "does not send Accept"),
        ("tls_nss", 0.0, "does not have the handshake of NSS (the library of Firefox)"),
        ("ua_empty", 0.0, "sends a User-Agent"),
        ("odd_no_accept", 0.0, "not so: claims a browser, but sends no Accept"),
        ("url_depth", 0.0, "the slashes in the path: 0"),
        ("ua_length", 113.0, "the bytes of the User-Agent: 113"),
        ("ua_word=curl", 1.0, "the word `curl` of the User-Agent"),
        ("ref_host=a.example", 1.0, "the Referer's host `a.example`"),
        ("hdr_order=host>accept", 1.0, "the pair `host>accept` of header names that follow each other"),
        ("ip_net=192.0.2.0/24", 1.0, "the network `192.0.2.0/24` of the address"),
        ("url_word=a=b\x1b[31m" + "c" * 99, 1.0, "the word `a=b\\x1b[31m" + "c" * 49 + "…` of the path"),
    ],
)
def test_a_part_is_a_sentence(name: str, value: float, said: str) -> None:
    docs = {row.name: row.doc for row in (*core.FEATURES, *core.FAMILIES)}
    assert sentences.sentence(core.Contribution(name, value, 1.0, docs[name.partition("=")[0]])) == said


def test_explain_shows_hostile_text_as_it_came(xbot, made_model_path) -> None:
    """A visitor's markup, emoji and control characters are text to the terminal."""
    line = b"192.0.2.7\t%5Bbold+red%5Dx%5B%2Fbold%5D+%3Asmile%3A+%1B%5B31m\t"
    done = xbot("explain", "--model", made_model_path, "--format", "challenge", "-", stdin=line)
    assert b"[bold red]x[/bold] :smile:" in done.stdout
    assert b"\x1b" not in done.stdout
    assert b"\\x1b[31m" in done.stdout


def test_inspect(xbot, made_model, made_model_path) -> None:
    said = json.loads(xbot("inspect", "--json", made_model_path).stdout)
    assert said["provenance"] == {"made": "for a test"}
    for name in ("bias", "threshold", "a", "b", "k", "n_hosts"):
        assert said["header"][name] == made_model.header[name]
    assert said["rows"] == {row.name: row.version for row in (*core.FEATURES, *core.FAMILIES)}
    assert said["unknown_rows"] == []
    text = xbot("inspect", "--weights", "7", made_model_path).stdout.decode()
    order = sorted(range(len(made_model.weight)), key=lambda i: -abs(made_model.weight[i]))
    for i in order[:7]:
        assert f"{made_model.weight[i]:+.6f}" in text
    assert "for a test" in text


def test_inspect_tells_where_a_model_comes_from(xbot) -> None:
    text = xbot("inspect", "--weights", "1").stdout.decode()
    said = json.loads(xbot("inspect", "--json").stdout)["provenance"]
    assert re.search(rf"trained on +│ {said['rows']:,} requests, {said['bots']:,} of bots", text)
    assert f"catches {said['held_out']['recall']:.2%} of the bots" in text
    assert "{" not in text
    assert "ip_... (6)" in text
    assert re.search("margins +│ [ ▁▂▃▄▅▆▇█]{32} held out, below -7.5 to above 7.5 ", text)


@pytest.mark.parametrize(
    "said",
    [
        {"rows": "many"},
        {"created": "today"},
        {"settings": [], "held_out": {"recall": None}},
        {"rows": 1},
        {"margins": ["a"] * 32},
    ],
)
def test_inspect_shows_what_training_never_wrote(said) -> None:
    """As it is, and without a traceback."""
    as_it_is = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in said.items()]
    assert offline._origin(said) == as_it_is


@pytest.mark.parametrize("command", ["score", "explain", "inspect"])
def test_a_model_that_is_none(xbot, tmp_path, command) -> None:
    bad = tmp_path / "bad.xbot"
    bad.write_bytes(b"no model")
    more = [] if command == "inspect" else ["--format", "challenge", "-"]
    for path, why in ((bad, "wrong magic"), (tmp_path, "directory"), (tmp_path / "none", "No such file")):
        done = xbot(command, *([] if command == "inspect" else ["--model"]), path, *more, code=2, stdin=CHALLENGE[0])
        assert done.stderr.startswith(f"xbot: {path}: ".encode())
        assert why.encode() in done.stderr
        assert done.stderr.count(b"\n") == 1
        assert done.stdout == b""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["score", "--format", "combined", "--log-format", "$request"], "--log-format"),
        (["score", "--log-format", "$status"], "--log-format"),
        (["score", "--mode", "enforce", "--format", "combined"], "--mode"),
        (["score", "--model", "m", "--format", "xml"], "xml"),
        (["score", "--format", "combind"], "'combind' is no format of logs. Did you mean 'combined'"),
        (["score", "--model", "m", "--format", "combined", "a", "b"], "b"),
        (["explain", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_arguments_are_named(xbot, arguments, named) -> None:
    done = xbot(*arguments, code=2)
    assert named in done.stderr.decode()
    assert done.stderr.startswith(b"xbot: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("command", "times"), [(["score"], 20_000), (["score", "--json"], 20_000), (["explain"], 300)])
def test_a_reader_who_leaves(made_model_path, tmp_path, command, times) -> None:
    """`xbot score ... | head -1` ends without a word, as a program does that SIGPIPE ends."""
    log = write(tmp_path / "log", CHALLENGE * times)
    command = [XBOT, *command, "--model", made_model_path, "--format", "challenge", log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_a_reader_who_never_came(made_model_path) -> None:
    """What fits into a buffer is only written at the end."""
    read, write_to = os.pipe()
    os.close(read)
    done = subprocess.run([XBOT, "inspect", made_model_path], stdout=write_to, stderr=subprocess.PIPE, check=False)
    os.close(write_to)
    assert (done.returncode, done.stderr) == (141, b"")


# ---- memory ----


def peak(command: list[object], source: Path) -> int:
    """Peak resident memory of a command that reads this on standard input, in KiB."""
    with (
        source.open("rb") as stdin,
        subprocess.Popen(list(map(str, command)), stdin=stdin, stdout=subprocess.DEVNULL) as running,
    ):
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0
    return usage.ru_maxrss


def zipped(path: Path, unit: bytes, times: int) -> Path:
    """`unit` repeated, gzipped: members that are the same, so that it costs little to make."""
    member = gzip.compress(unit * max(1, (1 << 20) // len(unit)), 1)
    path.write_bytes(member * max(1, times * len(unit) // (1 << 20)))
    return path


@pytest.mark.parametrize(("log_format", "megabytes"), [("combined", 200), ("challenge", 100), ("jsonl", 30)])
def test_memory_does_not_grow_with_the_log(made_model_path, tmp_path, log_format, megabytes) -> None:
    unit = b"".join(line + b"\n" for line in LOGS[log_format])
    small, large = (zipped(tmp_path / f"{n}.gz", unit, (n << 20) // len(unit)) for n in (2, megabytes))
    command = [XBOT, "score", "--json", "--model", made_model_path, "--format", log_format, "-"]
    assert peak(command, large) < 1.25 * peak(command, small)


@pytest.mark.parametrize("log_format", LOGS)
def test_memory_does_not_grow_with_a_line(made_model_path, tmp_path, log_format) -> None:
    """100 MB without a line break."""
    small = zipped(tmp_path / "small.gz", b"".join(line + b"\n" for line in LOGS[log_format]), 1)
    large = zipped(tmp_path / "large.gz", b"x" * 1000, 100_000)
    large.write_bytes(small.read_bytes() + large.read_bytes())
    command = [XBOT, "score", "--json", "--model", made_model_path, "--format", log_format, "-"]
    assert peak(command, large) < 1.25 * peak(command, small)


# ---- on the corpus, and on real data ----


def test_explanations_of_the_corpus_add_up(xbot, model_path, corpus_path) -> None:
    done = xbot("explain", "--json", "--model", model_path, "--format", "jsonl", corpus_path)
    assert check_explained(done.stdout.splitlines(), NAMES) == len(corpus_path.read_bytes().splitlines())


def test_explanations_of_the_challenge_add_up(xbot, challenge_model_path, challenge_path) -> None:
    done = xbot("explain", "--json", "--model", challenge_model_path, "--format", "challenge", challenge_path)
    assert check_explained(done.stdout.splitlines(), NAMES) == 10_000


# ---- what is not said of a human, and what a log does not hold


@pytest.mark.parametrize("as_json", [False, True])
def test_a_human_has_no_reason(xbot, tmp_path: Path, as_json: bool) -> None:
    """A browser's first page by the default model was printed `human, ua_length`, as if that had decided."""
    from sidecar.config.options import DEFAULT_MODEL

    agents = ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.5.0")
    lines = [f'192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "{each}"' for each in agents]
    log = write(tmp_path / "log", [line.encode() for line in lines])
    done = xbot("score", "--model", "default", "--format", "combined", *["--json"] * as_json, log).stdout.decode()
    rows = [json.loads(row) for row in done.splitlines()] if as_json else [row.split("\t") for row in done.splitlines()]
    said = [(row["verdict"], row["reason"]) if as_json else (row[1], row[3]) for row in rows]
    assert said[0] == ("human", "none")
    assert said[1][0] == "bot"
    assert said[1][1] != "none"
    # What speaks for a bot in the human's request is there for whoever asks.
    explained = xbot("explain", "--json", "--model", DEFAULT_MODEL, "--format", "combined", log).stdout.splitlines()
    assert max(part["contribution"] for part in json.loads(explained[0])["contributions"]) > 0


def test_the_reason_goes_by_the_threshold_that_decides(made_model) -> None:
    """A threshold of one's own refuses whom the model's own would not: then there is a reason, and the other way round."""
    request, tried = core.Request(), 0
    for line in COMBINED:
        request.load_line("combined", line)
        verdict = made_model.judge(request)
        accused, free = made_model.judge(request, 0.0), made_model.judge(request, 1.1)
        assert (accused.bot, free.bot, free.reason) == (True, False, "none")
        strongest = max(part.contribution for part in made_model.explain(request)[2])
        assert (accused.reason == "none") == (strongest <= 0)
        assert accused[1:3] == free[1:3] == verdict[1:3]
        assert verdict.reason == (accused.reason if verdict.bot else "none")
        tried += not verdict.bot and accused.reason != "none"
    assert tried


@pytest.mark.parametrize(
    ("log_format", "line", "lacks", "says"),
    [
        (
            "combined",
            COMBINED[0],
            ["headers", "client", "tls"],
            "judged by agent, referrer, URL only: there are no headers here",
        ),
        (
            "challenge",
            CHALLENGE[0],
            ["url", "headers", "client", "tls"],
            "judged by agent, referrer only: there are no URL, headers here",
        ),
        ("jsonl", b'{"headers": [["User-Agent", "curl/8.5.0"]]}', ["url", "client", "tls"], "there are no URL here"),
        ("head", b"GET / HTTP/1.1\nHost: a\nUser-Agent: curl/8.5.0", ["client", "tls"], None),
    ],
)
def test_explain_says_what_the_log_does_not_hold(
    xbot, tmp_path: Path, log_format: str, line: bytes, lacks: list[str], says: str | None
) -> None:
    """The default model looks at headers: from a combined line its verdict is worth less than at the proxy."""
    log = write(tmp_path / "log", [line])
    words = ("explain", "--model", "default", "--format", log_format)
    assert json.loads(xbot(*words, "--json", log).stdout)["groups_not_held"] == lacks
    shown = " ".join(xbot(*words, log).stdout.decode().split())
    assert ("behind the proxy the verdict may differ" in shown) == (says is not None)
    assert says is None or says in shown


def test_a_model_that_looks_at_less_is_not_doubted(xbot, made_model_path, made_model, tmp_path: Path) -> None:
    """The note is about the model: by the bits of its header, whatever the log."""
    log = write(tmp_path / "log", COMBINED)
    request = core.Request()
    for line, one in zip(
        COMBINED,
        xbot(
            "explain", "--stateless", "--json", "--model", made_model_path, "--format", "combined", log
        ).stdout.splitlines(),
        strict=True,
    ):
        request.load_line("combined", line)
        wanted = made_model.header["groups"]
        lacks = [name for name, bits in core.GROUPS.items() if wanted & bits & ~request.present]
        assert json.loads(one)["groups_not_held"] == lacks
