"""xbot.toml: what may be said in it, checked whole, each mistake one line that names file, line and field.

Law: this module knows the options, and not how they act; docs/configuration.md tells people that. What is given on the
command line or in the environment (`Overrides`) overrides the file.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

from sidecar import core, inputs, model
from sidecar.config import addresses, presets, search_engines, toml_file
from sidecar.config.toml_file import Doc
from sidecar.config.toml_lines import field_of
from sidecar.errors import XbotError
from sidecar.verify import catalogue

DEFAULT_MODEL = model.DEFAULT
DEFAULT_POLICY = "default"
DEFAULT_BOARD = Path("/run/xbot")
NONE = "none"
CONTROL, MODULE = "control", "module"  # names of sockets in the board's directory
MOST_POLICIES, MOST_LISTS, MOST_PATHS = 64, 256, 256
MOST_LISTENERS = 240  # the kernel passes 253 descriptors at once to a worker
NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{core.MAX_NAME - 1}}}")

# One row an option: its name, type, Doc and default are all there is to it, and the tables of docs/configuration.md are made
# from them (`make docs`). The descriptions say what is allowed, in errors and there.
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
Seconds = Annotated[float, Meta(ge=0, le=3600, description="a number of seconds from 0 to 3600")]
Patience = Annotated[float, Meta(ge=0.1, le=3600, description="a number of seconds from 0.1 to 3600")]
Connections = Annotated[int, Meta(ge=16, le=65536, description="a whole number from 16 to 65536")]
Bytes = Annotated[
    int, Meta(ge=1 << 20, le=1 << 40, description="a whole number of bytes from 1048576 to 1099511627776")
]
Wait = Annotated[float, Meta(ge=0.1, le=60, description="a number of seconds from 0.1 to 60")]
PerSecond = Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")]
Records = Annotated[int, Meta(ge=1, le=1000000, description="a whole number from 1 to 1000000")]
Hours = Annotated[int, Meta(ge=1, le=8760, description="a whole number of hours from 1 to 8760")]
Size = Annotated[
    str, Meta(pattern=r"^(0|[1-9][0-9]{0,4}MiB|[1-9][0-9]?GiB)$", description="a size such as 64MiB or 1GiB, or 0")
]
Workers = Annotated[int, Meta(ge=1, le=1024, description="a whole number from 1 to 1024")]
Answer = Annotated[bool, Meta(description="true or false")]
Text = Annotated[str, Meta(pattern=r"^[^\x00]+$", description="non-empty text")]
Place = Annotated[str, Meta(pattern=r"^(/[^\x00]*|none)$", description="an absolute path, or none")]
Mode = Literal["observe", "enforce"]
if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = Literal[presets.NAMES]
# Lists by name; or by purpose, crawler or list what becomes of whom.
Verified = Annotated[
    tuple[Text, ...] | dict[str, Literal["allow", "deny", "score"]],
    Meta(description="a list of lists, or a table of purposes and crawlers, each allow, deny or score"),
]
if TYPE_CHECKING:
    Dialect = str
else:
    Dialect = Literal[core.DIALECTS]


class _PolicyLists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a policy that are worked out here: csrc/ gets routes and lists. Lists by name. `search_engines` None: what
    the whole file says."""

    preset: Annotated[
        PresetName | None,
        Doc(
            "what a kind of site commonly wants ([below](#presets)): words for `verified`, and lists of paths for `allow`. What the "
            "policy says itself stands above it",
            "none",
        ),
    ] = None
    paths: Annotated[
        tuple[Text, ...], Doc("how the paths begin that it holds for, unless the proxy asks for a policy by name")
    ] = ()
    allow: Annotated[tuple[Text, ...], Doc("lists whose visitors are human, whatever their score")] = ()
    deny: Annotated[tuple[Text, ...], Doc("lists whose visitors are bots")] = ()
    verified: Annotated[
        Verified,
        Doc(
            "who is let in once verified, `X-Bot: verified`: lists of crawlers by their networks, or a table of "
            "purposes and crawlers ([verification.md](verification.md))",
            "`[]`",
        ),
    ] = ()
    search_engines: Annotated[
        Answer | None, Doc("whether `search-engines` is the last of the lists in `verified`", "that of the file")
    ] = None


if TYPE_CHECKING:

    class Policy(_PolicyLists, frozen=True, kw_only=True):
        """One entry of [policies]; of the options that csrc/policy/options.def lists, those that are looked at here too."""

        mode: Mode = "observe"
        threshold: float | None = None
        suspect_above: float | None = None
else:
    _ONCE = {"suspect_above": "challenge_above"}  # what an option was called before

    def _field(option: core.Option) -> tuple[str, Any, Any]:
        """Name, type and default of a row of csrc/policy/options.def."""
        doc = Doc(option.doc, option.without or "", _ONCE.get(option.name, ""))
        if option.values is None:
            return option.name, Annotated[Share | None, doc], None
        return option.name, Annotated[Literal[option.values], doc], option.values[0]

    Policy = msgspec.defstruct(
        "Policy", map(_field, core.POLICY_OPTIONS), bases=(_PolicyLists,), module=__name__, frozen=True,
        forbid_unknown_fields=True, kw_only=True,
    )  # fmt: skip


class Entries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of [lists]; of the files, one entry a line."""

    networks: Annotated[tuple[Text, ...], Doc("IPv4 and IPv6 networks (`192.0.2.0/24`) and addresses")] = ()
    agents: Annotated[tuple[Text, ...], Doc("words of the User-Agent")] = ()
    paths: Annotated[tuple[Text, ...], Doc("how a path begins; `/feed$`: that path alone")] = ()
    network_files: Annotated[tuple[Text, ...], Doc("files of networks")] = ()
    agent_files: Annotated[tuple[Text, ...], Doc("files of agents' words")] = ()
    path_files: Annotated[tuple[Text, ...], Doc("files of paths")] = ()


# Lists that exist without being in the file; a list of the same name in the file replaces them.
OURS = {
    search_engines.NAME: Entries(network_files=(str(search_engines.FILE),)),
    **{name: Entries(paths=paths) for name, paths in presets.lists().items()},
}


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One [[listen]]. `policy` decides where the proxy asks for none by name, and no policy has the path."""

    address: Annotated[Text, Doc("`unix:PATH`, `HOST:PORT` or `[IPV6]:PORT`")]
    dialect: Annotated[Dialect, Doc("how the proxy asks ([proxies.md](proxies.md))")] = "nginx"
    policy: Annotated[Text, Doc("the policy of whoever asks here and names none, where no policy has the path")] = (
        DEFAULT_POLICY
    )


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[log]."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Doc("from which level on events are logged; debug also logs each request: for debugging, not for load"),
    ] = "info"
    format: Annotated[Literal["text", "json"], Doc("for a person, or one JSON object a line")] = "text"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[limits]: of each listener in each worker. `peer_timeout` is in seconds; `bytes` are those of unfinished heads and unread
    answers."""

    peer_timeout: Annotated[
        Patience,
        Doc(
            "how long a proxy may take over the rest of a head, or leave its answers unread; an idle connection may stay open"
        ),
    ] = 10.0
    connections: Annotated[
        Connections, Doc("that are open at once; past it, the connection that has waited longest is closed")
    ] = 4096
    bytes: Annotated[
        Bytes,
        Doc(
            "of unfinished heads and unread answers, together; past it, the one of these that has waited longest is closed"
        ),
    ] = 16 << 20


class Dns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[dns]. `servers` empty: those of the system. `timeout` is in seconds."""

    look_up: Annotated[
        Answer,
        Doc(
            "whether crawlers whose owner names domains are proven by the DNS ([verification.md](verification.md#by-the-dns)). "
            "The addresses of who says to be one are told to the resolver, so this is for you to decide"
        ),
    ] = False
    servers: Annotated[tuple[Text, ...], Doc("resolvers, `IP` or `IP:PORT`; none: those of `/etc/resolv.conf`")] = ()
    per_second: Annotated[PerSecond, Doc("look-ups that are begun in a second, at most")] = 10
    timeout: Annotated[Wait, Doc("how long one look-up may take, in all. No request waits for it")] = 5.0


class Signatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[signatures]. `hosts` empty: none is checked."""

    hosts: Annotated[
        tuple[Text, ...],
        Doc(
            "the site's own names, `HOST` or `HOST:PORT`: signatures for these are checked "
            "([verification.md](verification.md#by-a-signature)). Without any, none is. It needs `ranges`, where keys are kept"
        ),
    ] = ()
    directories: Annotated[
        Annotated[dict[str, Text] | None, Meta(description="a table of https addresses")],
        Doc(
            "by a crawler's name: where the keys are fetched that it signs with, beside those of the catalogue", "none"
        ),
    ] = None
    per_second: Annotated[PerSecond, Doc("signatures that each worker checks in a second, at most")] = 200


class Clients(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[clients]: the table of what clients did before (docs/behaviour.md)."""

    size: Annotated[
        Size,
        Doc(
            'memory for the table of what clients did before, shared by all workers; `"0"`: none, each request stands alone'
        ),
    ] = "64MiB"
    privacy: Annotated[
        Literal["address", "network"],
        Doc(
            "what a client is: an address (IPv6: its /64) and an agent, or only a network (/24, IPv6: /48) and an agent"
        ),
    ] = "address"
    key_hours: Annotated[
        Hours | None,
        Doc("after how many hours the table gets a new key: what clients did before that is no longer found", "never"),
    ] = None
    move_threshold: Annotated[
        Answer,
        Doc(
            "whether the model's threshold moves by what this site's proven visitors get, within the bounds that the model holds "
            "([behaviour.md](behaviour.md#the-threshold-of-the-site)). A policy with a `threshold` keeps its own"
        ),
    ] = True
    max_fpr: Annotated[
        Share,
        Doc(
            "the highest share of proven visitors of whom a request may be refused, where the threshold moves. It takes "
            "2 / `max_fpr` of them to say anything, 50 at least"
        ),
    ] = 0.01
    store: Annotated[
        Text | None,
        Doc(
            "the site's own Redis or Valkey, `redis://`, `rediss://` (TLS) or `unix://`, by which machines tell each other what clients "
            "did ([behaviour.md](behaviour.md#several-machines)). It may hold a name and a password",
            "none",
        ),
    ] = None
    store_key: Annotated[
        Text | None,
        Doc(
            "a file with the secret that these machines share, 32 bytes at least, which others may not read. Without it nobody can tell "
            "whose counts are in the store, nor tell any",
            "none",
        ),
    ] = None
    outcomes: Annotated[
        Text | None,
        Doc(
            "`unix:PATH` of a datagram socket to which nginx tells what happened to requests "
            "([behaviour.md](behaviour.md#what-happened-to-a-request)). Its mode and group are those of the other sockets",
            "none",
        ),
    ] = None

    @property
    def mebibytes(self) -> int:
        """`size` as a number."""
        number, unit = int(self.size.rstrip("MGiB")), self.size[-3:]
        return number * 1024 if unit == "GiB" else number


class Decisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[decisions]: the log of decisions, where `file` is given."""

    file: Annotated[Text | None, Doc("where decisions are written, a line of JSON each", "there is no such log")] = None
    sample: Annotated[
        Share, Doc("which share of the decisions about others than bots is written; those about bots all are")
    ] = 0.01
    per_second: Annotated[
        Records,
        Doc(
            "how many are written in a second at most by the workers, an equal share each, and as many by nginx's where its module "
            "judges, an equal share each; further ones are counted"
        ),
    ] = 1000
    privacy: Annotated[
        Literal["whole", "network", "keyed"],
        Doc(
            "visitors' addresses: as they are; the first of their /24 or /48; or a hash with a key of this machine's own"
        ),
    ] = "whole"
    redact: Annotated[
        Answer, Doc("whether what looks like a secret in targets, referrers and headers is replaced by as many letters")
    ] = True


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `workers` None: one a usable core. `drain_timeout` is in seconds."""

    model: Annotated[Text | None, Doc("the model file, as `xbot train` writes it", "the one that comes with xbot")] = (
        None
    )
    workers: Annotated[Workers | None, Doc("processes that answer", "one a usable core")] = None
    admin: Annotated[
        Text | None,
        Doc(
            "an address, as of a listener, for the live page, `/metrics`, `/healthz` and `/readyz`. It shows what visitors sent and "
            "has no password: keep it on the loopback",
            "none",
        ),
    ] = None
    socket_group: Annotated[
        Text | None,
        Doc(
            "name or number of the group that may open the Unix sockets (mode 0660): that of the proxy's workers",
            "that of the process",
        ),
    ] = None
    board: Annotated[
        Place | None,
        Doc(
            "the directory of the [board](operations.md#the-board): what is served and the counters, as files. One that is named "
            'here must be usable; `"none"`: memory that only the workers share',
            "`/run/xbot`, where it can be used",
        ),
    ] = None
    control: Annotated[
        Place | None,
        Doc(
            "the path of the [control socket](operations.md#a-hand-on-the-wheel), a Unix socket with mode 0660: whoever may open it "
            'can stop refusals, or begin them; `"none"`: no such socket',
            "`control` in the board's directory, where there is one",
        ),
    ] = None
    control_group: Annotated[
        Text | None,
        Doc(
            "name or number of the group that may open the control socket; never that of the proxy",
            "that of the process",
        ),
    ] = None
    drain_timeout: Annotated[Seconds, Doc("how long SIGTERM lets requests finish")] = 10.0
    search_engines: Annotated[
        Answer, Doc("whether every policy verifies the [list of search engines](#search-engines) that comes with xbot")
    ] = True
    ranges: Annotated[
        Text | None,
        Doc(
            "a directory for the lists of networks that crawlers' owners publish: they are fetched each day "
            "([verification.md](verification.md)). Without it nothing is fetched",
            "none",
        ),
    ] = None
    publishers: Annotated[
        Annotated[dict[str, Text] | None, Meta(description="a table of https addresses")],
        Doc("by the name of a list of networks: where it is fetched instead of from its owner", "their owners'"),
    ] = None
    listen: tuple[Listen, ...] = ()
    log: Log = Log()
    limits: Limits = Limits()
    dns: Dns = Dns()
    signatures: Signatures = Signatures()
    clients: Clients = Clients()
    decisions: Decisions = Decisions()
    policies: dict[str, Policy] = {}
    lists: dict[str, Entries] = {}


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

    def outdated(self) -> list[str]:
        """One line for each option that the file calls by an old name."""
        return [str(self.wrong(old, f"is called {new.rpartition('.')[2]} now")) for new, old in self.old_names.items()]


def load(path: Path | None, overrides: Overrides = Overrides()) -> Plan:
    """The file's configuration below what overrides say; MistakesError if it is not sound, XbotError if it is not there."""
    config, old_names = (Config(), {}) if path is None else toml_file.load(path, Config, _mistakes)
    return replace(_settle(path, config, overrides), old_names=old_names)


# ---- what no type can check ----


def _mistakes(config: Config) -> Iterator[tuple[str, str]]:
    """(field, why) of each."""
    places: dict[addresses.Address, str] = {}
    policies = {DEFAULT_POLICY, *config.policies}
    if len(config.listen) > MOST_LISTENERS:
        yield "listen", f"{len(config.listen)}, at most {MOST_LISTENERS}"
    for i, listen in enumerate(config.listen):
        if listen.policy not in policies:
            yield f"listen[{i}].policy", f"no policy {listen.policy!r}; {toml_file.meant(listen.policy, policies)}"
        yield from _address_mistakes(f"listen[{i}].address", listen.address, places)
    if config.admin is not None:
        yield from _address_mistakes("admin", config.admin, places)
    yield from _store_mistakes(config.clients)
    if config.clients.outcomes is not None:
        yield from _outcomes_mistakes(config.clients, places)
    for table, most in (("policies", MOST_POLICIES), ("lists", MOST_LISTS)):
        names = getattr(config, table)
        if len(names) > most:
            yield table, f"{len(names)}, at most {most}"
        for name in names:
            if not NAME.fullmatch(name):
                why = f"a name has 1 to {core.MAX_NAME} of a-z, 0-9, - and _, and no - or _ first"
                yield field_of(table, name), why
    if config.control not in (None, NONE):
        yield from _address_mistakes("control", f"unix:{config.control}", places)
    if (paths := sum(len(policy.paths) for policy in config.policies.values())) > MOST_PATHS:
        yield "policies", f"{paths} paths, at most {MOST_PATHS}"
    for name, address in (config.publishers or {}).items():
        known = catalogue.load().ranges
        if name not in known:
            yield field_of("publishers", name), f"no list of networks {name!r}; {toml_file.meant(name, known)}"
        elif not re.fullmatch(r"https://[^\s/?#@]+/\S*", address):
            yield field_of("publishers", name), f"{address!r} is not https://HOST/PATH"
    for i, server in enumerate(config.dns.servers):
        try:
            resolver(server)
        except ValueError:
            yield f"dns.servers[{i}]", f"{server!r} is neither IP nor IP:PORT, as 192.0.2.1:53 or [2001:db8::1]:53"
    yield from _signature_mistakes(config)
    if config.dns.look_up and find_spec("dns") is None:
        yield "dns.look_up", "needs dnspython: install xbot[verify], or the package dnspython beside it"
    for name, policy in config.policies.items():
        yield from _policy_mistakes(config, field_of("policies", name), policy)


def _signature_mistakes(config: Config) -> Iterator[tuple[str, str]]:
    for i, host in enumerate(config.signatures.hosts):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", host):
            yield f"signatures.hosts[{i}]", f"{host!r} is neither HOST nor HOST:PORT, in small letters"
    for name, address in (config.signatures.directories or {}).items():
        known = catalogue.load().crawlers
        if name not in known:
            yield field_of("signatures.directories", name), f"no crawler {name!r}; {toml_file.meant(name, known)}"
        elif not re.fullmatch(r"https://[^\s/?#@]+/\S*", address):
            yield field_of("signatures.directories", name), f"{address!r} is not https://HOST/PATH"
    if config.signatures.hosts:
        if config.ranges is None:
            yield "signatures.hosts", "needs `ranges`, the directory in which keys are kept"
        if not (find_spec("cryptography") and find_spec("http_sfv")):
            yield "signatures.hosts", "needs cryptography and http-sfv: install xbot[verify]"


def resolver(text: str) -> tuple[str, int]:
    """(address, port) of a resolver; ValueError if the text is none."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))), 53
    try:
        address = addresses.parse(text)
    except XbotError as error:
        raise ValueError(str(error)) from None
    if not isinstance(address, addresses.TcpAddress) or not address.port:
        raise ValueError(text)
    return str(ipaddress.ip_address(address.host)), address.port


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


def _outcomes_mistakes(clients: Clients, places: dict[addresses.Address, str]) -> Iterator[tuple[str, str]]:
    field, text = "clients.outcomes", str(clients.outcomes)
    if not text.startswith("unix:"):
        yield field, f"{text!r} is not unix:PATH: nobody but the proxy may tell what happened to requests"
    elif clients.mebibytes == 0:
        yield field, 'there is no table to count them in: clients.size is "0"'
    else:
        yield from _address_mistakes(field, text, places)


def _store_mistakes(clients: Clients) -> Iterator[tuple[str, str]]:
    """No word of an address that may hold a password."""
    field, other = "clients.store", "clients.store_key"
    if clients.store is None:
        if clients.store_key is not None:
            yield other, "there is no `store` to share by"
        return
    if not re.fullmatch(r"(rediss?://[^/\s]+|unix://[^\s]*/)[^\s]*", clients.store):
        yield field, "is none of redis://HOST:PORT, rediss://HOST:PORT and unix:///PATH"
    elif clients.mebibytes == 0:
        yield field, 'there is no table to share: clients.size is "0"'
    if clients.store_key is None:
        yield field, "needs `store_key`, a file with the secret that the machines share"
    if find_spec("redis") is None:
        yield field, "needs redis: install xbot[store], or the package redis beside it"


def _policy_mistakes(config: Config, field: str, policy: Policy) -> Iterator[tuple[str, str]]:
    used: dict[str, str] = {}
    known = {**OURS, **config.lists}
    for use in ("allow", "deny", "verified"):
        for i, name in enumerate(getattr(policy, use)):
            found, where = known.get(name), f"{field}.{use}[{i}]"
            if use == "verified" and isinstance(policy.verified, dict):
                where = field_of(f"{field}.{use}", name)
                if _is_crawler(name):
                    continue
                if found is None:
                    every = (*catalogue.PURPOSES, *catalogue.load().crawlers, *known)
                    near = toml_file.meant(
                        name, every if difflib.get_close_matches(name, every, 1) else catalogue.PURPOSES
                    )
                    yield where, f"no purpose, crawler or list {name!r}; {near}"
                    continue
                if policy.verified[name] != "allow":
                    yield where, f"the list {name!r} can only be allowed here; a list is denied by `deny`"
            if found is None:
                yield where, f"no list {name!r}; {toml_file.meant(name, known)}"
            elif used.setdefault(name, where) != where:
                yield where, f"{name!r} is in {used[name]} already, which comes first"
            elif use == "verified" and (found.agents or found.paths or found.agent_files or found.path_files):
                yield where, f"the list {name!r} holds more than networks: anybody can send an agent or ask for a path"
    low, high = policy.suspect_above, policy.threshold
    if low is not None and high is not None and low >= high:
        yield f"{field}.suspect_above", f"{low} is not below threshold, {high}"


# ---- what overrides it ----


def _settle(path: Path | None, config: Config, over: Overrides) -> Plan:
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
        names = tuple(name for name in names if not _is_crawler(name))
    if _verifies_engines(policy, everywhere) and not (
        isinstance(policy.verified, dict) and "search" in policy.verified
    ):
        names = (*names, search_engines.NAME)
    return msgspec.structs.replace(policy, verified=names)


def _crawlers(policy: Policy, everywhere: bool, ours: bool) -> dict[str, str]:
    """What the policy says of purposes and crawlers; search engines are let in with their list, if it is `ours`."""
    said = {"search": "allow"} if ours and _verifies_engines(policy, everywhere) else {}
    if isinstance(policy.verified, dict):
        said |= {name: word for name, word in policy.verified.items() if _is_crawler(name)}
    return said


def _is_crawler(name: str) -> bool:
    return name in catalogue.PURPOSES or name in catalogue.load().crawlers


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
