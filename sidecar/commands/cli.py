"""The command `xbot`: the group, the errors, and the commands that belong to the sidecar's processes.

A command is imported when it is asked for. Those of other packages register themselves in the entry-point
group `xbot.commands`, so that nothing here imports them, and serving needs nothing of what training needs.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NoReturn

import click

import sidecar
from sidecar.errors import XbotError

_HERE = {
    "bench": "sidecar.commands.bench:bench",
    "score": "sidecar.commands.offline:score",
    "explain": "sidecar.commands.explain:explain",
    "inspect": "sidecar.commands.offline:inspect",
    "replay": "sidecar.commands.replay:replay",
    "check": "sidecar.check.cli:check",
}
_GROUP = "xbot.commands"
_PATH = click.Path(path_type=Path)


class Commands(click.Group):
    """A group whose commands may lie in modules that are imported only when they are needed."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command. A broken pipe is no failure, and must not reach click or rich, who make status 1 of it."""
        try:
            status: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _reader_left()
        except SystemExit as ended:
            if isinstance(ended.__context__, BrokenPipeError):
                _reader_left()
            raise
        return status

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, from here, from the table and from other packages."""
        elsewhere = (entry.name for entry in entry_points(group=_GROUP))
        return sorted({*super().list_commands(ctx), *_HERE, *elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; one that cannot be imported says what is missing when it is run."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        try:
            if cmd_name in _HERE:
                module, _, attribute = _HERE[cmd_name].partition(":")
                command = getattr(importlib.import_module(module), attribute)
            for entry in entry_points(group=_GROUP, name=cmd_name):
                command = entry.load()
        except ModuleNotFoundError as error:
            return _unavailable(cmd_name, error)
        return command


def _unavailable(name: str, error: ModuleNotFoundError) -> click.Command:
    reason = f"{name} needs {error.name}, which is not installed: pip install 'xbot[train]'"

    anything = {"ignore_unknown_options": True}

    @click.command(name, help=reason, context_settings=anything, add_help_option=False)
    @click.argument("_", nargs=-1, type=click.UNPROCESSED)
    def command(_: tuple[str, ...]) -> None:
        raise XbotError(reason)

    return command


@click.group(cls=Commands, invoke_without_command=True)
@click.version_option(sidecar.__version__, prog_name="xbot")
@click.pass_context
def xbot(ctx: click.Context) -> None:
    """Tell bots from people, in front of any web site.

    \b
    xbot train --format challenge --out site.xbot train.tsv
    xbot serve --model site.xbot --listen unix:/run/xbot/xbot.sock
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@xbot.command()
@click.option("--config", "path", type=_PATH, envvar="XBOT_CONFIG", help="xbot.toml (docs/configuration.md).")
@click.option(
    "--model", type=_PATH, envvar="XBOT_MODEL", help="The model file.  [default: the one that comes with xbot]"
)
@click.option(
    "--listen",
    multiple=True,
    envvar="XBOT_LISTEN",
    metavar="unix:PATH|HOST:PORT",
    help="Where to answer; may be repeated. Not needed when systemd hands over the sockets.",
)
@click.option("--dialect", envvar="XBOT_DIALECT", help="How the proxy asks (docs/proxies.md).  [default: nginx]")
@click.option(
    "--mode",
    type=click.Choice(["observe", "enforce"]),
    envvar="XBOT_MODE",
    help="observe answers 200 to everybody, enforce 403 to bots; stands above every policy.  [default: observe]",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), envvar="XBOT_WORKERS", help="Processes.  [default: one per usable core]"
)
@click.option(
    "--admin",
    envvar="XBOT_ADMIN",
    metavar="unix:PATH|HOST:PORT",
    help="Serve /metrics (Prometheus) and /healthz here.",
)
@click.option(
    "--socket-group",
    envvar="XBOT_SOCKET_GROUP",
    metavar="GROUP",
    help="Group of the Unix sockets (mode 0660): nginx's.",
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
    xbot serve --model site.xbot --listen unix:/run/xbot/xbot.sock --socket-group www-data
    xbot serve --config /etc/xbot/xbot.toml
    """
    from sidecar.config import config
    from sidecar.observe import logs
    from sidecar.serve import listeners, master, systemd, upgrade  # here: other commands need none of this

    predecessor = upgrade.Predecessor.find()
    activated = [listeners.adopt(sock) for sock in systemd.listening_sockets()]
    inherited = predecessor.sockets if predecessor else activated
    source = master.Source(path, config.Overrides(**options))
    plan = source.plan()
    logs.configure(plan.fixed.log.level, plan.fixed.log.format)
    if not plan.fixed.listen and not any(one.activated for one in inherited):
        raise XbotError("serve: no --listen, no [[listen]] in a --config, and no socket inherited from systemd")
    master.run(source, plan, inherited, predecessor)


@xbot.command()
@click.option("--print", "show", is_flag=True, help="Print all files.")
@click.option("--write", type=_PATH, metavar="DIR", help="Copy them into DIR.")
def nginx(show: bool, write: Path | None) -> None:
    """Print or copy the files that nginx includes.

    \b
    xbot nginx --print
    xbot nginx --write /etc/nginx/xbot
    """
    if show == (write is not None):
        raise XbotError("nginx: give one of --print and --write DIR")
    files = sorted(path for path in (Path(sidecar.__file__).parent / "nginx").iterdir() if path.is_file())
    if write is None:
        for file in files:
            click.echo(f"# ---- {file.name} ----\n{file.read_text()}")
    else:
        _write_new(write, {file.name: file.read_bytes() for file in files})


def _write_new(directory: Path, texts: dict[str, bytes]) -> None:
    """Write files that are not there yet; one with the same bytes stays; one with others is an error, and none is
    written then."""
    from sidecar import outputs

    directory.mkdir(parents=True, exist_ok=True)
    there = {path for name in texts if os.path.lexists(path := directory / name)}
    for path in sorted(there):
        if not path.is_file() or path.read_bytes() != texts[path.name]:
            raise XbotError(f"{path}: there already, with other contents; move it away first")
    for name, text in texts.items():
        if directory / name not in there:
            outputs.write(directory / name, text)
            click.echo(directory / name)


def _let_go_of_stderr() -> None:
    """Who read our log may be gone; what it left unread must not become the interpreter's exit status, 120."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def main() -> None:
    """Run the command line; what the user did wrong is one line on standard error and status 2."""
    atexit.register(_let_go_of_stderr)
    try:
        status = xbot.main(prog_name="xbot", standalone_mode=False)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _fail(error.format_message() + hint)
    except click.ClickException as error:
        _fail(error.format_message())
    except click.Abort:
        sys.exit(130)
    except XbotError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    sys.exit(status if isinstance(status, int) else 0)


def _reader_left() -> NoReturn:
    """Whoever read our output has what he wanted: the status is that of a program that SIGPIPE ended."""
    with contextlib.suppress(OSError):  # the interpreter must not complain at its end either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)


def _fail(message: str) -> None:
    click.echo(f"xbot: {' '.join(message.split())}", err=True)
    sys.exit(2)
