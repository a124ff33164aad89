"""xbot.toml: what may be said in it, checked whole, each mistake one line that names file, line and field.

Law: this module knows the options and nothing of what they do; docs/configuration.md says that for people. What is
given on the command line or in the environment (`Overrides`) stands above the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

import sidecar
from sidecar import core
from sidecar.config import addresses, search_engines, toml_file
from sidecar.config.toml_lines import field_of
from sidecar.errors import XbotError

DEFAULT_MODEL = Path(sidecar.__file__).with_name("default.xbot")
DEFAULT_POLICY = "default"
DEFAULT_BOARD = Path("/run/xbot")
NO_BOARD = "none"
MOST_POLICIES, MOST_LISTS, MOST_PATHS = 64, 256, 256
NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{core.MAX_NAME - 1}}}")

# The descriptions say what is allowed, in errors and in docs/configuration.md.
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
Seconds = Annotated[float, Meta(ge=0, le=3600, description="a number of seconds from 0 to 3600")]
Workers = Annotated[int, Meta(ge=1, le=1024, description="a whole number from 1 to 1024")]
Answer = Annotated[bool, Meta(description="true or false")]
Text = Annotated[str, Meta(pattern=r"^[^\x00]+$", description="non-empty text")]
Place = Annotated[str, Meta(pattern=r"^(/[^\x00]*|none)$", description="an absolute path, or none")]
Mode = Literal["observe", "enforce"]
if TYPE_CHECKING:
    Dialect = str
else:
    Dialect = Literal[core.DIALECTS]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of [policies]. None: `threshold` is the model's own, `search_engines` what the whole file says. Lists by
    name. `paths`: how the paths begin that it holds for, where the proxy asks for none by name."""

    mode: Mode = "observe"
    threshold: Share | None = None
    challenge_above: Share | None = None
    paths: tuple[Text, ...] = ()
    allow: tuple[Text, ...] = ()
    deny: tuple[Text, ...] = ()
    verified: tuple[Text, ...] = ()
    search_engines: Answer | None = None


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of [lists]; of the files, one entry a line."""

    networks: tuple[Text, ...] = ()
    agents: tuple[Text, ...] = ()
    paths: tuple[Text, ...] = ()
    network_files: tuple[Text, ...] = ()
    agent_files: tuple[Text, ...] = ()
    path_files: tuple[Text, ...] = ()


# The lists that are there without being written; the owner's of the same name takes their place.
OURS = {search_engines.NAME: Entries(network_files=(str(search_engines.FILE),))}


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One [[listen]]. `policy` decides where the proxy asks for none by name, and no policy has the path."""

    address: Text
    dialect: Dialect = "nginx"
    policy: Text = DEFAULT_POLICY


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[log]."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `workers` None: one a usable core. `drain_timeout` is in seconds."""

    model: Text | None = None
    workers: Workers | None = None
    admin: Text | None = None
    socket_group: Text | None = None
    board: Place | None = None
    drain_timeout: Seconds = 10.0
    search_engines: Answer = True
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
    board: str | None = None
    drain_timeout: float | None = None
    log_level: str | None = None
    log_format: str | None = None


class Fixed(NamedTuple):
    """What a running sidecar cannot change by a reload: it takes an upgrade in place, or a restart."""

    listen: tuple[tuple[addresses.Address, str], ...]
    workers: int
    admin: addresses.Address | None
    socket_group: str | None
    board: Path | None
    drain_timeout: float
    log: Log


@dataclass(frozen=True)
class Plan:
    """A configuration with nothing left open. `path` is the file's, None without one, and `names_model` whether it names the
    model; `asks_board` is what names the board, which then must be of use: the option `--board`, the field `board`, or None;
    `listen_policies` goes by `fixed.listen`; `dialect` is for sockets that somebody else opened."""

    path: Path | None
    fixed: Fixed
    model: Path
    listen_policies: tuple[str, ...]
    policies: dict[str, Policy]
    lists: dict[str, Entries]
    dialect: str = "nginx"
    names_model: bool = False
    asks_board: str | None = None

    def named(self, text: str) -> Path:
        """A file that the configuration names: relative to the configuration's directory."""
        return self.path.parent / text if self.path else Path(text)

    def wrong(self, field: str, why: str) -> XbotError:
        """The error for a field of the file, or for an option of the command line."""
        if self.path is None or field.startswith("--"):
            return XbotError(f"{field}: {why}")
        return toml_file.mistake(self.path, field, why)


def load(path: Path | None, overrides: Overrides = Overrides()) -> Plan:
    """The file's configuration below what overrides say; MistakesError if it is not sound, XbotError if it is not there."""
    config = Config() if path is None else toml_file.load(path, Config, _mistakes)
    return _settle(path, config, overrides)


# ---- what no type can say ----


def _mistakes(config: Config) -> Iterator[tuple[str, str]]:
    """(field, why) of each."""
    places: dict[addresses.Address, str] = {}
    policies = {DEFAULT_POLICY, *config.policies}
    for i, listen in enumerate(config.listen):
        if listen.policy not in policies:
            yield f"listen[{i}].policy", f"no policy {listen.policy!r}; {toml_file.meant(listen.policy, policies)}"
        yield from _address_mistakes(f"listen[{i}].address", listen.address, places)
    if config.admin is not None:
        yield from _address_mistakes("admin", config.admin, places)
    for table, most in (("policies", MOST_POLICIES), ("lists", MOST_LISTS)):
        names = getattr(config, table)
        if len(names) > most:
            yield table, f"{len(names)}, at most {most}"
        for name in names:
            if not NAME.fullmatch(name):
                why = f"a name has 1 to {core.MAX_NAME} of a-z, 0-9, - and _, and no - or _ first"
                yield field_of(table, name), why
    if (paths := sum(len(policy.paths) for policy in config.policies.values())) > MOST_PATHS:
        yield "policies", f"{paths} paths, at most {MOST_PATHS}"
    for name, policy in config.policies.items():
        yield from _policy_mistakes(config, field_of("policies", name), policy)


def _address_mistakes(field: str, text: str, places: dict[addresses.Address, str]) -> Iterator[tuple[str, str]]:
    """`places` holds the addresses so far, with their fields."""
    try:
        address = addresses.parse(text)
    except XbotError as error:
        yield field, str(error)
        return
    taken = isinstance(address, addresses.TcpAddress) and address.port == 0
    if not taken and places.setdefault(address, field) != field:
        yield field, f"{text} is that of {places[address]} already"


def _policy_mistakes(config: Config, field: str, policy: Policy) -> Iterator[tuple[str, str]]:
    used: dict[str, str] = {}
    known = {**OURS, **config.lists}
    for use in ("allow", "deny", "verified"):
        for i, name in enumerate(getattr(policy, use)):
            found, where = known.get(name), f"{field}.{use}[{i}]"
            if found is None:
                yield where, f"no list {name!r}; {toml_file.meant(name, known)}"
            elif used.setdefault(name, where) != where:
                yield where, f"{name!r} is in {used[name]} already, which comes first"
            elif use == "verified" and (found.agents or found.paths or found.agent_files or found.path_files):
                yield where, f"the list {name!r} holds more than networks: anybody can send an agent or ask for a path"
    low, high = policy.challenge_above, policy.threshold
    if low is not None and high is not None and low >= high:
        yield f"{field}.challenge_above", f"{low} is not below threshold, {high}"


# ---- what stands above it ----


def _settle(path: Path | None, config: Config, over: Overrides) -> Plan:
    listen = config.listen
    if over.listen:
        listen = tuple(Listen(text, over.dialect or "nginx") for text in over.listen)
    elif over.dialect:
        listen = tuple(msgspec.structs.replace(each, dialect=over.dialect) for each in listen)
    if over.dialect and over.dialect not in core.DIALECTS:
        raise XbotError(f"--dialect {over.dialect!r} is not one of {', '.join(core.DIALECTS)}")
    admin = over.admin or config.admin
    board = over.board or config.board
    if over.board and over.board != NO_BOARD and not over.board.startswith("/"):
        raise XbotError(f"--board {over.board!r} is not an absolute path, or none")
    level, form = over.log_level or config.log.level, over.log_format or config.log.format
    fixed = Fixed(
        listen=tuple((_parsed("--listen", each.address), each.dialect) for each in listen),
        workers=over.workers or config.workers or len(os.sched_getaffinity(0)),
        admin=_parsed("--admin", admin) if admin else None,
        socket_group=over.socket_group or config.socket_group,
        board=None if board == NO_BOARD else Path(board) if board else DEFAULT_BOARD,
        drain_timeout=config.drain_timeout if over.drain_timeout is None else over.drain_timeout,
        log=msgspec.convert({"level": level, "format": form}, Log),
    )
    policies = {DEFAULT_POLICY: Policy(), **config.policies}
    policies = {name: _with_search_engines(each, config.search_engines) for name, each in policies.items()}
    if over.mode:
        policies = {name: msgspec.structs.replace(each, mode=over.mode) for name, each in policies.items()}
    in_file = path.parent / config.model if path and config.model else None
    return Plan(
        path=path,
        fixed=fixed,
        model=over.model or in_file or DEFAULT_MODEL,
        names_model=over.model is None and in_file is not None,
        asks_board=None if board in (None, NO_BOARD) else "--board" if over.board else "board",
        listen_policies=tuple(each.policy for each in listen),
        policies=policies,
        lists={**OURS, **config.lists},
        dialect=over.dialect or "nginx",
    )


def _with_search_engines(policy: Policy, everywhere: bool) -> Policy:
    """The policy with their list as its last, unless the owner says no or put it elsewhere."""
    wanted = everywhere if policy.search_engines is None else policy.search_engines
    if not wanted or search_engines.NAME in (*policy.allow, *policy.deny, *policy.verified):
        return policy
    return msgspec.structs.replace(policy, verified=(*policy.verified, search_engines.NAME))


def uses_our_search_engines(plan: Plan) -> bool:
    """Does a policy of the plan go by the list that comes with xbot?"""
    name = search_engines.NAME
    used = any(name in (*each.allow, *each.deny, *each.verified) for each in plan.policies.values())
    return used and plan.lists.get(name) == OURS[name]


def _parsed(option: str, text: str) -> addresses.Address:
    """An address; what the file says was parsed before, so that only an option can be wrong here."""
    try:
        return addresses.parse(text)
    except XbotError as error:
        raise XbotError(f"{option}: {error}") from None
