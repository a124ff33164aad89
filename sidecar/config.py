"""xbot.toml: what may be said in it, checked whole, each mistake one line that names file, line and field.

Law: this module knows the options and nothing of what they do; docs/configuration.md says that for people. What is
given on the command line or in the environment (`Overrides`) stands above the file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

import sidecar
from sidecar import core, listeners
from sidecar.errors import XbotError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_MODEL = Path(sidecar.__file__).with_name("default.xbot")
DEFAULT_POLICY = "default"
MOST_POLICIES, MOST_LISTS = 64, 256
NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{core.MAX_NAME - 1}}}")

T = TypeVar("T")
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Mode = Literal["observe", "enforce"]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of [policies]. `threshold` None: the model's own. Lists by name."""

    mode: Mode = "observe"
    threshold: Share | None = None
    challenge_above: Share | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of [lists]; of the files, one entry a line."""

    networks: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    network_files: tuple[str, ...] = ()
    agent_files: tuple[str, ...] = ()
    path_files: tuple[str, ...] = ()


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One [[listen]]. `policy` decides where the proxy asks for none by name."""

    address: str
    dialect: str = "nginx"
    policy: str = DEFAULT_POLICY


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[log]."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `workers` None: one a usable core. `drain_timeout` is in seconds."""

    model: str | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    admin: str | None = None
    socket_group: str | None = None
    drain_timeout: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    listen: tuple[Listen, ...] = ()
    log: Log = Log()
    policies: dict[str, Policy] = {}
    lists: dict[str, Entries] = {}


@dataclass(frozen=True)
class Overrides:
    """What the command line and the environment say; None: nothing. `mode` stands above that of every policy."""

    model: Path | None = None
    listen: tuple[str, ...] = ()
    dialect: str | None = None
    mode: Mode | None = None
    workers: int | None = None
    admin: str | None = None
    socket_group: str | None = None
    drain_timeout: float | None = None
    log_level: str | None = None
    log_format: str | None = None


class Fixed(NamedTuple):
    """What a running sidecar cannot change by a reload: it takes an upgrade in place, or a restart."""

    listen: tuple[tuple[listeners.Address, str], ...]
    workers: int
    admin: listeners.Address | None
    socket_group: str | None
    drain_timeout: float
    log: Log


@dataclass(frozen=True)
class Plan:
    """A configuration with nothing left open. `path` is the file's, None without one; `listen_policies` goes by
    `fixed.listen`; `dialect` and `policy` are for sockets that somebody else opened."""

    path: Path | None
    fixed: Fixed
    model: Path
    listen_policies: tuple[str, ...]
    policies: dict[str, Policy]
    lists: dict[str, Entries]
    dialect: str = "nginx"

    def named(self, text: str) -> Path:
        """A file that the configuration names: relative to the configuration's directory."""
        return self.path.parent / text if self.path else Path(text)

    def wrong(self, field: str, why: str) -> XbotError:
        """The error for a field of the file."""
        if self.path is None:
            return XbotError(f"{field}: {why}")
        return _wrong(self.path, _read(self.path), field, why)


def load(path: Path | None, overrides: Overrides = Overrides()) -> Plan:
    """The file's configuration below what overrides say; XbotError names file, line and field of a mistake."""
    config = Config()
    if path is not None:
        text = _read(path)
        config = _parse(path, text)
        for field, why in _mistakes(config):
            raise _wrong(path, text, field, why)
    return _settle(path, config, overrides)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise XbotError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise XbotError(f"{path}: not UTF-8: byte {error.start}") from None


def _parse(path: Path, text: str) -> Config:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        why, _, at = str(error).partition(" (at ")
        line = re.search(r"line (\d+)", at)
        number = line.group(1) if line else text.count("\n") + 1
        raise XbotError(f"{path}:{number}: not TOML: {why[:1].lower()}{why[1:]}") from None
    try:
        # One by one, so that the field's name can be told: msgspec calls every key of a table `[...]`.
        for table, kind in (("policies", Policy), ("lists", Entries)):
            if isinstance(data.get(table), dict):
                data[table] = {name: _convert(value, kind, f"{table}.{name}") for name, value in data[table].items()}
        return _convert(data, Config, "")
    except _MistakeError as mistake:
        raise _wrong(path, text, *mistake.args) from None


class _MistakeError(Exception):
    """Args: field and what is wrong with it."""


def _convert(value: Any, kind: type[T], field: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$")
        where = where.rstrip("`").removeprefix(".")
        if unknown := re.search(r"unknown field `([^`]*)`", why):
            known = ", ".join(each.name for each in msgspec.structs.fields(_struct_at(kind, where)))
            why, where = f"no such option; there are {known}", f"{where}.{unknown.group(1)}".removeprefix(".")
        raise _MistakeError(".".join(filter(None, (field, where))), why[:1].lower() + why[1:]) from None


def _struct_at(kind: type, where: str) -> type:
    """The struct that an option of `kind` holds, by the option's path."""
    name = re.split(r"[.\[]", where)[0]
    inner: type = {"listen": Listen, "log": Log}.get(name, kind)
    return inner


def _mistakes(config: Config) -> Iterator[tuple[str, str]]:
    """(field, why) of what no type can say."""
    policies = {DEFAULT_POLICY, *config.policies}
    for i, listen in enumerate(config.listen):
        if listen.dialect not in core.DIALECTS:
            yield f"listen[{i}].dialect", f"{listen.dialect!r} is not one of {', '.join(core.DIALECTS)}"
        if listen.policy not in policies:
            yield f"listen[{i}].policy", f"no policy {listen.policy!r}; there are {', '.join(sorted(policies))}"
        yield from _address_mistakes(f"listen[{i}].address", listen.address)
    if config.admin is not None:
        yield from _address_mistakes("admin", config.admin)
    for table, most in (("policies", MOST_POLICIES), ("lists", MOST_LISTS)):
        names = getattr(config, table)
        if len(names) > most:
            yield table, f"{len(names)}, at most {most}"
        for name in names:
            if not NAME.fullmatch(name):
                yield f"{table}.{name}", f"a name has 1 to {core.MAX_NAME} of a-z, 0-9, - and _, and no - or _ first"
    for name, policy in config.policies.items():
        for use in ("allow", "deny", "verified"):
            for listed in getattr(policy, use):
                yield from _use_mistakes(config, f"policies.{name}.{use}", use, listed)
        if None not in (policy.challenge_above, policy.threshold) and policy.challenge_above >= policy.threshold:  # type: ignore[operator]
            yield (
                f"policies.{name}.challenge_above",
                f"{policy.challenge_above} is not below threshold, {policy.threshold}",
            )


def _address_mistakes(field: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        listeners.parse(text)
    except XbotError as error:
        yield field, str(error)


def _use_mistakes(config: Config, field: str, use: str, listed: str) -> Iterator[tuple[str, str]]:
    found = config.lists.get(listed)
    if found is None:
        yield field, f"no list {listed!r}; there are {', '.join(sorted(config.lists)) or 'none'}"
    elif use == "verified" and (found.agents or found.paths or found.agent_files or found.path_files):
        yield field, f"the list {listed!r} holds more than networks: anybody can send an agent or ask for a path"


def _settle(path: Path | None, config: Config, over: Overrides) -> Plan:
    listen = config.listen
    if over.listen:
        listen = tuple(Listen(text, over.dialect or "nginx") for text in over.listen)
    elif over.dialect:
        listen = tuple(msgspec.structs.replace(each, dialect=over.dialect) for each in listen)
    if over.dialect and over.dialect not in core.DIALECTS:
        raise XbotError(f"--dialect {over.dialect!r} is not one of {', '.join(core.DIALECTS)}")
    admin = over.admin or config.admin
    level, form = over.log_level or config.log.level, over.log_format or config.log.format
    fixed = Fixed(
        listen=tuple((listeners.parse(each.address), each.dialect) for each in listen),
        workers=over.workers or config.workers or len(os.sched_getaffinity(0)),
        admin=listeners.parse(admin) if admin else None,
        socket_group=over.socket_group or config.socket_group,
        drain_timeout=config.drain_timeout if over.drain_timeout is None else over.drain_timeout,
        log=msgspec.convert({"level": level, "format": form}, Log),
    )
    policies = {DEFAULT_POLICY: Policy(), **config.policies}
    if over.mode:
        policies = {name: msgspec.structs.replace(each, mode=over.mode) for name, each in policies.items()}
    model = DEFAULT_MODEL
    if config.model is not None:
        model = path.parent / config.model if path else Path(config.model)
    return Plan(
        path=path,
        fixed=fixed,
        model=over.model or model,
        listen_policies=tuple(each.policy for each in listen),
        policies=policies,
        lists=config.lists,
        dialect=over.dialect or "nginx",
    )


# ---- lines ----


def _wrong(path: Path, text: str, field: str, why: str) -> XbotError:
    line = line_of(text, field)
    return XbotError(f"{path}:{line}: {field}: {why}" if line else f"{path}: {field}: {why}")


def line_of(text: str, field: str) -> int | None:
    """The line on which a field (`policies.login.mode`, `listen[1].address`) begins, or None.

    The parser does not tell. So the text is read again, a line more each time, until the field is there: that holds for
    every way to write TOML, and is slow only where something is wrong already.
    """
    keys = [int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"\[\d+\]|[^.\[]+", field)]
    lines = text.split("\n")
    begins = 1  # the first line behind the last complete one
    for number in range(1, len(lines) + 1):
        try:
            found: Any = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        try:
            for key in keys:
                found = found[key]
        except (KeyError, IndexError, TypeError):
            if lines[number - 1].strip():
                begins = number + 1
            continue
        while not lines[begins - 1].strip() or lines[begins - 1].lstrip().startswith("#"):
            begins += 1
        return begins
    return None
