"""xbot.toml, by the command: what is sound, what is not and how it is told, what stands above what, and what the page says.

The files are in tests/data/config: all of good/ load; each of bad/ begins with the lines that `xbot check` says, in their
order. `xbot serve` says the first of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATA, ROOT, XBOT
from sidecar_harness import Sidecar, ask, head

from sidecar import core, model
from sidecar.check.cli import check
from sidecar.commands.serve import serve
from sidecar.config import config, lists, options, toml_file
from sidecar.config.plan import Fixed
from sidecar.config.toml_lines import Lines
from sidecar.errors import XbotError, lines_of

FILES = DATA / "config"
PAGE = ROOT / "docs" / "configuration.md"
NGINX = FILES / "nginx.conf"  # of a site that does not ask
GOOD, BAD = (sorted((FILES / kind).glob("*.toml")) for kind in ("good", "bad"))


def names(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, made_model_path: Path) -> Path:
    """All the files in one directory, with a model that some of them name."""
    to = tmp_path_factory.mktemp("config")
    for kind in ("good", "bad"):
        shutil.copytree(FILES / kind, to / kind)
        shutil.copy(made_model_path, to / kind / "model.xbot")
    return to


def expected(path: Path) -> list[str]:
    lines = path.read_bytes().decode("latin-1").splitlines()
    told = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
    assert told, f"{path} does not say what is wrong with it"
    facts = {"DIALECTS": ", ".join(sorted(core.DIALECTS)), "THRESHOLD": f"{threshold():.4f}"}
    return [re.sub("DIALECTS|THRESHOLD", lambda word: facts[word.group()], line) for line in told]


def threshold() -> float:
    import models

    return model.open_image(models.balanced_image()).threshold


def result_of(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Status and result of `xbot check --json`, in this process; nginx is not looked at."""
    done = CliRunner().invoke(check, ["--json", "--nginx", str(NGINX), *map(str, arguments)], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, json.loads(done.output)


def settings_of(*arguments: object, **environment: str) -> dict[str, Any]:
    """What the command says that it would go by."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("XBOT_")}
    command = [XBOT, "check", "--json", "--nginx", NGINX, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, env=plain | environment, check=False)
    assert not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["settings"]
    return found


# ---- good and bad files


@pytest.mark.parametrize("path", GOOD, ids=names)
def test_good_files_load(place: Path, path: Path) -> None:
    plan = config.load(place / "good" / path.name)
    for name in plan.lists:
        lists.contents(plan, name)


def test_every_option_is_read(place: Path) -> None:
    """No option of the file with all of them is at its default, and each arrives."""
    plan = config.load(place / "good" / "every_option.toml")
    defaults = config.load(None)
    for field in Fixed._fields:
        assert getattr(plan.fixed, field) != getattr(defaults.fixed, field), field
    assert [dialect for _, dialect in plan.fixed.listen] == ["challenge", "nginx"]
    assert plan.listen_policies == ("login", "default")
    assert plan.model == place / "good" / "model.xbot"
    for kind, values in (
        (options.Policy, plan.policies.values()),
        (options.Limits, [plan.fixed.limits]),
        (options.Dns, [plan.dns]),
        (options.Signatures, [plan.signatures]),
        (options.Clients, [plan.fixed.clients]),
        (options.Decisions, [plan.fixed.decisions]),
        (options.Entries, plan.lists.values()),
    ):
        for field in msgspec.structs.fields(kind):
            assert any(getattr(each, field.name) != field.default for each in values), field.name
    held = lists.contents(plan, "abuse")
    assert [first for first, _ in held.v4] == [0xC0000200, 0xCB007109]
    assert (held.agents, held.paths) == ([b"curl", b"go-http-client"], [b"/admin/", b"/wp-login.php"])
    assert len(lists.contents(plan, "crawlers").v6) == len(lists.contents(plan, "crawlers").v4) == 1


@pytest.mark.parametrize("path", BAD, ids=names)
def test_bad_files_are_told_line_by_line(place: Path, path: Path) -> None:
    status, result = result_of(place / "bad" / path.name)
    wrong = [each["what"].replace(f"{place}/bad/", "") for each in result["findings"] if each["status"] == "wrong"]
    assert (status, wrong) == (2, expected(path))


def test_serve_says_one_line(place: Path) -> None:
    """The first mistake, and how many more there are."""
    for name, more in (("enumerations.toml", 3), ("dialect.toml", 1)):
        done = subprocess.run(
            [XBOT, "serve", "--config", name], cwd=place / "bad", capture_output=True, text=True, check=False
        )
        hint = f" (the first of {more} mistakes; `xbot check` lists them)" if more > 1 else ""
        assert (done.returncode, done.stderr) == (2, f"xbot: {expected(FILES / 'bad' / name)[0]}{hint}\n")


def test_a_running_sidecar_keeps_what_it_had(place: Path) -> None:
    """For every bad file, one after the other; and then takes a good one."""
    file = place / "bad" / "site.toml"
    file.write_text('[policies.old]\nmode = "enforce"\n')
    with Sidecar(place / "bad" / "model.xbot", "--config", file, workers=1) as sidecar:
        sidecar_of_file = sidecar.events("started")[-1]["policies"]
        assert sidecar_of_file == {"default": "observe", "old": "enforce"}
        for count, path in enumerate(BAD, 1):
            shutil.copy(path, file)
            if "model" in path.stem:  # the command names a model, which stands above that of the file
                continue
            sidecar.reload()
            assert len(sidecar.events("reloaded")) == 0, path
            reason = sidecar.events("reload refused")[-1]["reason"].replace(f"{place}/bad/", "")
            assert reason.startswith(expected(path)[0].replace(path.name, file.name)), (reason, count)
            assert ask(sidecar.address, head({"X-Bot-Policy": "old"}))["X-Bot-Policy"] == "old", path
        file.write_text("[policies.new]\n")
        sidecar.reload()
        assert len(sidecar.events("reloaded")) == 1
        assert ask(sidecar.address, head({"X-Bot-Policy": "new"}))["X-Bot-Policy"] == "new"
        assert ask(sidecar.address, head({"X-Bot-Policy": "old"}))["X-Bot-Policy"] == "default"


def test_a_model_that_the_file_names_is_kept_too(place: Path) -> None:
    file = place / "bad" / "models.toml"
    file.write_text('model = "model.xbot"\n')
    command = [XBOT, "serve", "--config", str(file), "--listen", "127.0.0.1:0", "--workers", "1"]
    with subprocess.Popen([*command, "--log-format", "json"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr

        def event(name: str) -> dict[str, Any]:
            assert process.stderr
            return next(found for found in map(json.loads, process.stderr) if found["event"] == name)

        sha256 = event("worker ready") and ""
        for name in ("no_model.toml", "damaged_model.toml", "below_the_model.toml"):
            shutil.copy(FILES / "bad" / name, file)
            process.send_signal(signal.SIGHUP)
            refused = event("reload refused")
            wanted = expected(FILES / "bad" / name)[0].replace(name, file.name)
            assert refused["reason"].replace(f"{place}/bad/", "") == wanted
            sha256 = sha256 or refused["kept_sha256"]
            assert refused["kept_sha256"] == sha256
        process.terminate()


def test_many_mistakes_are_told_soon(tmp_path: Path) -> None:
    """A long list has a line for each of its mistakes; a search of the whole file for each would take hours."""
    file = tmp_path / "long.toml"
    entries = "".join(
        f'  "192.0.{i % 256}.{i % 256}/24",  # {i}\n' if i % 2 else f'  "host{i}",\n' for i in range(2000)
    )
    file.write_text(f'[policies.default]\ndeny = ["long"]\n\n[lists.long]\nnetworks = [\n{entries}]\n')
    with pytest.raises(XbotError) as caught:
        lists.contents(config.load(file), "long")
    told = lines_of(caught.value)
    assert len(told) == 2000
    assert told[7].startswith(f"{file}:13: lists.long.networks[7]: '192.0.7.7/24' has bits")
    assert told[8] == f"{file}:14: lists.long.networks[8]: 'host8' is no IPv4 or IPv6 network"


# ---- a mistake's line


def test_lines_of_fields() -> None:
    """In every way to write TOML."""
    text = """
a = 1
[t]
b = 2  # ends with,
[[list]]
c = [ # one
 "x", "y", # two,
 "z"
]
[[list]]
d.e = { f = 3, g = {h = 4} }
[list.i]
j = '''
k,
l'''
["m n"."o.p"]
"""
    lines = Lines(text)
    wanted = {"a": 2, "t": 3, "t.b": 4, "list": 5, "list[0]": 5, "list[0].c": 6, "list[0].c[0]": 7, "list[0].c[1]": 7}
    wanted |= {"list[0].c[2]": 8, "list[1]": 10, "list[1].d.e.g.h": 11, "list[1].i": 12, "list[1].i.j": 13}
    wanted |= {"'m n'": 16, "'m n'.'o.p'": 16, "t.nothing": 3, "list[0].c.nothing[3]": 6}
    assert {field: lines.of(field) for field in wanted} == wanted
    assert lines.of("nothing") is None


KEYS = st.sampled_from(["a", "b", "mode", "x-y", "policies"])
VALUES = st.recursive(
    st.sampled_from(["1", "true", '"text"', "'#,['", '"""two\nlines,"""', "1979-05-27"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: "[ # c,\n" + ",\n".join(each) + "\n]"),
    max_leaves=4,
)


@given(st.lists(st.tuples(st.lists(KEYS, min_size=1, max_size=2), KEYS, VALUES, st.integers(0, 2)), max_size=8))
@settings(max_examples=60)
def test_a_field_is_found_where_it_was_written(tables: list[tuple[list[str], str, str, int]]) -> None:
    """Tables with one key each, written one after the other: each key stands where it was written."""
    text, wanted = "", {}
    for number, (path, key, value, blank) in enumerate(tables):
        table = [f"t{number}", *path]
        text += "\n" * blank + f"[{'.'.join(table)}]\n# a comment,\n"
        wanted[".".join((*table, key))] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    lines = Lines(text)
    assert {field: lines.of(field) for field in wanted} == wanted


SOUND = (FILES / "good" / "every_option.toml").read_text()
BITS = st.sampled_from(
    [*"[]{}=\"#,.\n'\\ \0é", '"""', "'''", "[[", "nan", "-1", "0x" + "f" * 5000, "9" * 5000, "\ud800"]
)
DAMAGE = st.tuples(st.integers(0, len(SOUND)), st.integers(0, 12), st.one_of(st.just(""), BITS, st.text(max_size=3)))


@given(st.lists(DAMAGE, min_size=1, max_size=3))
@settings(max_examples=150)
def test_damage_never_gives_a_traceback(damage: list[tuple[int, int, str]]) -> None:
    """Bytes are deleted and put in at random. It loads, or it is told in lines that name the file."""
    text = SOUND
    for at, length, instead in damage:
        text = text[:at] + instead + text[at + length :]
    path = FILES / "good" / "damaged.toml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toml_file, "read_text", lambda _: text)
        try:
            plan = config.load(path)
            for name in plan.lists:
                lists.contents(plan, name)
        except XbotError as error:
            for line in lines_of(error):
                assert line.startswith(str(FILES / "good")), line
                number = re.match(r"[^:]*:(\d+): ", line)
                assert number is None or 1 <= int(number[1]) <= text.count("\n") + 1


def test_deep_tables_are_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    for text in ("a = " + "[" * 20000, "a." * 4000 + "b = 1", "[" + "a." * 4000 + "b]", "workers = " + "1" * 5000):
        file.write_text(text)
        with pytest.raises(XbotError, match=rf"^{file}"):
            config.load(file)


# ---- what stands above what


def command_line() -> dict[str, click.Option]:
    """The options of `xbot serve` by name, but for the file's own."""
    return {each.name: each for each in serve.params if isinstance(each, click.Option) and each.name != "path"}


# For each option: what the file, the environment and the command line say, and where `settings` shows it.
ABOVE: dict[str, tuple[str, str, str, Callable[[dict[str, Any]], Any]]] = {
    "model": ("model.xbot", "other.xbot", "third.xbot", lambda s: Path(s["model"]).name),
    "listen": ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", lambda s: s["listen"][0]["address"]),
    "dialect": ("nginx", "challenge", "nginx", lambda s: s["listen"][0]["dialect"]),
    "mode": ("observe", "enforce", "observe", lambda s: s["policies"]["login"]),
    "workers": ("2", "3", "4", lambda s: str(s["workers"])),
    "admin": ("127.0.0.1:11", "127.0.0.1:12", "127.0.0.1:13", lambda s: s["admin"]),
    "socket_group": ("root", "daemon", "nogroup", lambda s: s["socket_group"]),
    "board": ("/srv/a", "/srv/b", "/srv/c", lambda s: s["board"]),
    "control": ("/srv/1", "/srv/2", "/srv/3", lambda s: s["control"]),
    "control_group": ("root", "daemon", "nogroup", lambda s: s["control_group"]),
    "drain_timeout": ("1.5", "2.5", "0.0", lambda s: str(s["drain_timeout"])),
    "log_level": ("debug", "warning", "error", lambda s: s["log"]["level"]),
    "log_format": ("json", "text", "json", lambda s: s["log"]["format"]),
}
SITE = """model = "model.xbot"
workers = 2
admin = "127.0.0.1:11"
socket_group = "root"
board = "/srv/a"
control = "/srv/1"
control_group = "root"
drain_timeout = 1.5
[[listen]]
address = "127.0.0.1:1"
[log]
level = "debug"
format = "json"
[policies.login]
mode = "observe"
"""


def test_the_table_of_precedence_has_every_option() -> None:
    assert ABOVE.keys() == command_line().keys()


def test_file_below_environment_below_flags(place: Path) -> None:
    """Every option: the file alone, the environment above it, a flag above both."""
    for name in ("other.xbot", "third.xbot"):
        shutil.copy(place / "good" / "model.xbot", place / "good" / name)
    file = place / "good" / "site.toml"
    file.write_text(SITE)
    environment = {option.envvar: ABOVE[name][1] for name, option in command_line().items()}
    flags = [word for name, option in command_line().items() for word in (option.opts[0], ABOVE[name][2])]
    found = (settings_of(file), settings_of(file, **environment), settings_of(file, *flags, **environment))
    for level, result in enumerate(found):
        said = {name: row[3](result) for name, row in ABOVE.items()}
        assert said == {name: row[level] for name, row in ABOVE.items()}


def test_serve_goes_by_the_same(place: Path) -> None:
    """The command that serves: what its first line says."""
    file = place / "good" / "serves.toml"
    file.write_text(
        'workers = 3\n[log]\nformat = "text"\n[[listen]]\naddress = "127.0.0.1:0"\npolicy = "login"\n[policies.login]\n'
    )
    environment = {**os.environ, "XBOT_CONFIG": str(file), "XBOT_WORKERS": "2", "XBOT_MODE": "enforce"}
    with Sidecar(place / "good" / "model.xbot", listen=[], workers=1, env=environment) as sidecar:
        started = sidecar.events("started")[0]
        assert (started["workers"], started["policies"]) == (1, {"default": "enforce", "login": "enforce"})
        assert ask(sidecar.address)["X-Bot-Policy"] == "login"


def test_several_listeners_in_the_environment(place: Path) -> None:
    """They are parted by spaces."""
    listen = settings_of(XBOT_LISTEN="127.0.0.1:21 unix:/x/y")["listen"]
    assert [each["address"] for each in listen] == ["127.0.0.1:21", "unix:/x/y"]


# ---- the page


def tables() -> dict[str, list[list[str]]]:
    """The rows of each table of the page by the heading above it, cells without their back-ticks' marks."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        elif line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.setdefault(heading, []).append(cells)
    return {heading: rows[1:] for heading, rows in found.items()}


def as_toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "[]"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("The file", options.Config),
        ("`[[listen]]`", options.Listen),
        ("`[log]`", options.Log),
        ("`[limits]`", options.Limits),
        ("`[dns]`", options.Dns),
        ("`[signatures]`", options.Signatures),
        ("`[clients]`", options.Clients),
        ("`[decisions]`", options.Decisions),
        ("`[policies.NAME]`", options.Policy),
        ("`[lists.NAME]`", options.Entries),
    ],
)
def test_every_option_is_on_the_page(heading: str, kind: type[msgspec.Struct]) -> None:
    """Each with what is allowed, in the words of the errors, and its default; and none that does not exist."""
    rows = {row[0].strip("`"): row for row in tables()[heading]}
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    inner = (
        {"limits", "clients", "decisions", "dns", "signatures", "listen", "log", "policies", "lists"}
        if kind is options.Config
        else set()
    )
    assert rows.keys() == fields.keys() - inner
    for name, (_, allowed, default, *_) in rows.items():
        assert allowed.replace("`", "") == toml_file.allowed(fields[name].type), name
        if fields[name].required:
            assert default == "required"
        elif fields[name].default is not None:
            assert default == f"`{as_toml(fields[name].default)}`", name


def test_every_flag_and_variable_is_on_the_page() -> None:
    """Of `xbot serve`, each beside the option of the file that it stands above."""
    rows = {row[1].strip("`"): (row[0].strip("`"), row[2].strip("`")) for row in tables()["Environment and flags"]}
    every = [each for each in serve.params if isinstance(each, click.Option)]
    assert {option.envvar: option.opts[0] for option in every} == {
        variable: flag for variable, (flag, _) in rows.items()
    }
    known = {field.name for field in msgspec.structs.fields(options.Config)}
    assert {above.partition(".")[0].strip("[]") for _, above in rows.values() if above} <= known


def test_what_a_reload_can_change_is_on_the_page() -> None:
    fixed = next(line for line in PAGE.read_text().splitlines() if "cannot change" in line)
    assert set(re.findall(r"`(\w+)`", fixed)) == set(Fixed._fields)


def blocks() -> Iterator[tuple[str, str]]:
    """(file name, text) of each file that the page shows."""
    for block in re.findall(r"(?:^    .*\n|^\n)+", PAGE.read_text(), re.MULTILINE):
        text = re.sub(r"^    ", "", block.strip("\n"), flags=re.MULTILINE)
        if name := re.match(r"# /etc/xbot/(\S+)", text):
            yield name[1], text + "\n"


def test_the_examples_work(tmp_path: Path, made_model_path: Path) -> None:
    """The files of the page, in a directory of their own, with those that are got elsewhere."""
    shown = dict(blocks())
    assert "xbot.toml" in shown
    for name, text in shown.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(made_model_path, tmp_path / "site.xbot")
    shutil.copy(FILES / "good" / "published.json", tmp_path / "googlebot.json")
    status, result = result_of(tmp_path / "xbot.toml")
    told = {each["what"] for each in result["findings"] if each["status"] in ("wrong", "warning")}
    assert (status, {each for each in told if not re.search("configuration asks for it|days old", each)}) == (0, set())
    plan = config.load(tmp_path / "xbot.toml")
    assert all(
        any(getattr(lists.contents(plan, name), kind) for kind in ("v4", "v6", "agents", "paths"))
        for name in plan.lists
    )
