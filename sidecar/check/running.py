"""What runs: may nginx's user open the sockets, who answers there, and what does a question cost.

Law: it asks and looks, and changes nothing. Addresses are those where the sidecar is to listen and those where nginx asks.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from sidecar.check import nginx_conf, probe, reach
from sidecar.check.findings import Findings
from sidecar.check.gates import Setup, same
from sidecar.config.addresses import Address, TcpAddress, UnixAddress
from sidecar.config.options import MODULE
from sidecar.config.plan import Plan
from sidecar.errors import XbotError

ABOUT = "sockets"
QUEUE = Path("/proc/sys/net/unix/max_dgram_qlen")
LEAST_QUEUE = 128  # messages: what 10,000 requests a second tell while the reader waits 10 ms for a core


class Probe(msgspec.Struct, frozen=True):
    """What questions cost at one address, in microseconds."""

    address: str
    questions: int
    p50_us: float
    p99_us: float


def look(found: Findings, plan: Plan | None, setup: Setup | None, user: str | None) -> list[Probe]:
    """Every address once. `user` is whom nginx's workers run as, None: what its configuration says."""
    planned: list[Address] = [address for address, _ in plan.fixed.listen] if plan else []
    asked = [address for gate in setup.gates for address in gate.addresses] if setup else []
    others = [each for each in asked if not any(same(each, address) for address in planned)]
    addresses = list(dict.fromkeys([*planned, *others]))
    if not addresses:
        found.add("skipped", ABOUT, "no address is known", "--listen, or [[listen]] in the file")
    who = _nginx_user(found, setup, user) if any(isinstance(each, UnixAddress) for each in addresses) else None
    if plan and plan.fixed.outcomes and _is_there(found, plan.fixed.outcomes, who):
        _look_at_queue(found, plan.fixed.outcomes)
    if plan and plan.fixed.board and setup and setup.judging:
        _is_there(found, UnixAddress(plan.fixed.board / MODULE), who)
    probes = [_ask(found, plan, each) for each in addresses if _is_there(found, each, who)]
    return [each for each in probes if each]


def _look_at_queue(found: Findings, address: Address) -> None:
    """Has the socket for outcomes room for a burst?"""
    with contextlib.suppress(OSError, ValueError):
        room = int(QUEUE.read_text())
        if room < LEAST_QUEUE:
            what = f"{address}: the system keeps {room} messages for a socket; nginx drops what comes beyond"
            found.add("warning", ABOUT, what, "sysctl net.unix.max_dgram_qlen=512, then start the sidecar anew")


def _nginx_user(found: Findings, setup: Setup | None, user: str | None) -> reach.Who | None:
    said = setup.conf.own("user")[:1] if setup else []
    program = nginx_conf.installed()
    try:
        if user:
            return reach.Who.named(user)
        if said:  # without a group, it is the one with the user's name
            return reach.Who.named(said[0].arg(0), said[0].arg(-1))
        if setup and program:
            return reach.Who.named(program.option("user") or "nobody", program.option("group"))
    except XbotError as error:
        found.add_error(ABOUT, error)
        return None
    found.add("skipped", ABOUT, "not known who nginx's workers run as, nor what they may open", "--user NAME")
    return None


def _is_there(found: Findings, address: Address, who: reach.Who | None) -> bool:
    """Is there something to ask? Tells what keeps nginx from it."""
    if isinstance(address, TcpAddress):
        return address.port != 0
    path = address.path
    try:
        if not path.exists():
            found.add("skipped", ABOUT, f"{address} is not there: the sidecar does not run")
            return False
        refusals = reach.refusals(path, who) if who else []
    except OSError as error:
        found.add("skipped", ABOUT, f"{address}: {error.strerror or error}", "run as root")
        return False
    for each in refusals:
        why = f"{each.why}, but for its access control list" if each.acl else each.why
        found.add("warning" if each.acl else "wrong", ABOUT, why, each.mend)
    if who and not refusals:
        found.add("ok", ABOUT, f"{who.name} may open {address}")
    if not path.is_socket():
        found.add("wrong", ABOUT, f"{address} is no socket", "move it away")
        return False
    return True


def _ask(found: Findings, plan: Plan | None, address: Address) -> Probe | None:
    try:
        with probe.Connection(address) as connection:
            wrong = connection.ask().wrong
            if wrong:
                found.add("wrong", ABOUT, f"{address}: {wrong}: this is no sidecar", "stop it, or move one of the two")
                return None
            if plan and (address, "nginx") in plan.fixed.listen:
                _ask_policies(found, plan, address, connection)
            cost = connection.cost()
    except ConnectionRefusedError:
        if isinstance(address, UnixAddress):
            what = f"{address}: nobody listens there; a process that is gone left it"
            found.add("warning", ABOUT, what, "start the sidecar, which clears it")
        else:
            found.add("skipped", ABOUT, f"{address}: nobody listens there: the sidecar does not run")
    except PermissionError as error:
        found.add("skipped", ABOUT, f"{address}: {error.strerror}", "run as root")
    except TimeoutError:
        found.add("wrong", ABOUT, f"{address}: no answer within {probe.WAIT:g} s", "look into the sidecar's log")
    except OSError as error:
        found.add("wrong", ABOUT, f"{address}: {error.strerror or error}", "look into the sidecar's log")
    else:
        found.add("ok", ABOUT, f"{address} answers")
        return Probe(str(address), cost.questions, round(cost.p50 * 1e6, 1), round(cost.p99 * 1e6, 1))
    return None


def _ask_policies(found: Findings, plan: Plan, address: Address, connection: probe.Connection) -> None:
    """Does the sidecar that runs know the policies of the file?"""
    for name in plan.policies:
        if connection.ask(name).headers.get("x-bot-policy") != name:
            what = f"{address}: the sidecar that runs has no policy {name!r}: its configuration is another"
            found.add("wrong", ABOUT, what, "reload it: systemctl reload xbot, or kill -HUP")
