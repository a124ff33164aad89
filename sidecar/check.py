"""`xbot check`: is the configuration sound, does nginx ask rightly, can it open the socket, what does a question cost.

Law: it is given what `xbot serve` is given, looks at everything that it can, changes nothing, and says what it could not look
at. What it finds is of sidecar/config.py, traps.py, reach.py and probe.py; here they are brought together.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import click
import msgspec

from sidecar import config, findings, lists, nginx_conf, probe, reach, traps
from sidecar.cli import serve
from sidecar.config import DEFAULT_POLICY, Overrides, Plan
from sidecar.errors import XbotError, lines_of
from sidecar.findings import Finding, Status
from sidecar.gates import Setup, same
from sidecar.listeners import Address, TcpAddress, UnixAddress, group_id
from sidecar.served import Served

_PATH = click.Path(path_type=Path)


class Probe(msgspec.Struct, frozen=True):
    """What questions cost at one address, in microseconds."""

    address: str
    questions: int
    p50_us: float
    p99_us: float


class Result(msgspec.Struct):
    """All that is told. `settings` are what `xbot serve` would go by; None where they are not sound."""

    settings: dict[str, Any] | None
    findings: list[Finding]
    probes: list[Probe]
    totals: dict[Status, int]


@click.command(params=list(serve.params), epilog="Example: xbot check /etc/xbot/xbot.toml --user www-data")
@click.argument("file", metavar="[XBOT.TOML]", required=False, type=_PATH)
@click.option(
    "--nginx", "conf", metavar="CONF", type=_PATH, help="nginx's configuration.  [default: the one it was built for]"
)
@click.option("--user", help="Whom nginx's workers run as.  [default: what nginx's configuration says]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(
    file: Path | None, path: Path | None, conf: Path | None, user: str | None, as_json: bool, **options: Any
) -> int:
    """Look for what is wrong with a configuration and, where they run, with nginx and the sidecar.

    It takes the options of `xbot serve` and tells what these, the environment and the file XBOT.TOML come to. It changes
    nothing; a sidecar that runs is asked some hundred questions, which its metrics count. Best run as root, so that
    it can look at every directory. Status 2 if anything is wrong, 0 otherwise, with warnings too.

    \b
    xbot check /etc/xbot/xbot.toml
    xbot check --listen unix:/run/xbot/xbot.sock --nginx /etc/nginx/nginx.conf --json
    """
    doctor = Doctor(file or path, Overrides(**options))
    doctor.look_at_configuration()
    doctor.look_at_nginx(conf)
    doctor.look_at_policies()
    doctor.look_at_sockets(user)
    result = Result(doctor.settings, doctor.found, doctor.probes, findings.totals(doctor.found))
    if as_json:
        click.echo(msgspec.json.encode(result))
    else:
        findings.show(result.findings)
        _show_probes(result.probes)
        click.echo(", ".join(f"{count} {status}" for status, count in result.totals.items()))
    return 2 if result.totals["wrong"] else 0


class Doctor:
    """Looks; `found` is what it has found so far."""

    def __init__(self, path: Path | None, overrides: Overrides) -> None:
        self.found: list[Finding] = []
        self.probes: list[Probe] = []
        self.plan: Plan | None = None
        self.setup: Setup | None = None
        self._path, self._overrides = path, overrides

    def _add(self, status: Status, about: str, what: str, mend: str = "") -> None:
        self.found.append(Finding(status, about, what, mend))

    def _add_error(self, about: str, error: XbotError) -> None:
        """A line for each mistake that was not told yet."""
        told = {each.what for each in self.found}
        self.found += [Finding("wrong", about, line) for line in lines_of(error) if line not in told]

    # What `xbot serve` would read

    def look_at_configuration(self) -> None:
        """The file with what stands above it, its lists and its model."""
        try:
            self.plan = plan = config.load(self._path, self._overrides)
        except XbotError as error:
            self._add_error("configuration", error)
            return
        self._add("ok", "configuration", f"{plan.path or 'without a file'}: {_policies(plan)}; {_listens(plan)}")
        for name in plan.lists:
            self._look_at_list(plan, name)
        try:
            served = Served.load(plan, 1)
        except XbotError as error:
            self._add_error("configuration", error)
        else:
            served.close()
            self._add("ok", "model", f"{plan.model}: sha256 {served.sha256[:12]}, schema {served.schema}")
        self._look_at_addresses(plan)
        if plan.fixed.socket_group:
            try:
                group_id(plan.fixed.socket_group)
            except XbotError as error:
                self._add("wrong", "configuration", f"socket_group: {error}", "the group of nginx's workers")

    def _look_at_addresses(self, plan: Plan) -> None:
        """What may be meant so, and may be not."""
        for i, (address, _) in enumerate(plan.fixed.listen):
            if not _local(address):
                field = "--listen" if self._overrides.listen else f"listen[{i}].address"
                self._doubt(
                    field, f"{address}: whoever reaches it can ask", "a network of the proxy's own, or the loopback"
                )
        if plan.fixed.admin is not None and not _local(plan.fixed.admin):
            field = "--admin" if self._overrides.admin else "admin"
            self._doubt(field, f"{plan.fixed.admin}: it has no password", "the loopback, or a Unix socket")
        if self._overrides.mode and plan.path:
            said = config.load(plan.path).policies
            changed = [name for name, each in said.items() if each.mode != self._overrides.mode]
            if changed:
                what = f"--mode or XBOT_MODE {self._overrides.mode} stands above the mode of {', '.join(changed)}"
                self._add("warning", "configuration", what)

    def _look_at_list(self, plan: Plan, name: str) -> None:
        try:
            holds = lists.contents(plan, name)
        except XbotError as error:
            self._add_error("lists", error)
            return
        counts = {"networks": len(holds.v4) + len(holds.v6), "agents": len(holds.agents), "paths": len(holds.paths)}
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        used = any(name in (*each.allow, *each.deny, *each.verified) for each in plan.policies.values())
        if said and used:
            self._add("ok", "lists", f"{name}: {said}")
        else:
            why = "no policy uses it" if said else "there is nothing in it"
            self._doubt(f"lists.{name}", why)

    @property
    def settings(self) -> dict[str, Any] | None:
        """What `xbot serve` would go by."""
        if self.plan is None:
            return None
        plan, fixed = self.plan, self.plan.fixed
        places = zip(fixed.listen, plan.listen_policies, strict=True)
        return {
            "model": str(plan.model),
            "listen": [{"address": str(a), "dialect": d, "policy": p} for (a, d), p in places],
            "workers": fixed.workers,
            "admin": str(fixed.admin) if fixed.admin else None,
            "socket_group": fixed.socket_group,
            "drain_timeout": fixed.drain_timeout,
            "log": msgspec.to_builtins(fixed.log),
            "policies": {name: each.mode for name, each in plan.policies.items()},
        }

    # nginx

    def look_at_nginx(self, given: Path | None) -> None:
        """Its configuration: would nginx take it, and the traps in it."""
        program = nginx_conf.installed()
        conf = given or (program.conf if program else None)
        if conf is None:
            self._add(
                "skipped", "nginx", "nginx is not installed here", "--nginx CONF reads a configuration all the same"
            )
            return
        if given is None and not conf.exists():
            self._add("skipped", "nginx", f"{conf} is not there", "--nginx CONF names another")
            return
        if program is None:
            self._add("skipped", "nginx", "nginx is not installed here: its syntax is not tested")
        else:
            self._test_nginx(program, conf)
        try:
            tree = nginx_conf.read(conf)
        except XbotError as error:
            self._add_error("nginx", error)
            return
        listen = [address for address, _ in self.plan.fixed.listen] if self.plan else []
        policies = self.plan.policies if self.plan else {}
        self.setup = Setup(tree, program.version if program else (), listen, policies)
        traps_found = traps.look(self.setup)
        self.found += traps_found
        if not traps_found:
            self._add("ok", "nginx", f"{conf}: {len(self.setup.gates)} places are asked about, no trap")

    def _test_nginx(self, program: nginx_conf.Program, conf: Path) -> None:
        takes, said = program.test(conf)
        if takes:
            self._add("ok", "nginx", f"nginx -t takes {conf}")
        elif "Permission denied" in said:
            self._add("skipped", "nginx", f"nginx -t: {said}", "run as root")
        else:
            self._add("wrong", "nginx", f"nginx -t: {said}")

    def look_at_policies(self) -> None:
        """Policies and suspects that nobody asks for, as far as can be seen."""
        if self.plan is None or self.plan.path is None:
            return
        named = {name for _, name in self.setup.named_policies} if self.setup else set()
        computed = any("$" in name and name != "$xbot_policy" for name in named)
        for name, policy in self.plan.policies.items():
            if not computed and name not in (DEFAULT_POLICY, *self.plan.listen_policies, *named):
                why = "no listener has it, and nothing in nginx's configuration asks for it"
                self._doubt(f"policies.{name}", why, f"set $xbot_policy {name}; in a location")
            asks = self.setup is not None and bool(self.setup.gates)
            if policy.challenge_above is not None and self.setup and asks and not self.setup.mentions("suspect"):
                why = "nothing in nginx's configuration looks at suspect: the site alone is told"
                self._doubt(f"policies.{name}.challenge_above", why, "docs/nginx.md, the grey zone")

    def _doubt(self, field: str, why: str, mend: str = "") -> None:
        """A warning about an option of the file."""
        if self.plan is not None:
            what = f"{field}: {why}" if field.startswith("--") else str(self.plan.wrong(field, why))
            self._add("warning", "configuration", what, mend)

    # What runs

    def look_at_sockets(self, user: str | None) -> None:
        """Where the sidecar listens and where nginx asks."""
        planned: list[Address] = [address for address, _ in self.plan.fixed.listen] if self.plan else []
        asked = [address for gate in self.setup.gates for address in gate.addresses] if self.setup else []
        addresses = list(
            dict.fromkeys([*planned, *(each for each in asked if not any(same(each, p) for p in planned))])
        )
        who = self._nginx_user(user) if any(isinstance(each, UnixAddress) for each in addresses) else None
        if not addresses:
            self._add("skipped", "sockets", "no address is known", "--listen, or [[listen]] in the file")
        for address in addresses:
            if isinstance(address, UnixAddress):
                try:
                    if not address.path.exists():
                        self._add("skipped", "sockets", f"{address} is not there: the sidecar does not run")
                        continue
                    self._look_at_mode(address, who)
                except PermissionError as error:
                    self._add("skipped", "sockets", f"{address}: {error.strerror}", "run as root")
                    continue
            self._ask(address)

    def _nginx_user(self, user: str | None) -> reach.Who | None:
        said = self.setup.conf.own("user") if self.setup else []
        program = nginx_conf.installed()
        try:
            if user:
                return reach.Who.named(user)
            if said:
                return reach.Who.named(said[0].args[0], said[0].args[-1])
            if program and self.setup:
                name = program.option("user") or "nobody"
                return reach.Who.named(name, program.option("group"))
        except XbotError as error:
            self._add_error("sockets", error)
            return None
        self._add(
            "skipped",
            "sockets",
            "who nginx's workers are is not known: what they may open is not looked at",
            "--user NAME",
        )
        return None

    def _look_at_mode(self, address: UnixAddress, who: reach.Who | None) -> None:
        refused = reach.refusal(address.path, who) if who else None
        if refused:
            status: Status = "warning" if refused.acl else "wrong"
            may = ", but for its access control list" if refused.acl else ""
            self._add(status, "sockets", f"{refused.why}{may}", refused.mend)
        elif who:
            self._add("ok", "sockets", f"{who.name} may open {address}")

    def _ask(self, address: Address) -> None:
        if isinstance(address, TcpAddress) and address.port == 0:
            return
        try:
            with probe.Connection(address) as connection:
                wrong = connection.ask().wrong
                if wrong:
                    self._add(
                        "wrong", "sockets", f"{address}: {wrong}: this is no sidecar", "stop it, or move one of the two"
                    )
                    return
                self._ask_policies(address, connection)
                cost = connection.cost()
        except ConnectionRefusedError:
            stale = isinstance(address, UnixAddress)
            why = "nobody listens there, a process that is gone left it" if stale else "nobody listens there"
            self._add("warning" if stale else "skipped", "sockets", f"{address}: {why}", "start the sidecar")
        except PermissionError as error:
            self._add("skipped", "sockets", f"{address}: {error.strerror}", "run as root")
        except TimeoutError:
            self._add(
                "wrong", "sockets", f"{address}: no answer within {probe.WAIT:g} s", "look into the sidecar's log"
            )
        except OSError as error:
            self._add("wrong", "sockets", f"{address}: {error.strerror or error}", "look into the sidecar's log")
        else:
            self._add("ok", "sockets", f"{address} answers")
            self.probes.append(Probe(str(address), cost.questions, round(cost.p50 * 1e6, 1), round(cost.p99 * 1e6, 1)))

    def _ask_policies(self, address: Address, connection: probe.Connection) -> None:
        """Does the sidecar that runs know the policies of the file?"""
        if self.plan is None or (address, "nginx") not in self.plan.fixed.listen:
            return
        for name in self.plan.policies:
            used = connection.ask(name).headers.get("x-bot-policy")
            if used != name:
                what = f"{address}: the sidecar that runs has no policy {name!r}: its configuration is another"
                self._add("wrong", "sockets", what, "reload it: kill -HUP, systemctl reload xbot")


def _policies(plan: Plan) -> str:
    return "policies " + ", ".join(f"{name} ({each.mode})" for name, each in plan.policies.items())


def _listens(plan: Plan) -> str:
    places = [f"{address} ({dialect})" for address, dialect in plan.fixed.listen]
    return f"listens on {', '.join(places)}" if places else "listens on what systemd hands over"


def _local(address: Address) -> bool:
    if isinstance(address, UnixAddress) or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def _show_probes(probes: list[Probe]) -> None:
    if probes:
        width = max(len(each.address) for each in probes)
        click.echo(f"\n{'asked on one connection':{width}}  {'questions':>9}  {'p50 us':>8}  {'p99 us':>8}")
        for each in probes:
            click.echo(f"{each.address:{width}}  {each.questions:9}  {each.p50_us:8.0f}  {each.p99_us:8.0f}")
        click.echo()
