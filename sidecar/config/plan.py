"""A configuration with every default filled in, below what the command line and the environment say.

Law: this module says what follows from the options; it asks no file but for its mode.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidecar import core, inputs
from sidecar.config import addresses, presets, search_engines, toml_file
from sidecar.config.options import (
    CONTROL,
    DEFAULT_BOARD,
    DEFAULT_MODEL,
    DEFAULT_POLICY,
    MOST_LISTENERS,
    NONE,
    OURS,
    Clients,
    Config,
    Decisions,
    Dns,
    Entries,
    Limits,
    Listen,
    Log,
    Mode,
    Policy,
    Signatures,
)
from sidecar.errors import XbotError
from sidecar.verify import catalogue


@dataclass(frozen=True)
class Overrides:
    """What the command line and the environment say; None: nothing. `mode` overrides that of every policy."""

    model: Path | None = None
    listen: tuple[str, ...] = ()
    dialect: str | None = None
    mode: Mode | None = None
    workers: int | None = None
    admin: str | None = None
    socket_group: str | None = None
    board: str | None = None
    control: str | None = None
    control_group: str | None = None
    drain_timeout: float | None = None
    log_level: str | None = None
    log_format: str | None = None


NOTHING = Overrides()


class Fixed(NamedTuple):
    """What a running sidecar cannot change by a reload: it takes an upgrade in place, or a restart."""

    listen: tuple[tuple[addresses.Address, str], ...]
    workers: int
    admin: addresses.Address | None
    socket_group: str | None
    board: Path | None
    control: addresses.UnixAddress | None
    control_group: str | None
    drain_timeout: float
    log: Log
    limits: Limits
    clients: Clients
    decisions: Decisions

    @property
    def outcomes(self) -> addresses.Address | None:
        """Where nginx tells what happened to requests."""
        return addresses.parse(self.clients.outcomes) if self.clients.outcomes else None


@dataclass(frozen=True)
class Plan:
    """A configuration with every default filled in. `path` is the file's, None without one, and `names_model` whether it names the
    model; `crawlers`: policy -> purpose or crawler -> what becomes of it; `ranges`: where fetched lists of networks lie, and
    `publishers` whence; `asks_board` is what names the board, which then must be usable: the option `--board`, the field `board`,
    or None, and `asks_control` whether somebody names the control socket;
    `listen_policies` goes by `fixed.listen`; `dialect` is for sockets that somebody else opened. `old_names`: the field of each
    option that the file calls by an old name -> the field as the file has it."""

    path: Path | None
    fixed: Fixed
    model: Path
    listen_policies: tuple[str, ...]
    policies: dict[str, Policy]
    lists: dict[str, Entries]
    dialect: str = "nginx"
    names_model: bool = False
    crawlers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ranges: Path | None = None
    publishers: Mapping[str, str] = field(default_factory=dict)
    dns: Dns = field(default_factory=Dns)
    signatures: Signatures = field(default_factory=Signatures)
    old_names: Mapping[str, str] = field(default_factory=dict)
    asks_board: str | None = None
    asks_control: bool = False

    def named(self, text: str) -> Path:
        """A file that the configuration names: relative to the configuration's directory."""
        return self.path.parent / text if self.path else Path(text)

    def wrong(self, field: str, why: str) -> XbotError:
        """The error for a field of the file, or for an option of the command line."""
        field = self.old_names.get(field, field)
        if self.path is None or field.startswith("--"):
            return XbotError(f"{field}: {why}")
        return toml_file.mistake(self.path, field, why)

    def words(self) -> tuple[Mapping[str, str], dict[str, Mapping[str, str]]]:
        """What is said of purposes and crawlers: by the policy `default`, and by the policy of each path."""
        below = {path: self.crawlers.get(name, {}) for name, each in self.policies.items() for path in each.paths}
        return self.crawlers.get(DEFAULT_POLICY, {}), below

    def open_to_others(self) -> list[tuple[Path, str]]:
        """(path, what is wrong) of each file that it names, and each directory of one or of a socket, where everybody may write."""
        used = {
            self.named(file)
            for each in self.lists.values()
            for files in (each.network_files, each.agent_files, each.path_files)
            for file in files
        }
        places = [*(address for address, _ in self.fixed.listen), self.fixed.admin, self.fixed.outcomes]
        sockets = [each.path for each in places if isinstance(each, addresses.UnixAddress)]
        return [*inputs.open_to_others([*filter(None, [self.path]), self.model, *sorted(used), *sockets])]

    @property
    def uses_our_search_engines(self) -> bool:
        """Does a policy go by the list that comes with xbot?"""
        name = search_engines.NAME
        used = any(name in (*each.allow, *each.deny, *each.verified) for each in self.policies.values())
        return used and self.lists.get(name) == OURS[name]

    def outdated(self) -> list[str]:
        """One line for each option that the file calls by an old name."""
        return [str(self.wrong(old, f"is called {new.rpartition('.')[2]} now")) for new, old in self.old_names.items()]


def settled(path: Path | None, config: Config, over: Overrides) -> Plan:
    """The plan of the file at `path`, or of none; XbotError if what overrides it is not sound."""
    listen = config.listen
    if len(over.listen) > MOST_LISTENERS:
        raise XbotError(f"--listen: {len(over.listen)}, at most {MOST_LISTENERS}")
    if over.listen:
        listen = tuple(Listen(text, over.dialect or "nginx") for text in over.listen)
    elif over.dialect:
        listen = tuple(msgspec.structs.replace(each, dialect=over.dialect) for each in listen)
    if over.dialect and over.dialect not in core.DIALECTS:
        raise XbotError(f"--dialect {over.dialect!r} is not one of {', '.join(core.DIALECTS)}")
    admin = over.admin or config.admin
    board = over.board or config.board
    if over.board and over.board != NONE and not over.board.startswith("/"):
        raise XbotError(f"--board {over.board!r} is not an absolute path, or none")
    control = over.control or config.control
    if over.control and over.control != NONE and not over.control.startswith("/"):
        raise XbotError(f"--control {over.control!r} is not an absolute path, or none")
    if control is None:  # a directory whose path leaves no room for a socket's has none
        beside = f"{board or DEFAULT_BOARD}/{CONTROL}"
        control = NONE if board == NONE or len(os.fsencode(beside)) > addresses.LONGEST_PATH else beside
    level, form = over.log_level or config.log.level, over.log_format or config.log.format
    fixed = Fixed(
        listen=tuple((_parsed("--listen", each.address), each.dialect) for each in listen),
        workers=over.workers or config.workers or _usable_cores(),
        admin=_parsed("--admin", admin) if admin else None,
        socket_group=over.socket_group or config.socket_group,
        board=None if board == NONE else Path(board) if board else DEFAULT_BOARD,
        control=None if control == NONE else addresses.unix("--control", control),
        control_group=over.control_group or config.control_group,
        drain_timeout=config.drain_timeout if over.drain_timeout is None else over.drain_timeout,
        log=msgspec.convert({"level": level, "format": form}, Log),
        limits=config.limits,
        clients=config.clients,
        decisions=config.decisions,
    )
    policies = {DEFAULT_POLICY: Policy(), **config.policies}
    policies = {name: _with_preset(each, config.search_engines) for name, each in policies.items()}
    ours = search_engines.NAME not in config.lists
    crawlers = {name: _crawlers(each, config.search_engines, ours) for name, each in policies.items()}
    policies = {name: _with_lists(each, config.search_engines) for name, each in policies.items()}
    if over.mode:
        policies = {name: msgspec.structs.replace(each, mode=over.mode) for name, each in policies.items()}
    in_file = path.parent / config.model if path and config.model else None
    return Plan(
        path=path,
        fixed=fixed,
        model=over.model or in_file or DEFAULT_MODEL,
        names_model=over.model is None and in_file is not None,
        asks_control=(over.control or config.control) not in (None, NONE),
        asks_board=None if board in (None, NONE) else "--board" if over.board else "board",
        listen_policies=tuple(each.policy for each in listen),
        policies=policies,
        lists={**OURS, **config.lists},
        dialect=over.dialect or "nginx",
        crawlers=crawlers,
        ranges=path.parent / config.ranges if path and config.ranges else None,
        publishers={**catalogue.load().ranges, **(config.publishers or {})},
        dns=config.dns,
        signatures=config.signatures,
    )


@functools.cache
def _usable_cores() -> int:
    """As they were when this process first asked: a reload must not ask for other workers because of its affinity."""
    return len(os.sched_getaffinity(0))


def _with_preset(policy: Policy, everywhere: bool) -> Policy:
    """The policy with what its preset says where it says nothing itself; what it allows first is its own."""
    if policy.preset is None:
        return policy
    found, said = presets.preset(policy.preset), policy.verified
    own = said if isinstance(said, dict) else dict.fromkeys(said, "allow")
    elsewhere = {*policy.allow, *policy.deny, *own}
    engines = everywhere if policy.search_engines is None else policy.search_engines
    words = {name: word for name, word in found.verified.items() if engines or name != "search"}
    return msgspec.structs.replace(
        policy,
        allow=(*policy.allow, *(name for name in found.allow if name not in elsewhere)),
        verified={**words, **own},
    )


def _verifies_engines(policy: Policy, everywhere: bool) -> bool:
    """Whether the list of search engines is to stand in `verified` without a word: the owner neither says no nor puts it
    elsewhere."""
    wanted = everywhere if policy.search_engines is None else policy.search_engines
    return wanted and search_engines.NAME not in (*policy.allow, *policy.deny, *policy.verified)


def _with_lists(policy: Policy, everywhere: bool) -> Policy:
    """The policy with the lists that verify, as names alone; that of search engines as the last."""
    names = tuple(policy.verified)
    if isinstance(policy.verified, dict):
        names = tuple(name for name in names if not catalogue.names(name))
    if _verifies_engines(policy, everywhere) and not (
        isinstance(policy.verified, dict) and "search" in policy.verified
    ):
        names = (*names, search_engines.NAME)
    return msgspec.structs.replace(policy, verified=names)


def _crawlers(policy: Policy, everywhere: bool, ours: bool) -> dict[str, str]:
    """What the policy says of purposes and crawlers; search engines are let in with their list, if it is `ours`."""
    said = {"search": "allow"} if ours and _verifies_engines(policy, everywhere) else {}
    if isinstance(policy.verified, dict):
        said |= {name: word for name, word in policy.verified.items() if catalogue.names(name)}
    return said


def _parsed(option: str, text: str) -> addresses.Address:
    """An address; what the file says was parsed before, so that only an option can be wrong here."""
    try:
        return addresses.parse(text)
    except XbotError as error:
        raise XbotError(f"{option}: {error}") from None
