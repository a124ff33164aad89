"""What clients did before, offline: one table through all commands, in the order of the lines' times.

Law: the model is made here and weighs every row, so that no difference hides. The site of these tests has visitors who open pages
and load parts, and programs that only open pages, from networks of documentation.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import DATA

from sidecar import core
from sidecar.errors import XbotError
from sidecar.sources import formats, lines, merging

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
START = 1773299700  # seconds since 1970
PAST = [i for i, row in enumerate(core.FEATURES) if row.group == "client"]
COMBINED = formats.find("combined")


def line(second: float, ip: str, uri: str = "/", agent: str = CHROME, referrer: str = "-", status: int = 200) -> bytes:
    """A line of nginx/log_format.conf's combined format."""
    at = START + second
    clock = f"12/Mar/2026:{7 + int(second + 900) // 3600:02d}:{int(second + 900) // 60 % 60:02d}:{int(second) % 60:02d} +0000"
    kind = "text/css" if uri.endswith(".css") else "text/html"
    return f'{ip} - - [{clock}] "GET {uri} HTTP/1.1" {status} 5120 "{referrer}" "{agent}" {at:.3f} "{kind}"'.encode()


def traffic(seed: int = 1, most: int = 400) -> list[tuple[float, bytes]]:
    """(second, line): people who load parts, and programs that do not, mixed, in the order of time."""
    rng, found = random.Random(seed), []
    for client in range(12):
        second, person = rng.random() * 600, client % 2
        ip, agent = f"192.0.2.{client}" if person else f"198.51.{client}.7", rng.choice([CHROME, FIREFOX])
        for page in range(rng.randrange(3, 25)):
            found.append(
                (second, line(second, ip, f"/{page}", agent, status=200 if person else rng.choice([200, 404])))
            )
            if person:
                found.append((second + 0.2, line(second + 0.2, ip, "/a.css", agent, "https://shop.example/")))
            second += rng.random() * 40
    return sorted(found)[:most]


TRAFFIC = [text for _, text in traffic()]


def write(path: Path, texts: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return path


@pytest.fixture
def score(xbot, made_model_path: Path):
    """score(log, ...) -> margins of its lines, and what was said on standard error."""

    def run(log: Path, *options: str) -> tuple[list[float], str]:
        done = xbot("score", "--json", "--model", made_model_path, "--format", "combined", *options, log)
        objects = [json.loads(one) for one in done.stdout.splitlines()]
        return [one["margin"] for one in objects if "margin" in one], done.stderr.decode()

    return run


def rows(
    texts: Iterable[bytes], clients: core.Clients | None, form: formats.Format = COMBINED
) -> list[tuple[float | None, ...]]:
    """What the rows of the group say of each line; None for absent."""
    found, request = [], core.Request()
    for text in texts:
        form.load(text, request)
        if clients is not None:
            clients.read(request)
        dense = request.features(core.MIN_K, families=0)[0]
        if clients is not None:
            clients.count(request)
        found.append(tuple(None if dense[i] != dense[i] else dense[i] for i in PAST))
    return found


def test_there_are_rows_and_this_traffic_moves_them() -> None:
    found = rows(TRAFFIC, core.Clients())
    assert len(PAST) > 10
    assert len(set(found)) > 5
    assert not any(value for row in found[:2] for value in row), "the first line knows nothing"
    assert set(rows(TRAFFIC, None)) == {(None,) * len(PAST)}


# ---- one table, whoever reads ----


def test_block_by_block_is_line_by_line(made_model: core.Model) -> None:
    """score's and training's blocks, explain's and replay's lines: the same past."""
    wanted, request = [], core.Request()
    clients = core.Clients()
    for text in TRAFFIC:
        request.load_line("combined", text)
        clients.read(request)
        wanted.append(made_model.judge(request).margin)
        assert made_model.explain(request)[0].margin == wanted[-1], "to look again changes nothing"
        clients.count(request)
    out: list[bytes] = []
    block = b"\n".join(TRAFFIC)
    done = made_model.report_lines(request, "combined", block, 1, True, out.append, core.Clients())
    assert [json.loads(one)["margin"] for one in b"".join(out).splitlines()] == wanted
    assert done == (len(TRAFFIC), 0, None, 0, 0)
    matrix = core.Matrix(core.MIN_K, None, (), core.Clients())
    matrix.append_lines("combined", block, 1)
    width = len(core.FEATURES)
    found = [tuple(matrix.dense[at + i] for i in PAST) for at in range(0, width * len(matrix), width)]
    assert [tuple(None if x != x else x for x in row) for row in found] == rows(TRAFFIC, core.Clients())
    assert matrix.present & core.GROUPS["client"]


@given(st.integers(0, 50), st.integers(0, len(TRAFFIC)))
def test_a_log_in_two_parts_is_the_whole_if_the_table_is_kept(seed: int, at: int) -> None:
    texts = [text for _, text in traffic(seed, 120)]
    clients = core.Clients(1)
    assert rows(texts[:at], clients) + rows(texts[at:], clients) == rows(texts, core.Clients(1))


def test_a_table_begins_empty(score, tmp_path: Path) -> None:
    half = len(TRAFFIC) // 2
    whole, _ = score(write(tmp_path / "whole", TRAFFIC))
    second, _ = score(write(tmp_path / "second", TRAFFIC[half:]))
    assert whole[half:] != second
    assert (whole, "") == score(write(tmp_path / "again", TRAFFIC)), "the same log gets the same verdicts"


def test_what_became_of_a_request_counts_from_the_next_on(made_model: core.Model) -> None:
    """Two logs that differ in one status: no row differs up to that line, and some row does behind it."""
    bot = [line(i, "198.51.100.7", f"/{i}") for i in range(30)]
    failed = [line(i, "198.51.100.7", f"/{i}", status=404) for i in range(30)]
    for at in (3, 10):
        a, b = rows(bot, core.Clients()), rows(bot[:at] + failed[at:], core.Clients())
        assert a[: at + 1] == b[: at + 1]
        assert a[at + 1 :] != b[at + 1 :]


# ---- stateless, and what is not known ----


def test_stateless_each_line_stands_for_itself(score, made_model: core.Model, tmp_path: Path) -> None:
    """To the last bit what the model says of each line alone."""
    found, said = score(write(tmp_path / "log", TRAFFIC), "--stateless")
    request, wanted = core.Request(), []
    for text in TRAFFIC:
        request.load_line("combined", text)
        wanted.append(made_model.judge(request).margin)
    assert found == wanted
    assert not said
    assert found != score(tmp_path / "log")[0]


@pytest.mark.parametrize(
    "texts",
    [
        TRAFFIC[:1],
        [line(0, f"192.0.2.{i % 3}", f"/{i}") for i in range(40)],
        [line(i, "client.example", f"/{i}") for i in range(40)],
    ],
    ids=["one line", "one time", "no address"],
)
def test_where_behaviour_cannot_be_told_the_group_is_absent(texts: list[bytes], score, tmp_path: Path) -> None:
    assert set(rows(texts, core.Clients())) == {(None,) * len(PAST)}
    log = write(tmp_path / "log", texts)
    assert score(log) == score(log, "--stateless")


def test_a_line_without_a_time_is_of_the_time_before() -> None:
    form = formats.find("jsonl")
    texts = [
        b'{"agent": "a", "ip": "192.0.2.1", "uri": "/%d"%s}' % (i, b"" if i % 2 else b', "time": %d' % (START + i))
        for i in range(30)
    ]
    dated = [
        b'{"agent": "a", "ip": "192.0.2.1", "uri": "/%d", "time": %d}' % (i, START + i // 2 * 2) for i in range(30)
    ]
    assert rows(texts, core.Clients(), form) == rows(dated, core.Clients(), form)


def test_a_request_is_read_before_it_is_counted() -> None:
    clients, request = core.Clients(1), core.Request()
    request.load_line("combined", TRAFFIC[0])
    with pytest.raises(ValueError, match="after it was read"):
        clients.count(request)
    clients.read(request)
    clients.count(request)
    with pytest.raises(ValueError, match="counted once"):
        clients.count(request)
    clients.read(request)
    request.load_line("combined", TRAFFIC[1])  # another request: what was read is not its past
    with pytest.raises(ValueError, match="after it was read"):
        clients.count(request)
    for size in (0, 1 << 20):
        with pytest.raises(ValueError, match="mebibytes must be"):
            core.Clients(size)


def test_the_table_outlives_whoever_holds_it(made_model: core.Model) -> None:
    request = core.Request()
    clients = core.Clients(1)
    for text in TRAFFIC[:50]:
        request.load_line("combined", text)
        clients.read(request)
        clients.count(request)
    clients.read(request)
    wanted = made_model.judge(request)
    del clients
    assert made_model.judge(request) == wanted


# ---- time ----


def merged(logs: list[Path], form: formats.Format = COMBINED) -> list[bytes]:
    clients = core.Clients(1)
    return [text for _, (_, text, _, _) in lines.of_logs(list(map(str, logs)), form, clients)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_logs_merged_by_time_are_the_one_that_is_sorted(
    tmp_path_factory, owners: list[int], rng: random.Random
) -> None:
    """Each line in one of up to four logs; those of one time in the order of the logs; a log may be empty or begin late."""
    place = tmp_path_factory.mktemp("logs")
    times = sorted(rng.randrange(40) for _ in owners)
    whole = [
        (second, owner, line(second, f"192.0.2.{owner}", f"/{i}"))
        for i, (second, owner) in enumerate(zip(times, owners, strict=True))
    ]
    logs = [write(place / f"{i}.log", [text for _, owner, text in whole if owner == i]) for i in range(4)]
    assert merged(logs) == [text for _, _, text in sorted(whole, key=lambda one: one[:2])]


def test_a_merged_log_gets_the_verdicts_of_the_sorted_one(xbot, made_model_path, tmp_path: Path) -> None:
    """By explain, which names log and line; packed and plain."""
    first, second = TRAFFIC[::3], [text for i, text in enumerate(TRAFFIC) if i % 3]
    write(tmp_path / "first", first)
    (tmp_path / "second.gz").write_bytes(gzip.compress(b"\n".join(second)))
    write(tmp_path / "whole", TRAFFIC)
    command = ("explain", "--json", "--model", made_model_path, "--format", "combined")
    parts = [json.loads(one) for one in xbot(*command, tmp_path / "first", tmp_path / "second.gz").stdout.splitlines()]
    whole = [json.loads(one) for one in xbot(*command, tmp_path / "whole").stdout.splitlines()]
    assert [part["margin"] for part in parts] == [one["margin"] for one in whole]
    at = [
        (str(tmp_path / "second.gz"), i - i // 3) if i % 3 else (str(tmp_path / "first"), i // 3 + 1)
        for i in range(len(TRAFFIC))
    ]
    assert [(part["log"], part["line"]) for part in parts] == at
    apart = [
        json.loads(one)
        for one in xbot(*command, "--stateless", tmp_path / "first", tmp_path / "second.gz").stdout.splitlines()
    ]
    assert [one["line"] for one in apart] == [*range(1, len(first) + 1), *range(1, len(second) + 1)]


def test_logs_that_follow_each_other_are_opened_one_after_another(tmp_path: Path, monkeypatch) -> None:
    """Rotated logs, given in any order: at most one is open."""
    logs = [
        write(tmp_path / f"{day}.log", [line(60 * day + i, "192.0.2.1", f"/{day}/{i}") for i in range(5)])
        for day in range(9)
    ]
    open_now, most = set(), 0
    whole = lines.of_log

    def counted(log: str, *arguments: object, **options: object):
        nonlocal most
        open_now.add(log)
        most = max(most, len(open_now))
        yield from whole(log, *arguments, **options)
        open_now.discard(log)

    monkeypatch.setattr(lines, "of_log", counted)
    given_as = logs[::2] + logs[1::2]
    assert merged(given_as) == [text for log in logs for text in log.read_bytes().splitlines()]
    assert most == 1


@given(st.lists(st.integers(0, 30), max_size=40))
def test_lines_out_of_order_stand_where_they_are_and_are_counted(tmp_path_factory, times: list[int]) -> None:
    log = write(
        tmp_path_factory.mktemp("late") / "log", [line(second, "192.0.2.1", f"/{i}") for i, second in enumerate(times)]
    )
    late = [i for i in range(1, len(times)) if times[i] < times[i - 1]]
    clients, order = core.Clients(1), merging.Order()
    request = core.Request()
    for i, text in enumerate(log.read_bytes().splitlines(), 1):
        COMBINED.load(text, request)
        order.add("log", i, late=not clients.read(request))
        clients.count(request)
    assert (order.lines, order.late) == (len(times), len(late))
    assert order.first == (f"log:{late[0] + 1}" if late else "")
    if not times:
        return
    assert merged([log]) == log.read_bytes().splitlines()
    matrix = core.Matrix(core.MIN_K, None, (), core.Clients(1))
    matrix.append_lines("combined", log.read_bytes(), 1)
    assert (matrix.late, matrix.first_late) == (len(late), late[0] + 1 if late else 0)


def test_lines_out_of_order_are_told_once(score, xbot, made_model_path, tmp_path: Path) -> None:
    texts = [line(second, "192.0.2.1", f"/{i}") for i, second in enumerate([5, 9, 7, 8, 6, 10])]
    log = write(tmp_path / "site.log", texts)
    told = f"xbot: 2 of 6 lines are earlier than the line before them; first: {log}:3\n"
    assert score(log)[1] == told
    assert score(log, "--stateless")[1] == ""
    for command in ("explain", "replay"):
        done = xbot(command, "--model", made_model_path, "--format", "combined", log)
        assert done.stderr.decode() == told
    other = write(tmp_path / "other.log", [line(7, "192.0.2.1", "/x"), line(8, "192.0.2.1", "/y")])
    done = xbot("replay", "--model", made_model_path, "--format", "combined", log, other)
    assert done.stderr.decode() == told.replace(" 6 ", " 8 ")
    # A line between that cannot be read is no line before.
    write(log, [texts[0], b"nonsense", *texts[1:4]])
    assert f"1 of 4 lines is earlier than the line before it; first: {log}:4" in score(log)[1]


def test_a_format_with_lines_about_the_log_is_merged_too(tmp_path: Path) -> None:
    """Each log has its own #Fields, and its first line has no time."""
    text = (DATA / "logs" / "w3c.log").read_bytes()
    head, *requests = text.splitlines()[3:]
    a, b = tmp_path / "a", tmp_path / "b"
    write(a, [head, *requests[::2]])
    write(b, [b"#Software: x", head, *requests[1::2]])
    found = [one for one in merged([a, b], formats.find("w3c")) if not one.startswith(b"#")]
    assert found == requests


# ---- commands ----


def test_explain_shows_one_line_with_its_past(xbot, made_model_path, tmp_path: Path) -> None:
    log = write(tmp_path / "site.log", TRAFFIC)
    command = ("explain", "--json", "--model", made_model_path, "--format", "combined")
    every = xbot(*command, log).stdout.splitlines()
    for wanted in (str(len(TRAFFIC)), f"{log}:40"):
        number = int(wanted.rpartition(":")[2])
        assert xbot(*command, "--line", wanted, log).stdout.splitlines() == [every[number - 1]]
    (alone,) = xbot(*command, "-", stdin=TRAFFIC[-1]).stdout.splitlines()
    assert json.loads(alone)["margin"] != json.loads(every[-1])["margin"]
    assert json.loads(alone)["groups_not_held"] == ["headers", "client", "tls"]
    assert json.loads(every[-1])["groups_not_held"] == ["headers", "tls"]
    shown = xbot("explain", "--model", made_model_path, "--format", "combined", "-", stdin=TRAFFIC[-1]).stdout
    assert b"there are no headers here" in shown


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--line", "0", "a"), "--line 0: expected the number of a line, or LOG:N"),
        (("--line", "x", "a"), "--line x: expected the number of a line, or LOG:N"),
        (("--line", "1", "a", "b"), "--line 1: of several logs, say which: LOG:1"),
        (("--line", "c:1", "a", "b"), "--line c:1: c is none of the logs"),
        (("--line", "9", "a"), "a: there is no line 9"),
        (("--format", "head", "--line", "1", "a"), "--format head takes one head, and no --line"),
        (("--format", "head", "a", "b"), "--format head takes one head, and no --line"),
    ],
)
def test_a_line_that_is_not_there(xbot, tmp_path: Path, monkeypatch, options: tuple[str, ...], why: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        write(Path(name), TRAFFIC[:3])
    done = xbot("explain", *options, code=2)
    assert why in done.stderr.decode()
    assert len(done.stderr.splitlines()) <= 2


def test_the_command_that_replay_shows_explains_the_line(xbot, made_model_path, tmp_path: Path) -> None:
    """With all logs, as a line's past is in them."""
    import shlex

    logs = [write(tmp_path / "first", TRAFFIC[::2]), write(tmp_path / "second", TRAFFIC[1::2])]
    told = tmp_path / "told.json"
    command = ("replay", "--model", made_model_path, "--format", "combined", "--threshold", "0.0")
    shown = xbot(*command, "--json", told, *logs).stdout.decode()
    (how,) = (one.partition(": ")[2] for one in shown.splitlines() if one.startswith("Why a line was refused"))
    program, *words = shlex.split(how)
    assert program == "xbot"
    first = json.loads(told.read_bytes())["suspects"][0]["examples"][0]
    assert words[-4:] == ["--line", f"{first['log']}:{first['line']}", *map(str, logs)]
    (found,) = map(json.loads, xbot(*words, "--json").stdout.splitlines())
    assert found["score"] == pytest.approx(first["score"], abs=1e-6)


def test_a_matrix_written_is_by_time(xbot, tmp_path: Path) -> None:
    """xbot features: each row with its log, line and label, whatever order the rows come in."""
    first, second = write(tmp_path / "first", TRAFFIC[::2]), write(tmp_path / "second", TRAFFIC[1::2])
    marks = tmp_path / "marks"
    marks.write_text(
        "".join(f"{n}\t{'bot' if n > len(TRAFFIC[::2]) else 'human'}\n" for n in range(1, len(TRAFFIC) + 1))
    )
    command = ("features", "--csv", "--format", "combined", "--labels", marks)
    table = list(csv.DictReader(io.StringIO(xbot(*command, first, second).stdout.decode())))
    assert [row["log"] for row in table] == [str(second if i % 2 else first) for i in range(len(TRAFFIC))]
    assert [int(row["line"]) for row in table] == [i // 2 + 1 for i in range(len(TRAFFIC))]
    assert {(row["log"], row["label"]) for row in table} == {(str(first), "human"), (str(second), "bot")}
    wanted = rows(TRAFFIC, core.Clients())
    names = [core.FEATURES[i].name for i in PAST]
    assert [tuple(float(row[n]) if row[n] else None for n in names) for row in table] == wanted
    alone = list(csv.DictReader(io.StringIO(xbot(*command, "--stateless", first, second).stdout.decode())))
    assert {row[name] for row in alone for name in names} == {""}
    assert [row["log"] for row in alone] == [*[str(first)] * len(TRAFFIC[::2]), *[str(second)] * len(TRAFFIC[1::2])]


def test_logs_that_cannot_be_read_twice_are_named(tmp_path: Path) -> None:
    log = write(tmp_path / "log", TRAFFIC[:3])
    with pytest.raises(XbotError, match="must be a file"):
        merging.lines_before(["/dev/null", str(log)])
    assert merging.lines_before([str(log), str(log), "-"]) == [0, 3, 6]
    (tmp_path / "open").write_bytes(b"\n".join(TRAFFIC[:3]))  # without a break at its end
    assert merging.lines_before([str(tmp_path / "open"), str(log)]) == [0, 3]
