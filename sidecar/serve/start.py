"""From a plan to a master that serves: sockets, board, log of decisions, and what is said of them at a start.

Law: all that may be refused is made or read here, before anybody is served; once the master runs, only a reload or an upgrade
changes what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence

import structlog

import sidecar
from sidecar.board.board import Board, store_key
from sidecar.board.lanes import Lanes
from sidecar.board.served import Served
from sidecar.config import addresses, options, search_engines
from sidecar.config.plan import Plan
from sidecar.decisions.log import DecisionLog
from sidecar.decisions.reader import Reader
from sidecar.errors import XbotError
from sidecar.serve import listeners, reach, upgrade
from sidecar.serve.listeners import Bound
from sidecar.serve.master import Master, Source, warn
from sidecar.serve.reach import Other
from sidecar.serve.worker import name_process
from sidecar.share.lender import Lender, read_only
from sidecar.site.sharing import Sharing
from sidecar.site.threshold import SiteThreshold
from sidecar.steer.server import Control


def run(
    source: Source, plan: Plan, inherited: Sequence[Bound] = (), predecessor: upgrade.Predecessor | None = None
) -> None:
    """Serve as planned until told to stop; `inherited` are sockets that somebody else opened, or the `predecessor`, from
    which we take over. XbotError when a list or an address cannot be used, the model's file cannot be read, or a new master is
    refused its model."""
    log = structlog.get_logger()
    name_process(b"xbot")  # a new master is started by the name of its interpreter
    fixed = plan.fixed
    # A new master that cannot use the model leaves it to the old one, who can.
    served = Served.load(plan, 1) if predecessor else Served.at_start(plan)
    warn(plan, log)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    listeners.raise_open_files(len(fixed.listen), fixed.workers)
    pool = list(inherited)
    with contextlib.ExitStack() as stack:

        def listening(address: addresses.Address, kind: socket.SocketKind = socket.SOCK_STREAM) -> Bound:
            one = listeners.take(pool, address) or listeners.bind(address, fixed.socket_group, kind)
            stack.callback(one.close)
            return one

        bound = [(listening(address), dialect) for address, dialect in fixed.listen]
        endpoint = listening(fixed.admin) if fixed.admin is not None else None
        kept = listeners.take(pool, fixed.control) if fixed.control is not None else None
        lent = listeners.take(pool, reach.lent_at(plan))
        outcomes = listening(fixed.outcomes, socket.SOCK_DGRAM) if fixed.outcomes is not None else None
        for one in pool:
            if one.activated:
                bound.append((one, plan.dialect))
            else:
                one.close()  # the configuration no longer lists it
        if len(bound) > options.MOST_LISTENERS:
            raise XbotError(f"{len(bound)} listeners with those of systemd, at most {options.MOST_LISTENERS}")
        if predecessor is not None:
            predecessor.take_up_the_log()
            log = log.bind(successor=os.getpid())
        board = Board(plan, predecessor.shared if predecessor else None)
        if outcomes is not None:
            board.hear(outcomes.sock, log)
        site = SiteThreshold(board, fixed)
        served = site.fitted(served)
        if predecessor is None:
            board.take(served)
        lanes = Lanes(fixed.workers)
        decisions = DecisionLog.planned(plan, lanes, log)
        master = Master(source, fixed, served, bound, board, site, predecessor, log)
        master.decisions = decisions
        if board.clients is not None and fixed.clients.store is not None and (key := store_key(plan)) is not None:
            master.sharing = Sharing(fixed.clients.store, key, board.clients.fd)
        started = {"version": sidecar.__version__, "pid": os.getpid(), "workers": fixed.workers}
        started["policies"] = served.modes
        started["listeners"] = [f"{one.address} ({dialect})" for one, dialect in bound]
        if board.directory is not None:
            started["board"] = str(board.directory.path)
        if endpoint is not None:
            from sidecar.observe import admin  # here: an HTTP server and a metrics library, only where wanted

            host = fixed.admin.host if isinstance(fixed.admin, addresses.TcpAddress) else None
            master.admin = endpoint, admin.Endpoint(endpoint.sock, master, host)
            master.reach.others.append(Other(endpoint, fixed.socket_group, master.admin[1].move))
            started["admin"] = str(endpoint.address)
        control_bound, no_control = reach.control(plan, board.directory is not None, kept)
        if control_bound is not None:
            stack.callback(control_bound.close)
            master.control = control_bound, Control(control_bound.sock, master)
            master.reach.others.append(Other(control_bound, reach.control_group(fixed), master.control[1].move))
            started["control"] = str(control_bound.address)
        if decisions is not None or master.admin is not None or master.control is not None:
            master.reader = Reader(
                lanes, [master.feed, master.alarms, *([decisions] if decisions is not None else [])], log
            )
        lender_bound, no_lender = reach.lender(plan, board.directory is not None, lent)
        if lender_bound is not None:
            stack.callback(lender_bound.close)
            memory = {**board.lent, "wheel": read_only(board.wheel.fd)}
            to_lend = lanes if master.reader is not None else None
            master.lender = (
                lender_bound,
                Lender(lender_bound.sock, memory, board.hosts, master.lookups, to_lend, master.recording, log),
            )
            master.reach.others.append(Other(lender_bound, fixed.socket_group, master.lender[1].move))
        if outcomes is not None:
            master.outcomes = outcomes
            master.reach.others.append(Other(outcomes, fixed.socket_group, board.hear_at))
            started["outcomes"] = str(outcomes.address)
        if decisions is not None:
            started["decisions"] = str(decisions.path)
        if served.search_engines:
            started["search_engines"] = search_engines.said()
        log.info("started", **started, **served.labels())
        if master.most_connections < fixed.limits.connections:
            few = {"connections": master.most_connections, "wanted": fixed.limits.connections}
            log.warning("limit lowered", **few, reason="the system allows no more open files: ulimit -n, LimitNOFILE=")
        site.tell(log, None, served)
        if served.refused:
            log.error("model refused", reason=served.refused, instead=served.instead)
        if no_lender:
            log.warning("no module", reason=no_lender)
        if no_control:
            log.warning("no control", reason=no_control)
        for override in board.wheel.said()[0]:
            log.warning("mode by hand", **override._asdict(), since="before")
        if board.unfit:
            log.warning("no board", reason=board.unfit)
        if board.counters.said:
            log.warning("counters replaced", reason=board.counters.said)
        if board.clients is not None and board.clients.small:
            log.warning("no large pages for the table of clients")
        if board.clients is not None and board.clients.said:
            log.warning("clients forgotten", reason=board.clients.said)
        asyncio.run(master.run())
