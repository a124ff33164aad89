"""What xbot.toml may hold: one row an option, with its name, type, default and what docs/configuration.md says of it.

Law: this module knows each option by itself. What no type can check is in config.py, and what follows from all of them in plan.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sidecar import core, model
from sidecar.config import presets, search_engines
from sidecar.config.toml_file import Doc

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
    large_pages: Annotated[
        bool,
        Doc(
            "whether the table is put into large pages of the processor when the sidecar starts, all of it at once (Linux 6.1). With many "
            "clients a request in nginx's module costs less then. Where there are none, the table is as without"
        ),
    ] = False
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
            "did ([behaviour.md](behaviour.md#several-machines)). It may hold a name and a password, and the files of TLS",
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
