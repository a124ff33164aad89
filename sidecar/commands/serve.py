"""The command `xbot serve`: its options, and the start of the master.

Law: whatever is given here stands above the file; what it means is config.py's to say, and what starts is start.py's.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from sidecar.errors import XbotError

_PATH = click.Path(path_type=Path)


@click.command(short_help="Answer a proxy's question: bot or human?")
@click.option("--config", "path", type=_PATH, envvar="XBOT_CONFIG", help="xbot.toml (docs/configuration.md).")
@click.option(
    "--model", type=_PATH, envvar="XBOT_MODEL", help="The model file.  [default: the one that comes with xbot]"
)
@click.option(
    "--listen",
    multiple=True,
    envvar="XBOT_LISTEN",
    metavar="unix:PATH|HOST:PORT",
    help="Where to answer; may be repeated. Not needed when systemd passes the sockets.",
)
@click.option("--dialect", envvar="XBOT_DIALECT", help="The dialect of the proxy (docs/proxies.md).  [default: nginx]")
@click.option(
    "--mode",
    type=click.Choice(["observe", "enforce"]),
    envvar="XBOT_MODE",
    help="observe answers 200 to everybody, enforce answers 403 to bots; overrides the mode of every policy.  [default: observe]",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), envvar="XBOT_WORKERS", help="Processes.  [default: one per usable core]"
)
@click.option(
    "--admin",
    envvar="XBOT_ADMIN",
    metavar="unix:PATH|HOST:PORT",
    help="Serve the live page, /metrics (Prometheus), /healthz and /readyz here.",
)
@click.option(
    "--socket-group",
    envvar="XBOT_SOCKET_GROUP",
    metavar="GROUP",
    help="Group of the Unix sockets (mode 0660): nginx's.",
)
@click.option(
    "--board",
    envvar="XBOT_BOARD",
    metavar="DIR|none",
    help="Where what is served and the counters lie as files.  [default: /run/xbot, where it can be used]",
)
@click.option(
    "--control",
    envvar="XBOT_CONTROL",
    metavar="PATH|none",
    help="The control socket (xbot mode, status, allow, reload).  [default: control in the board, where there is one]",
)
@click.option(
    "--control-group",
    envvar="XBOT_CONTROL_GROUP",
    metavar="GROUP",
    help="Group of the control socket (mode 0660); never the proxy's.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0.0, 3600.0),
    envvar="XBOT_DRAIN_TIMEOUT",
    metavar="SECONDS",
    help="How long SIGTERM lets requests finish.  [default: 10]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    envvar="XBOT_LOG_LEVEL",
    help="debug also logs each request: for debugging, not for load.  [default: info]",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), envvar="XBOT_LOG_FORMAT", help="[default: text]")
def serve(path: Path | None, **options: Any) -> None:
    """Answer a proxy's question "bot or human?" until SIGTERM.

    What is given here stands above the environment (XBOT_MODEL, XBOT_WORKERS, ...), and that above the file. SIGHUP
    loads configuration, lists and model again, and keeps the old if anything is not sound. SIGUSR2 upgrades in place: a
    new process takes the sockets over, and this one drains. The log goes to standard error.

    \b
    xbot serve --listen unix:/run/xbot/xbot.sock --socket-group www-data
    xbot serve --config /etc/xbot/xbot.toml
    """
    from sidecar.config.plan import Overrides
    from sidecar.observe import logs
    from sidecar.serve import listeners, master, start, systemd, upgrade  # here: other commands need none of this

    predecessor = upgrade.Predecessor.find()
    activated = [listeners.adopt(sock) for sock in systemd.listening_sockets()]
    inherited = list(predecessor.sockets.values()) if predecessor else activated
    source = master.Source(path, Overrides(**options))
    plan = source.plan()
    logs.configure(plan.fixed.log.level, plan.fixed.log.format)
    if not plan.fixed.listen and not any(one.activated for one in inherited):
        raise XbotError("serve: no --listen, no [[listen]] in a --config, and no socket inherited from systemd")
    try:
        start.run(source, plan, inherited, predecessor)
    finally:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):  # not heard any more, and no reason to die
            signal.signal(number, signal.SIG_IGN)
        logs.flush()
