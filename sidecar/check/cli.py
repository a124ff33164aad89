"""`xbot check`: is the configuration sound, does nginx ask rightly, can it open the socket, what does a question cost.

Law: it is given what `xbot serve` is given, looks at everything that it can, changes nothing, and says what it could not
look at. Mistakes are for config.py and lists.py to tell, traps for traps.py, what runs for running.py; this brings them
together, and warns of what is probably not intended.
"""

from __future__ import annotations

import ipaddress
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from sidecar.board.served import Served
from sidecar.check import canaries, module, nginx_conf, promises, running, traps, visitors
from sidecar.check.findings import Finding, Findings, Status
from sidecar.check.gates import Setup
from sidecar.check.running import Probe
from sidecar.commands.serve import serve
from sidecar.config import config, lists, options, policies, search_engines, toml_file
from sidecar.config.addresses import Address, UnixAddress, group_id
from sidecar.config.options import DEFAULT_POLICY
from sidecar.config.plan import Overrides, Plan
from sidecar.errors import XbotError
from sidecar.verify import catalogue, ranges, signatures

_PATH = click.Path(path_type=Path)
ABOUT = "configuration"


class Result(msgspec.Struct):
    """What --json prints. `settings` are those that `xbot serve` would use; None if they are not sound."""

    settings: dict[str, Any] | None
    findings: list[Finding]
    probes: list[Probe]
    totals: dict[Status, int]


@click.command(
    short_help="Find mistakes: configuration, nginx, what runs.",
    params=list(serve.params),
    epilog="Example: xbot check /etc/xbot/xbot.toml --user www-data",
)
@click.argument("file", metavar="[XBOT.TOML]", required=False, type=_PATH)
@click.option(
    "--nginx", "conf", metavar="CONF", type=_PATH, help="nginx's configuration.  [default: the one it was built for]"
)
@click.option("--user", help="Whom nginx's workers run as.  [default: what nginx's configuration says]")
@click.option(
    "--robots", metavar="FILE|URL", help="The robots.txt that the site serves: does it say what the policies say?"
)
@click.option(
    "--canary",
    metavar="URL",
    help="Look at nothing else: send known bots and people to the server of nginx/canary.conf, and say who gets a wrong answer.",
)
@click.option("--host", metavar="NAME", help="With --canary: which server, where one of the site has canary_site.conf.")
@click.option("--every", type=click.IntRange(1, 86400), metavar="SECONDS", help="With --canary: again and again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(
    file: Path | None,
    path: Path | None,
    conf: Path | None,
    user: str | None,
    robots: str | None,
    canary: str | None,
    host: str | None,
    every: int | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Look for what is wrong with a configuration and, where they run, with nginx and the sidecar.

    It takes the options of `xbot serve` and tells what these, the environment and the file XBOT.TOML come to. It changes
    nothing; a sidecar that runs is asked some hundred questions, which its metrics count. Best run as root, so that
    it can look at every directory. Status 2 if anything is wrong, 0 otherwise, with warnings too.

    \b
    xbot check /etc/xbot/xbot.toml
    xbot check --listen unix:/run/xbot/xbot.sock --nginx nginx.conf --json
    xbot check --canary http://127.0.0.1:8012/
    xbot check --canary http://127.0.0.1:8013/login --host www.site.example
    """
    found, overrides = Findings(), Overrides(**options)
    if canary:
        to = canaries.place(canary) if host is None else canaries.place(canary, host)
        return look_at_canaries(to, every, file or path, overrides, as_json)
    if every or host is not None:
        raise XbotError(f"--{'every' if every else 'host'}: only with --canary")
    plan = look_at_configuration(found, file or path, overrides)
    setup = look_at_nginx(found, plan, conf)
    if plan:
        found += doubts(plan, overrides, setup)
        promises.look_at_words(found, plan)
        if robots:
            promises.look(found, plan, robots)
    probes = running.look(found, plan, setup, user)
    if as_json:
        click.echo(msgspec.json.encode(Result(settings(plan) if plan else None, found, probes, found.totals())))
    else:
        found.show()
        _show(probes)
        click.echo(", ".join(f"{count} {status}" for status, count in found.totals().items()))
    return 2 if found.totals()["wrong"] else 0


def look_at_canaries(
    to: canaries.Place, every: int | None, path: Path | None, overrides: Overrides, as_json: bool
) -> int:
    """Once, or for ever."""
    control = config.load(path, overrides).fixed.control
    while True:
        found = Findings()
        canaries.look(found, to, control.path if control else None)
        if as_json:
            click.echo(msgspec.json.encode(Result(None, found, [], found.totals())))
        else:
            found.show()
        if not every:
            return 2 if found.totals()["wrong"] else 0
        time.sleep(every)


def look_at_configuration(found: Findings, path: Path | None, overrides: Overrides) -> Plan | None:
    """The file with what overrides it, its lists and its model: all that `xbot serve` would read."""
    try:
        plan = config.load(path, overrides)
    except XbotError as error:
        found.add_error(ABOUT, error)
        if isinstance(error, toml_file.UnsoundError) and error.sound is not None:
            rest = config.entries_of(path, error.sound)  # so that all is told at once
            _look_at_lists(found, rest)
            _look_at_paths(found, rest)
        return None
    policies = ", ".join(f"{name} ({each.mode})" for name, each in plan.policies.items())
    places = ", ".join(f"{address} ({dialect})" for address, dialect in plan.fixed.listen)
    listens = places or "what systemd hands over"
    if path or places:
        found.add("ok", ABOUT, f"{path or 'no file'}: policies {policies}; listens on {listens}")
    else:
        found.add("skipped", ABOUT, "no file is named: the sidecar's policies are not known", "xbot check FILE")
    _look_at_lists(found, plan)
    _look_at_ranges(found, plan)
    _look_at_paths(found, plan)
    _look_at_places(found, plan)
    try:
        served = Served.load(plan, 1)
        served.close()
        found.add("ok", "model", f"{plan.model}: sha256 {served.sha256[:12]}")
        for group in (plan.fixed.socket_group, plan.fixed.control_group):
            if group:
                group_id(group)
        if plan.fixed.control_group and plan.fixed.control_group == plan.fixed.socket_group:
            why = str(plan.wrong("control_group", "the proxy's group: whoever runs as its user can stop refusals"))
            found.add("warning", ABOUT, why, "a group of your operators")
    except XbotError as error:
        found.add_error(ABOUT, error)
    return plan


def _look_at_lists(found: Findings, plan: Plan) -> None:
    for name in plan.lists:
        try:
            holds = lists.contents(plan, name)
        except XbotError as error:
            found.add_error("lists", error)
            continue
        networks, agents, paths = len(holds.v4) + len(holds.v6), len(holds.agents), len(holds.paths)
        if plan.lists[name] == options.OURS.get(name):
            if name == search_engines.NAME and plan.uses_our_search_engines:
                _look_at_our_search_engines(found, networks)
        elif networks or agents or paths:
            found.add("ok", "lists", f"{name}: {networks} networks, {agents} agents, {paths} paths")
        else:
            found.add("warning", "lists", str(plan.wrong(f"lists.{name}", "there is nothing in it")))


def _look_at_paths(found: Findings, plan: Plan) -> None:
    try:
        lists.routes(plan)
    except XbotError as error:
        found.add_error(ABOUT, error)


def _look_at_places(found: Findings, plan: Plan) -> None:
    """Directories that are named, and that a start wants to be there."""
    log, board = plan.fixed.decisions.file, plan.fixed.board if plan.asks_board else None
    for field, place in (
        ("decisions.file", plan.named(log).absolute().parent if log else None),
        (plan.asks_board, board),
    ):
        if field and place and not place.is_dir():
            why = f"{place}: there is no such directory"
            found.add("wrong", ABOUT, str(plan.wrong(field, why)), f"install -d {place}, for the sidecar's user")


def _look_at_our_search_engines(found: Findings, networks: int) -> None:
    name, said = search_engines.NAME, f"{networks} networks that come with xbot, {search_engines.said()}"
    if search_engines.age() < search_engines.OLD:
        found.add("ok", "lists", f"{name}: {said}")
    else:
        found.add("warning", "lists", f"{name}: {said}: engines move", f"a newer xbot, or a list {name} of your own")


def _look_at_ranges(found: Findings, plan: Plan) -> None:
    """Lists of crawlers' networks that were refused, are old, or were to be fetched and are not fresh; and keys of signatures."""
    copies, wrong = ranges.newest(plan.ranges)
    for line in wrong:
        found.add("warning", "ranges", f"{line}: it is not used")
    bound = ranges.STALE if plan.ranges else ranges.OLD
    old = sorted(name for name, copy in copies.items() if copy.age() >= bound)
    mend = "xbot refresh" if plan.ranges else "ranges = DIR, or a newer xbot"
    if old:
        what = "an absence from them disproves nobody" if not plan.ranges else "they were not fetched since"
        found.add("warning", "ranges", f"{', '.join(old)}: {bound} days old or more: {what}", mend)
    missing = sorted(set(catalogue.load().ranges) - set(copies))
    if missing and plan.ranges:
        found.add("warning", "ranges", f"no copy of {', '.join(missing)}: it proves and disproves nobody", mend)
    if not old and not wrong:
        oldest = max((copy.age() for copy in copies.values()), default=0)
        found.add("ok", "ranges", f"{len(copies)} lists of crawlers' networks, {oldest} days old at most")
    if plan.signatures.hosts and plan.ranges:
        names = policies.material(plan).directories()
        lost = sorted(name for name in names if not signatures.stored(plan.ranges, {name: names[name]}))
        if lost:
            found.add("warning", "signatures", f"no keys of {', '.join(lost)}: they prove nobody", "xbot refresh")


def settings(plan: Plan) -> dict[str, Any]:
    """The settings that `xbot serve` would use."""
    fixed = plan.fixed
    places = zip(fixed.listen, plan.listen_policies, strict=True)
    return {
        "model": str(plan.model),
        "listen": [{"address": str(a), "dialect": d, "policy": p} for (a, d), p in places],
        "workers": fixed.workers,
        "admin": str(fixed.admin) if fixed.admin else None,
        "socket_group": fixed.socket_group,
        "board": str(fixed.board) if fixed.board else None,
        "control": str(fixed.control.path) if fixed.control else None,
        "control_group": fixed.control_group,
        "drain_timeout": fixed.drain_timeout,
        "log": msgspec.to_builtins(fixed.log),
        "limits": msgspec.to_builtins(fixed.limits),
        "clients": msgspec.to_builtins(fixed.clients),
        "policies": {name: each.mode for name, each in plan.policies.items()},
    }


def look_at_nginx(found: Findings, plan: Plan | None, given: Path | None) -> Setup | None:
    """Does nginx take its configuration, and which traps are in it?"""
    program = nginx_conf.installed()
    # nginx and crossplane would each look for a relative path in a place of its own.
    conf = given.absolute() if given else program.conf if program else None
    if program is None:
        found.add(
            "skipped", "nginx", "it is not installed here: its syntax is not tested", "" if given else "--nginx CONF"
        )
    if conf is None:
        return None
    if given is None and not conf.exists():
        found.add("skipped", "nginx", f"{conf} is not there", "--nginx CONF names another")
        return None
    if program:
        takes, said = program.test(conf)
        if takes:
            found.add("ok", "nginx", f"nginx -t takes {conf}")
        elif "Permission denied" in said:
            found.add("skipped", "nginx", f"nginx -t: {said}", "run as root")
        else:
            found.add("wrong", "nginx", f"nginx -t: {said}")
    try:
        tree = nginx_conf.read(conf)
    except XbotError as error:
        found.add_error("nginx", error)
        return None
    listen = [address for address, _ in plan.fixed.listen] if plan else []
    # Without a file and a listener nobody has said what the sidecar's policies are.
    known = plan if plan and (plan.path or listen) else None
    ours = (listen, known.policies, known.fixed.outcomes) if known else (listen,)
    setup = Setup(tree, program.version if program else (), *ours)
    found.extend(module.look(setup, program, plan))
    prefix = Path((program.option("prefix") if program else None) or conf.parent)
    traps_found = [
        *traps.look(setup),
        *visitors.look(setup, prefix, program.option("http-log-path") if program else None),
    ]
    found.extend(traps_found)
    if not traps_found:
        found.add("ok", "nginx", f"{conf}: {len(setup.gates)} places are asked about, no trap")
    return setup


# ---- what is probably not intended ----


def doubts(plan: Plan, overrides: Overrides, setup: Setup | None) -> Findings:
    """Warnings about a configuration that is sound."""
    found = Findings()

    def doubt(field: str, why: str, mend: str = "") -> None:
        what = f"{field}: {why}" if field.startswith("--") else str(plan.wrong(field, why))
        found.add("warning", ABOUT, what, mend)

    for line in plan.outdated():
        found.add("warning", ABOUT, line)
    for place, why in plan.open_to_others():
        found.add("warning", ABOUT, f"{place}: {why}", f"chmod o-w {place}")
    for i, (address, _) in enumerate(plan.fixed.listen):
        if not _local(address):
            field = "--listen" if overrides.listen else f"listen[{i}].address"
            doubt(field, f"{address}: whoever reaches it can ask", "the loopback, or a network of the proxy's own")
    if plan.fixed.admin and not _local(plan.fixed.admin):
        field = "--admin" if overrides.admin else "admin"
        doubt(field, f"{plan.fixed.admin}: it has no password", "the loopback, or a Unix socket")
    if overrides.mode and plan.path:
        changed = [name for name, each in config.load(plan.path).policies.items() if each.mode != overrides.mode]
        if changed:
            doubt("--mode", f"{overrides.mode} stands above the mode of {', '.join(changed)}")
    used = {name for each in plan.policies.values() for name in (*each.allow, *each.deny, *each.verified)}
    for name in plan.lists:
        if name not in used and plan.lists[name] != options.OURS.get(name):
            doubt(f"lists.{name}", "no policy uses it")
    named = {name for _, name in setup.named_policies} if setup else set()
    computed = any("$" in name and name != "$xbot_policy" for name in named)
    for name, policy in plan.policies.items():
        if not computed and not policy.paths and name not in (DEFAULT_POLICY, *plan.listen_policies, *named):
            why = "no listener has it, and nothing in nginx's configuration asks for it"
            doubt(f"policies.{name}", why, f"paths = [...] in it, or set $xbot_policy {name}; in a location")
        if (
            policy.mode == "enforce"
            and not policy.verified
            and search_engines.NAME not in (*policy.allow, *policy.deny)
        ):
            field = "--mode" if overrides.mode else f"policies.{name}"
            why = f"{name} enforces and verifies no list: search engines may be refused"
            doubt(field, why, "search_engines = true, or a list of their networks in verified")
        if policy.suspect_above is not None and setup and setup.gates and not setup.mentions("suspect"):
            why = "nothing in nginx's configuration looks at suspect: the site alone is told"
            doubt(f"policies.{name}.suspect_above", why, "docs/nginx.md, the grey zone")
    return found


def _local(address: Address) -> bool:
    if isinstance(address, UnixAddress) or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def _show(probes: list[Probe]) -> None:
    if probes:
        width = max(len(each.address) for each in probes)
        click.echo(f"\n{'one connection to':{width}}  {'questions':>9}  {'p50 us':>8}  {'p99 us':>8}")
        for each in probes:
            click.echo(f"{each.address:{width}}  {each.questions:9}  {each.p50_us:8.0f}  {each.p99_us:8.0f}")
        click.echo()
